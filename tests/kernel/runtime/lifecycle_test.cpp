// create, start, run, kill, delete, state, list, exec, pause, update, hooks.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "base/process.h"
#include "base/sys.h"
#include "tests/kernel/runtime/bundle.h"

using runtime_test::Bundle;

namespace {

pid_t pid_in(const std::filesystem::path& file) {
  const auto text = base::sys::read_file(file);
  return text ? std::atoi(text->c_str()) : -1;
}

}  // namespace

TEST_CASE("a created container waits for start, and its init is our child", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.probe({"exit", "9"});
  bundle.write_config();
  const auto pid_file = bundle.folder() / "pid";
  const auto made = bundle.runtime({"create", "--bundle", bundle.folder(), "--pid-file", pid_file, bundle.id()});
  INFO(made.err);
  REQUIRE(made.code == 0);
  CHECK(bundle.status() == "created");
  const pid_t pid = pid_in(pid_file);
  REQUIRE(::kill(pid, 0) == 0);
  CHECK(bundle.runtime({"start", bundle.id()}).code == 0);
  CHECK(bundle.wait_init(pid) == 9);
  CHECK(bundle.status() == "stopped");
  const auto again = bundle.runtime({"start", bundle.id()});
  CHECK(again.code == 1);
  CHECK(again.err.find("that is not created: stopped") != std::string::npos);
  CHECK(bundle.runtime({"delete", bundle.id()}).code == 0);
  CHECK(bundle.status() == "none");
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("an id that is in use is refused and the first container stays", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.probe({"hold"});
  REQUIRE(bundle.start().code == 0);
  const auto second = bundle.start();
  CHECK(second.code == 1);
  CHECK(second.err.find("exists") != std::string::npos);
  CHECK(bundle.status() == "running");
  CHECK(bundle.runtime({"delete", bundle.id()}).code == 1);
  CHECK(bundle.runtime({"delete", "--force", bundle.id()}).code == 0);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("kill sends names and numbers to init, and a stopped container refuses", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto pid_file = bundle.folder() / "pid";
  bundle.probe({"hold"});
  REQUIRE(bundle.start({"--pid-file", pid_file}).code == 0);
  REQUIRE(bundle.status() == "running");
  CHECK(bundle.runtime({"kill", bundle.id(), "NOSUCH"}).err.find("unknown signal 'NOSUCH'") != std::string::npos);
  REQUIRE(bundle.runtime({"kill", bundle.id(), "KILL"}).code == 0);
  CHECK(bundle.wait_init(pid_in(pid_file)) == 137);
  const auto late = bundle.runtime({"kill", bundle.id(), "15"});
  CHECK(late.code == 1);
  CHECK(late.err.find("container not running") != std::string::npos);
  CHECK(bundle.runtime({"delete", bundle.id()}).code == 0);
}

TEST_CASE("exec joins every namespace and cgroup with the container's rights", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.linux_.namespaces = runtime::spec::docker::namespaces(true);
  bundle.config.hostname = "joined";
  bundle.probe({"hold"});
  REQUIRE(bundle.start().code == 0);
  const auto seen = bundle.exec({}, {"/bin/probe", "report"});
  INFO(seen.err);
  REQUIRE(seen.code == 0);
  CHECK(seen.one("hostname") == "joined");
  CHECK(seen.one("pid") != "1");
  CHECK(seen.one("CapEff") == "00000000a80425fb");
  CHECK(seen.one("Seccomp") == "2");
  CHECK(seen.one("fds") == "0 1 2");
  for (const auto& line : seen.all("cgroup")) CHECK(line.ends_with(":/"));
  const auto init_namespaces = bundle.exec({}, {"/bin/probe", "read", "/proc/1/environ"});
  CHECK(init_namespaces.has("PATH="));
  for (const char* name : {"pid", "net", "ipc", "uts", "mnt", "cgroup"}) {
    const auto own = std::filesystem::read_symlink(std::string("/proc/self/ns/") + name).string();
    CHECK(seen.one(std::string("ns_") + name) != own);
  }
}

TEST_CASE("exec takes user, directory, variables and capabilities from its flags", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.probe({"hold"});
  REQUIRE(bundle.start().code == 0);
  const auto seen = bundle.exec({"--user", "1000:1001", "-g", "7", "--cwd", "/tmp", "-e", "X=y", "--no-new-privs"},
                                {"/bin/probe", "report"});
  INFO(seen.err);
  CHECK(seen.one("uid") == "1000");
  CHECK(seen.one("gid") == "1001");
  CHECK(seen.one("cwd") == "/tmp");
  CHECK(seen.one("NoNewPrivs") == "1");
  const auto environment = seen.all("env");
  CHECK(std::ranges::find(environment, "X=y") != environment.end());
  CHECK(bundle.exec({"--cap", "CAP_NET_ADMIN"}, {"/bin/probe", "report"}).one("CapEff") == "00000000a80435fb");
  CHECK(bundle.exec({}, {"/bin/probe", "exit", "17"}).code == 17);
  CHECK(bundle.exec({}, {"nosuch"}).code == 127);
  CHECK(bundle.exec({}, {"/etc/passwd"}).code == 126);
  CHECK(bundle.exec({"--cwd", "relative"}, {"/bin/probe"}).code == 255);
  // Without --command-codes as under runc: no code that could be the program's.
  CHECK(bundle.runtime({"--command-codes=false", "exec", bundle.id(), "nosuch"}).code == 255);
}

TEST_CASE("a terminal's output is plain lines where it goes to a file", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.process->terminal = true;
  const auto seen = bundle.probe({"print", "one"}).run();
  INFO(seen.err);
  CHECK(seen.out == "one\n");
  CHECK(seen.code == 0);
}

TEST_CASE("events tells numbers, and when the kernel killed for want of memory", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.linux_.resources->memory = runtime::spec::Memory{.limit = 32 << 20};
  bundle.probe({"hold"});
  const auto started = bundle.start();
  if (started.err.find("linux.resources.memory") != std::string::npos) SKIP_TEST("no memory controller here");
  REQUIRE(started.code == 0);
  const auto stats = bundle.runtime({"events", "--stats", bundle.id()});
  CHECK(stats.out.find("\"type\":\"stats\"") != std::string::npos);
  CHECK(stats.out.find("\"limit\":33554432") != std::string::npos);

  const auto file = bundle.folder() / "events";
  const auto out = base::sys::open(file, O_WRONLY | O_CREAT, 0666);
  REQUIRE(out);
  base::SpawnOptions options;
  options.program = std::filesystem::path(BIN_DIR) / "compose-runtime";
  options.arguments = {"compose-runtime", "--root", bundle.state(), "events", bundle.id()};
  options.fds = {{out->borrow(), 1}};
  auto events = base::ChildProcess::spawn(options);
  REQUIRE(events);
  const auto told = [&](const std::string& what) {
    return support::eventually([&] { return base::sys::read_file(file)->find(what) != std::string::npos; });
  };
  REQUIRE(told("\"type\":\"stats\""));
  CHECK(bundle.exec({}, {"/bin/probe", "eat", "512"}).code == 137);
  CHECK(told("{\"type\":\"oom\",\"id\":\"" + bundle.id() + "\"}\n"));
  CHECK(bundle.runtime({"delete", "--force", bundle.id()}).code == 0);
  CHECK(events->wait(std::chrono::seconds(10))->code == 0);
}

TEST_CASE("a detached exec is our child and reports its pid", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.probe({"hold"});
  REQUIRE(bundle.start().code == 0);
  const auto pid_file = bundle.folder() / "exec-pid";
  REQUIRE(bundle.exec({"--detach", "--pid-file", pid_file}, {"/bin/probe", "exit", "23"}).code == 0);
  CHECK(bundle.wait_init(pid_in(pid_file)) == 23);
}

TEST_CASE("a paused container is frozen, refuses exec and goes on", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.probe({"hold"});
  REQUIRE(bundle.start().code == 0);
  REQUIRE(bundle.runtime({"pause", bundle.id()}).code == 0);
  CHECK(bundle.status() == "paused");
  CHECK(bundle.exec({}, {"/bin/probe", "exit", "0"}).err.find("paused") != std::string::npos);
  CHECK(bundle.runtime({"pause", bundle.id()}).code == 1);
  REQUIRE(bundle.runtime({"resume", bundle.id()}).code == 0);
  CHECK(bundle.status() == "running");
  REQUIRE(bundle.runtime({"pause", bundle.id()}).code == 0);
  CHECK(bundle.runtime({"delete", "--force", bundle.id()}).code == 0);  // frozen processes die too
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("hooks run in order, see the state, and a failing one undoes the container", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const std::string log = bundle.folder() / "hooks";
  const auto hook = [&](const std::string& name) {
    return runtime::spec::Hook{.path = "/bin/sh", .args = {"sh", "-c", "read -r state; printf '%s %s\\n' " + name + " \"$X\" >>" + log +
                                                                        "; echo \"$state\" >>" + log + ".state"},
                               .env = std::vector<std::string>{"X=" + name + "-env", "PATH=/bin:/usr/bin"}, .timeout_s = 5};
  };
  auto& hooks = bundle.config.hooks;
  hooks.prestart = {hook("prestart")};
  hooks.create_runtime = {hook("createRuntime")};
  hooks.create_container = {hook("createContainer")};
  hooks.poststart = {hook("poststart")};
  hooks.poststop = {hook("poststop")};
  bundle.probe({"exit", "0"});
  const auto seen = bundle.run();
  INFO(seen.err);
  REQUIRE(seen.code == 0);
  CHECK(*base::sys::read_file(log) == "prestart prestart-env\ncreateRuntime createRuntime-env\ncreateContainer createContainer-env\n"
                                      "poststart poststart-env\npoststop poststop-env\n");
  const auto states = *base::sys::read_file(log + ".state");
  CHECK(states.find("\"status\":\"creating\"") != std::string::npos);
  CHECK(states.find("\"status\":\"stopped\"") != std::string::npos);
  CHECK(states.find("\"id\":\"" + bundle.id() + "\"") != std::string::npos);

  hooks.create_runtime = {{.path = "/bin/sh", .args = {"sh", "-c", "exit 3"}, .env = {}, .timeout_s = {}}};
  const auto failed = bundle.run();
  CHECK(failed.code == 1);
  CHECK(failed.err.find("hooks.createRuntime /bin/sh: error running createRuntime hook #0: createRuntime hook failed with exit code 3") != std::string::npos);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("a hook that hangs is killed at its timeout", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.hooks.create_runtime = {{.path = "/bin/sleep", .args = {"sleep", "60"}, .env = {}, .timeout_s = 1}};
  const auto seen = bundle.run();
  CHECK(seen.code == 1);
  CHECK(seen.err.find("hooks.createRuntime") != std::string::npos);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("a terminal is the controlling one, owned by the user, with the configured size", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.process->terminal = true;
  bundle.config.process->console_size = runtime::spec::ConsoleSize{.height = 40, .width = 132};
  const std::string socket_path = bundle.folder() / "console.sock";
  const auto listener = base::sys::listen_unix(socket_path);
  REQUIRE(listener);
  const auto started = bundle.start({"--console-socket", socket_path, "--pid-file", bundle.folder() / "pid"});
  INFO(started.err);
  REQUIRE(started.code == 0);
  const base::UniqueFd connection(::accept4(listener->number(), nullptr, nullptr, SOCK_CLOEXEC));
  auto message = base::sys::recv_fds(connection.borrow());
  REQUIRE(message);
  REQUIRE(message->fds.size() == 1);
  runtime_test::Outcome seen;
  std::array<char, 4096> buffer;
  while (true) {
    const auto count = base::sys::read(message->fds[0].borrow(), buffer);
    if (!count || *count == 0) break;
    seen.out.append(buffer.data(), *count);
  }
  std::erase(seen.out, '\r');
  CHECK(seen.one("tty") == "/dev/pts/0");
  CHECK(seen.one("window") == "40x132");
  CHECK(seen.one("sid") == "1");
  CHECK(runtime_test::mount_line(seen, "/dev/console").find("devpts") != std::string::npos);
  CHECK(bundle.wait_init(pid_in(bundle.folder() / "pid")) == 0);
}

TEST_CASE("preserved descriptors arrive and no other ones", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.write_config();
  const auto file = base::sys::open(bundle.folder() / "config.json", O_RDONLY);
  REQUIRE(file);
  const auto seen = bundle.runtime({"run", "--bundle", bundle.folder(), "--preserve-fds", "1", bundle.id()},
                                   {{file->borrow(), 3}, {file->borrow(), 4}, {file->borrow(), 7}});
  INFO(seen.err);
  CHECK(seen.one("fds") == "0 1 2 3");
}

TEST_CASE("the tiny init reaps, forwards signals and passes the exit code on", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.probe({"do", "orphan", ",", "read", "/proc/1/comm", ",", "read", "/proc/1/cmdline", ",", "exit", "5"});
  const auto seen = bundle.run({"--init"});
  CHECK(seen.code == 5);
  CHECK(seen.has("docker-init"));
  CHECK_FALSE(seen.has(bundle.folder().string()));  // nothing of the host's command line shows
  bundle.probe({"hold"});
  REQUIRE(bundle.start({"--init", "--pid-file", bundle.folder() / "pid"}).code == 0);
  REQUIRE(support::eventually([&] {
    return bundle.exec({}, {"/bin/probe", "read", "/proc/2/status"}).out.find("SigCgt:\t0000000000004") != std::string::npos;
  }));
  REQUIRE(bundle.runtime({"kill", bundle.id(), "TERM"}).code == 0);
  CHECK(bundle.wait_init(pid_in(bundle.folder() / "pid")) == 0);
}

TEST_CASE("a creation that was cut off is cleaned up by delete --force", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.write_config();
  std::filesystem::create_directories(bundle.state() / bundle.id());
  std::filesystem::copy_file(bundle.folder() / "config.json", bundle.state() / bundle.id() / "config.json");
  CHECK(bundle.status() == "creating");
  CHECK(bundle.runtime({"delete", bundle.id()}).code == 1);
  CHECK(bundle.runtime({"delete", "--force", bundle.id()}).code == 0);
  CHECK(bundle.leftovers() == "");
  CHECK(bundle.runtime({"delete", "--force", bundle.id()}).code == 0);
  CHECK(bundle.runtime({"state", bundle.id()}).err == "compose-runtime: container \"" + bundle.id() + "\" does not exist\n");
}

TEST_CASE("errors go to the log file as one line of JSON", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const std::string log = bundle.folder() / "log.json";
  (void)bundle.runtime({"--log", log, "--log-format", "json", "state", "nosuch"});
  const auto text = *base::sys::read_file(log);
  CHECK(text.starts_with("{\"level\":\"error\",\"msg\":\"container \\\"nosuch\\\" does not exist\",\"time\":\""));
  CHECK(std::ranges::count(text, '\n') == 1);
}

TEST_CASE("kill KILL ends what outlived the init of a container in the host's pid namespace", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  std::erase_if(bundle.config.linux_.namespaces, [](const auto& space) { return space.type == "pid"; });
  bundle.probe({"hold"});
  REQUIRE(bundle.start({"--pid-file", bundle.folder() / "pid"}).code == 0);
  REQUIRE(bundle.exec({"--detach", "--pid-file", bundle.folder() / "second"}, {"/bin/probe", "hold"}).code == 0);
  const pid_t init = pid_in(bundle.folder() / "pid"), second = pid_in(bundle.folder() / "second");
  REQUIRE(::kill(init, SIGKILL) == 0);
  CHECK(bundle.wait_init(init) == 137);
  CHECK(bundle.status() == "stopped");
  REQUIRE(::kill(second, 0) == 0);
  CHECK(bundle.runtime({"kill", bundle.id(), "TERM"}).code == 1);
  CHECK(bundle.runtime({"kill", bundle.id(), "KILL"}).code == 0);
  CHECK(bundle.wait_init(second) == 137);
  CHECK(bundle.runtime({"delete", bundle.id()}).code == 0);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("the option --debug tells what is done, in the log where there is one", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.probe({"print", "ran"});
  bundle.write_config();
  const auto quiet = bundle.runtime({"run", "--bundle", bundle.folder(), bundle.id()});
  CHECK(quiet.err == "");
  const auto told = bundle.runtime({"--debug", "run", "--bundle", bundle.folder(), bundle.id()});
  CHECK(told.out == "ran\n");
  CHECK(told.err.find("level=debug msg=\"container " + bundle.id() + ": bundle ") != std::string::npos);
  CHECK(told.err.find("level=debug msg=\"init is process ") != std::string::npos);
  const std::string log = bundle.folder() / "log";
  const auto logged = bundle.runtime({"--debug", "--log", log, "--log-format", "json", "run", "--bundle", bundle.folder(), bundle.id()});
  CHECK(logged.err == "");
  CHECK(base::sys::read_file(log)->find("{\"level\":\"debug\",\"msg\":\"init is ready for the program\"") != std::string::npos);
}

TEST_CASE("checkpoint and restore are refused whatever flags they get", "[ns]") {
  NEED_CONTAINERS();
  const Bundle bundle;
  for (const char* verb : {"checkpoint", "restore"}) {
    const auto seen = bundle.runtime({verb, "--image-path", bundle.folder(), "--work-path", bundle.folder(), "--leave-running", bundle.id()});
    CHECK(seen.code == 1);
    CHECK(seen.err == "compose-runtime: checkpoint and restore are not supported\n");
  }
}

TEST_CASE("what a hook inside a container with a terminal said before it failed is printed", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.process->terminal = true;
  bundle.config.hooks.start_container = {{.path = "/bin/probe", .args = {"probe", "do", "complain", "no such licence", ",", "exit", "3"}, .env = {}, .timeout_s = 5}};
  const auto seen = bundle.probe({"exit", "0"}).run();
  CHECK(seen.code == 1);
  CHECK(seen.has("no such licence"));
  CHECK(seen.err.find("startContainer hook failed with exit code 3") != std::string::npos);
  CHECK(bundle.leftovers() == "");
}
