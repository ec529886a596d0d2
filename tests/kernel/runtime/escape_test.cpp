// Known ways out of a container runtime, each tried. The container's side is a script of the probe or a prepared file tree.
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <sstream>
#include <thread>

#include "base/process.h"
#include "base/sys.h"
#include "tests/kernel/runtime/bundle.h"

using runtime_test::Bundle;
using runtime_test::mount_line;

TEST_CASE("a link in the image does not lead a mount out of the root", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto outside = bundle.folder() / "outside";
  std::filesystem::create_directories(outside);
  // Absolute, climbing, and dangling ones (symlink exchange ends in one of these).
  std::filesystem::create_symlink(outside, bundle.root() / "absolute");
  std::filesystem::create_symlink("../../../../../../../../" + outside.string(), bundle.root() / "climbing");
  std::filesystem::create_symlink("/not/there/yet", bundle.root() / "dangling");
  for (const char* target : {"/absolute/a", "/climbing/b", "/dangling", "/dangling/c"})
    bundle.config.mounts.push_back({.destination = target, .type = "tmpfs", .source = "tmpfs", .options = {}, .uid_mappings = {}, .gid_mappings = {}});
  bundle.probe({"do", "report", ",", "file", "/not/there/yet"});
  const auto seen = bundle.run();
  INFO(seen.err);
  REQUIRE(seen.code == 0);
  CHECK(std::filesystem::is_empty(outside));
  CHECK(mount_line(seen, outside.string() + "/a") != "");  // made inside the root, below the same name
  CHECK(mount_line(seen, "/not/there/yet") != "");
  CHECK_FALSE(std::filesystem::exists("/not/there/yet"));
}

TEST_CASE("procfs and sysfs are not mounted through a link of the image", "[ns]") {
  NEED_CONTAINERS();
  for (const std::string name : {"proc", "sys"}) {
    Bundle bundle;
    std::filesystem::remove_all(bundle.root() / name);
    std::filesystem::create_directories(bundle.root() / "elsewhere");
    std::filesystem::create_directory_symlink("/elsewhere", bundle.root() / name);
    const auto seen = bundle.run();
    CHECK(seen.code == 1);
    CHECK(seen.err.find("must be mounted on ordinary directory") != std::string::npos);
    CHECK(bundle.leftovers() == "");
  }
}

TEST_CASE("a volume's device node target that is a link is not written through", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto victim = bundle.folder() / "victim";
  REQUIRE(base::sys::write_file(victim, "untouched"));
  // /dev is not the container's own mount here, so an image can prepare anything in it.
  std::erase_if(bundle.config.mounts, [](const auto& mount) { return mount.destination.starts_with("/dev"); });
  std::filesystem::create_symlink(victim, bundle.root() / "dev/null");
  std::filesystem::create_symlink(victim, bundle.root() / "dev/console");
  const auto refused = bundle.probe({"read", "/proc/keys"}).run();
  CHECK(refused.code == 1);
  CHECK(refused.err.find("device /dev/null") != std::string::npos);
  // With the host's /dev bound there nothing is made; /proc/keys is masked by the host's null device, not by the image's link
  // (CVE-2025-31133).
  bundle.config.mounts.push_back({.destination = "/dev", .type = "bind", .source = bundle.root() / "dev", .options = {"bind"},
                                  .uid_mappings = {}, .gid_mappings = {}});
  const auto seen = bundle.run();
  INFO(seen.err);
  CHECK(seen.out == "");
  CHECK(*base::sys::read_file(victim) == "untouched");
}

TEST_CASE("a program that is a link to /proc/self/exe can't reach a writable runtime", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  std::filesystem::create_symlink("/proc/self/exe", bundle.root() / "bin/self");
  bundle.config.process->args = {"/bin/self", "--version"};
  const auto seen = bundle.run();
  // It runs our own program, from the read-only mount: opening that for writing fails (CVE-2019-5736).
  CHECK(seen.out.starts_with("compose-runtime version"));
  bundle.probe({"hold"});
  REQUIRE(bundle.start({"--init"}).code == 0);
  const auto init = bundle.exec({}, {"/bin/probe", "do", "write", "/proc/1/exe", "x", ",", "file", "/proc/1/exe", "/proc/1/fd/0"});
  CHECK(init.has("write /proc/1/exe EACCES"));
}

TEST_CASE("even a privileged container can't write to the runtime that is its init", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto all = runtime::spec::docker::all_capabilities();
  bundle.config.process->capabilities = runtime::spec::docker::capability_sets(all, true);
  bundle.config.linux_.seccomp.reset();
  bundle.probe({"write", "/proc/1/exe", "x"});
  const auto seen = bundle.run({"--init"});
  INFO(seen.err);
  CHECK((seen.has("EROFS") || seen.has("ETXTBSY")));
}

TEST_CASE("a descriptor of a host folder is no working directory", "[ns]") {
  NEED_CONTAINERS();
  // CVE-2024-21626: /proc/self/fd/N of a leaked descriptor as cwd.
  Bundle bundle;
  bundle.config.process->cwd = "/proc/self/fd/8";
  bundle.write_config();
  const auto folder = base::sys::open("/", O_PATH | O_DIRECTORY);
  REQUIRE(folder);
  const auto seen = bundle.runtime({"run", "--bundle", bundle.folder(), "--preserve-fds", "8", bundle.id()}, {{folder->borrow(), 8}});
  CHECK(seen.code == 1);
  CHECK(seen.err.find("process.cwd") != std::string::npos);
  for (int fd = 3; fd < 20; ++fd) {
    bundle.config.process->cwd = "/proc/self/fd/" + std::to_string(fd);
    const auto tried = bundle.run();
    CHECK(tried.code == 1);
    CHECK(tried.err.find("process.cwd") != std::string::npos);
  }
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("a procfs of the container's own making is not written to by exec", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  // The image's /proc is a plain folder: writes that believe in it would land in files.
  std::erase_if(bundle.config.mounts, [](const auto& mount) { return mount.destination == "/proc"; });
  bundle.config.linux_.masked_paths.clear();
  bundle.config.linux_.readonly_paths.clear();
  std::filesystem::create_directories(bundle.root() / "proc/self/attr");
  REQUIRE(base::sys::write_file(bundle.root() / "proc/self/oom_score_adj", "7\n"));
  bundle.config.process->oom_score_adj = 300;
  const auto seen = bundle.probe({"print", "ran"}).run();
  INFO(seen.err);
  CHECK(seen.out == "ran\n");
  CHECK(*base::sys::read_file(bundle.root() / "proc/self/oom_score_adj") == "7\n");
}

namespace {

/// A process held between dropping its rights and execve(2), by a filter that asks us about umask(2).
struct Held {
  base::UniqueFd listener;
  seccomp_notif asked{};

  /// Waits for the next one; without a listener when none comes.
  static Held take(base::Fd agent) {
    Held out;
    const base::UniqueFd connection(::accept4(agent.number(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection.valid()) return out;
    auto message = base::sys::recv_fds(connection.borrow());
    if (message && message->fds.size() == 1 && ::ioctl(message->fds[0].number(), SECCOMP_IOCTL_NOTIF_RECV, &out.asked) == 0)
      out.listener = std::move(message->fds[0]);
    return out;
  }
  [[nodiscard]] bool go_on() const {
    seccomp_notif_resp answer{.id = asked.id, .val = 0, .error = 0, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    return ::ioctl(listener.number(), SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0;
  }
};

/// The last word of a line of /proc/PID/status: the pid in the innermost pid namespace.
std::string innermost_pid(std::uint32_t pid) {
  const auto status = base::sys::read_file("/proc/" + std::to_string(pid) + "/status");
  if (!status) return {};
  std::istringstream lines(*status);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("NSpid:")) return line.substr(line.find_last_of("\t ") + 1);
  return {};
}

}  // namespace

TEST_CASE("the container's root can't look into an exec that is not its program yet", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const std::string path = bundle.folder() / "agent.sock";
  const auto agent = base::sys::listen_unix(path);
  REQUIRE(agent);
  const timeval patience{.tv_sec = 10, .tv_usec = 0};
  REQUIRE(::setsockopt(agent->number(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
  runtime::spec::Seccomp profile;
  profile.default_action = "SCMP_ACT_ALLOW";
  profile.listener_path = path;
  profile.syscalls.push_back({.names = {"umask"}, .action = "SCMP_ACT_NOTIFY", .errno_ret = {}, .args = {}});
  bundle.config.linux_.seccomp = profile;
  bundle.probe({"hold"});
  Held init_held;
  std::thread let_init([&] {
    init_held = Held::take(agent->borrow());
    (void)init_held.go_on();
  });
  const auto started = bundle.start();
  let_init.join();
  INFO(started.err);
  REQUIRE(started.code == 0);
  base::SpawnOptions options;
  options.program = std::filesystem::path(BIN_DIR) / "compose-runtime";
  const auto spawn = [&](std::vector<std::string> command, base::Fd out) {
    options.arguments = {"compose-runtime", "--root", bundle.state(), "exec", bundle.id(), "/bin/probe"};
    options.arguments.insert(options.arguments.end(), command.begin(), command.end());
    options.fds = {{out, 1}};
    return base::ChildProcess::spawn(options);
  };
  const auto out_file = bundle.folder() / "looked";
  const auto out = base::sys::open(out_file, O_WRONLY | O_CREAT, 0666);
  REQUIRE(out);
  auto exec = spawn({"exit", "5"}, out->borrow());
  REQUIRE(exec);
  const Held held = Held::take(agent->borrow());
  REQUIRE(held.listener.valid());
  const std::string proc = "/proc/" + innermost_pid(held.asked.pid);
  REQUIRE(proc.size() > 6);
  // It has the user and the capabilities of its neighbour by now: only that it is not dumpable keeps that one out (CVE-2016-9962).
  auto look = spawn({"do", "write", proc + "/fd/1", "x", ",", "write", proc + "/mem", "x", ",", "file", "/proc/1/fd/0"}, out->borrow());
  REQUIRE(look);
  const Held looking = Held::take(agent->borrow());
  REQUIRE(looking.go_on());
  CHECK(look->wait(std::chrono::seconds(10))->code == 0);
  const std::string looked = *base::sys::read_file(out_file);
  INFO(looked);
  CHECK(looked.find("-> /dev/null") != std::string::npos);  // a program that runs may be looked at
  CHECK(looked.find("write " + proc + "/fd/1 EACCES") != std::string::npos);
  CHECK(looked.find("write " + proc + "/mem EACCES") != std::string::npos);
  CHECK(held.go_on());
  CHECK(exec->wait(std::chrono::seconds(10))->code == 5);
}

TEST_CASE("a program that runs may be looked at again", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.probe({"hold"});
  REQUIRE(bundle.start().code == 0);
  const auto seen = bundle.exec({}, {"/bin/probe", "report"});
  CHECK(seen.one("dumpable") == "1");
  CHECK(seen.one("fds") == "0 1 2");
}

TEST_CASE("setgroups stays denied where the user namespace denies it", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.process->user = {.uid = 1000, .gid = 1000};
  const auto seen = bundle.probe({"call", "setgroups"}).run();
  CHECK(seen.out == "setgroups EPERM\n");
}

TEST_CASE("a hook inside the container gets the program's environment, not the host's", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  ::setenv("RUNTIME_TEST_SECRET", "of the host", 1);
  bundle.config.process->env = {"ONE=two"};
  bundle.config.hooks.start_container = {{.path = "/bin/probe", .args = {"probe", "environ"}, .env = {}, .timeout_s = 5}};
  const auto seen = bundle.probe({"exit", "0"}).run();
  ::unsetenv("RUNTIME_TEST_SECRET");
  INFO(seen.out << seen.err);
  CHECK(seen.code == 0);
  CHECK((seen.out + seen.err).find("ONE=two\nHOME=/root\n") != std::string::npos);
  CHECK((seen.out + seen.err).find("RUNTIME_TEST_SECRET") == std::string::npos);
}

TEST_CASE("the container's environment does not reach hooks or the runtime's helpers", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const std::string log = bundle.folder() / "log";
  bundle.config.process->env.emplace_back("LD_PRELOAD=/inside-the-container");
  const runtime::spec::Hook hook{.path = "/usr/bin/env", .args = {"env"}, .env = std::vector<std::string>{"ONLY=this"}, .timeout_s = 5};
  bundle.config.hooks.create_runtime = bundle.config.hooks.poststop = {hook};
  bundle.config.annotations["run.oci.hooks.stdout"] = log;
  const auto seen = bundle.run();
  INFO(seen.err);
  CHECK(seen.code == 0);
  CHECK(*base::sys::read_file(log) == "ONLY=this\nONLY=this\n");
}

TEST_CASE("a link that takes a mount target's place in the middle of a start leads nowhere outside", "[ns]") {
  NEED_CONTAINERS();
  // CVE-2021-30465: somebody who shares the root exchanges a folder for a link between check and mount.
  Bundle bundle;
  const auto outside = bundle.folder() / "outside", target = bundle.root() / "target", link = bundle.root() / "link";
  std::filesystem::create_directories(outside);
  std::filesystem::create_directories(target);
  std::filesystem::create_symlink(outside, link);
  bundle.config.mounts.push_back({.destination = "/target/made", .type = "tmpfs", .source = "tmpfs", .options = {}, .uid_mappings = {}, .gid_mappings = {}});
  bundle.config.linux_.masked_paths.emplace_back("/target");
  std::atomic<bool> done = false;
  std::thread swapper([&] {
    while (!done) (void)::renameat2(AT_FDCWD, target.c_str(), AT_FDCWD, link.c_str(), RENAME_EXCHANGE);
  });
  for (int round = 0; round < 12; ++round) (void)bundle.run();
  done = true;
  swapper.join();
  CHECK(std::filesystem::is_empty(outside));
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("sysctls and labels are written to the kernel's procfs only", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  // A folder bound over /proc pretends to be one.
  const auto fake = bundle.folder() / "fake";
  std::filesystem::create_directories(fake / "sys/net/ipv4");
  REQUIRE(base::sys::write_file(fake / "sys/net/ipv4/ip_default_ttl", "fake"));
  bundle.config.linux_.namespaces.push_back({.type = "network", .path = ""});
  bundle.config.linux_.sysctl["net.ipv4.ip_default_ttl"] = "77";
  bundle.config.linux_.masked_paths.clear();
  bundle.config.linux_.readonly_paths.clear();
  for (auto& mount : bundle.config.mounts)
    if (mount.destination == "/proc") mount = {.destination = "/proc", .type = "bind", .source = fake, .options = {"bind"}, .uid_mappings = {}, .gid_mappings = {}};
  const auto seen = bundle.probe({"print", "ran"}).run();
  INFO(seen.err);
  CHECK(seen.out == "ran\n");
  CHECK(*base::sys::read_file(fake / "sys/net/ipv4/ip_default_ttl") == "fake");
}

TEST_CASE("exec --cap raises nothing that a further execve would inherit", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.probe({"hold"});
  REQUIRE(bundle.start().code == 0);
  const auto seen = bundle.exec({"--cap", "CAP_NET_ADMIN", "--user", "1000"}, {"/bin/probe", "report"});
  CHECK(seen.one("CapInh") == "0000000000000000");
  CHECK(seen.one("CapAmb") == "0000000000000000");
  CHECK(seen.one("CapEff") == "0000000000000000");
}

TEST_CASE("a terminal is never opened through what the image put into /dev", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto victim = bundle.folder() / "victim";
  REQUIRE(base::sys::write_file(victim, "untouched"));
  bundle.config.process->terminal = true;
  std::erase_if(bundle.config.mounts, [](const auto& mount) { return mount.destination == "/dev" || mount.destination == "/dev/pts"; });
  std::filesystem::create_directories(bundle.root() / "dev/pts");
  std::filesystem::create_symlink(victim, bundle.root() / "dev/console");
  REQUIRE(base::sys::write_file(bundle.root() / "dev/pts/ptmx", "no multiplexer"));
  const auto seen = bundle.run();
  CHECK(seen.code == 1);
  CHECK(seen.err.find("process.terminal") != std::string::npos);
  CHECK(*base::sys::read_file(victim) == "untouched");
  CHECK(bundle.leftovers() == "");
}

namespace {
/// A container that holds, and a folder of the host for its execs to be given.
base::UniqueFd start_beside_host_folder(Bundle& bundle) {
  bundle.probe({"hold"});
  REQUIRE(bundle.start().code == 0);
  auto folder = base::sys::open("/", O_PATH | O_DIRECTORY);
  REQUIRE(folder);
  return *std::move(folder);
}
}  // namespace

TEST_CASE("exec's working directory can't be a descriptor of the host either", "[ns]") {
  NEED_CONTAINERS();
  // CVE-2024-21626, by exec: with its own flag, by --process, and with a folder that is really passed.
  Bundle bundle;
  const auto folder = start_beside_host_folder(bundle);
  const std::vector<std::pair<base::Fd, int>> leaked = {{folder.borrow(), 3}, {folder.borrow(), 8}};
  for (int fd = 3; fd < 16; ++fd) {
    const std::string cwd = "/proc/self/fd/" + std::to_string(fd);
    const auto tried = bundle.runtime({"exec", "--cwd", cwd, bundle.id(), "/bin/probe", "print", "ran"}, leaked);
    INFO(cwd << ": " << tried.err);
    CHECK(tried.code == 255);
    CHECK(tried.out == "");
    CHECK(tried.err.find("process.cwd") != std::string::npos);
  }
  const auto passed = bundle.runtime({"exec", "--preserve-fds", "1", "--cwd", "/proc/self/fd/3", bundle.id(), "/bin/probe", "print", "ran"}, leaked);
  CHECK(passed.out == "");
  CHECK(passed.err.find("outside of the container's root") != std::string::npos);
  const auto seen = bundle.runtime({"exec", bundle.id(), "/bin/probe", "report"}, leaked);
  CHECK(seen.one("fds") == "0 1 2");
}

TEST_CASE("a program is never run from a descriptor of the host", "[ns]") {
  NEED_CONTAINERS();
  // The second half of CVE-2024-21626: args[0] below /proc/self/fd.
  Bundle bundle;
  const auto folder = start_beside_host_folder(bundle);
  for (int fd = 3; fd < 16; ++fd) {
    const std::string program = "/proc/self/fd/" + std::to_string(fd) + "/bin/true";
    const auto tried = bundle.runtime({"exec", bundle.id(), program}, {{folder.borrow(), 3}, {folder.borrow(), 8}});
    INFO(program << ": " << tried.err);
    CHECK(tried.code != 0);
  }
}

TEST_CASE("the runtime trusts no /proc of the host that is no procfs", "[ns]") {
  NEED_CONTAINERS();
  // CVE-2019-16884, CVE-2025-52881: what is written to a file that only looks like the kernel's has no effect.
  Bundle bundle;
  const auto fake = bundle.folder() / "fake";
  REQUIRE(base::sys::write_file(fake, "fake"));
  bundle.config.linux_.sysctl["kernel.domainname"] = "written";
  bundle.probe({"print", "ran"});
  bundle.program = std::filesystem::path(BIN_DIR) / "compose-runtime";
  const auto with_mount = [&](const std::string& command) {
    bundle.before = {"/usr/bin/unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", command + " && exec \"$@\"", "sh"};
    return bundle.run();
  };
  const auto covered = with_mount("mount --bind '" + fake.string() + "' /proc/sys/kernel/domainname");
  CHECK(covered.code == 1);
  CHECK(covered.out == "");
  CHECK(covered.err.find("is not on a procfs") != std::string::npos);
  CHECK(*base::sys::read_file(fake) == "fake");
  const auto replaced = with_mount("mount -t tmpfs none /proc");
  CHECK(replaced.code == 1);
  CHECK(replaced.out == "");
  CHECK(with_mount("true").out == "ran\n");
  bundle.before.clear();
  bundle.program = "compose-runtime";
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("a link that takes the place of /dev/console in the middle of a start is not bound over", "[ns]") {
  NEED_CONTAINERS();
  // CVE-2025-52565: the bind of the terminal led elsewhere, before what is masked was masked.
  Bundle bundle;
  const auto console = bundle.root() / "dev/console", link = bundle.root() / "dev/link";
  std::erase_if(bundle.config.mounts, [](const auto& mount) { return mount.destination == "/dev"; });
  REQUIRE(base::sys::write_file(console, ""));
  std::filesystem::create_symlink("../proc/keys", link);
  bundle.config.process->terminal = true;
  bundle.probe({"do", "file", "/proc/keys", ",", "report"});
  std::atomic<bool> done = false;
  std::thread swapper([&] {
    while (!done) (void)::renameat2(AT_FDCWD, console.c_str(), AT_FDCWD, link.c_str(), RENAME_EXCHANGE);
  });
  int started = 0;
  for (int round = 0; round < 12; ++round) {
    const auto seen = bundle.run();
    if (seen.code != 0) continue;  // it was the link just then
    ++started;
    INFO(seen.out);
    CHECK(seen.has("/proc/keys char 0666 0:0 1,3"));  // the null device, not the terminal
    CHECK(mount_line(seen, "/proc/keys").find("devpts") == std::string::npos);
  }
  done = true;
  swapper.join();
  INFO(started << " of 12 started");
  CHECK(bundle.leftovers() == "");
}
