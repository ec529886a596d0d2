// What config.json's "process" promises, as the process itself sees it.
#include <sched.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "base/sys.h"
#include "runtime/linux/kernel.h"
#include "tests/kernel/runtime/bundle.h"

using runtime_test::Bundle;
using runtime_test::refusal;

TEST_CASE("a container has Docker's identity, capabilities and filter by default", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto seen = bundle.run();
  INFO(seen.err);
  REQUIRE(seen.code == 0);
  CHECK(seen.one("pid") == "1");
  CHECK(seen.one("uid") == "0");
  CHECK(seen.one("groups") == "0");
  CHECK(seen.one("cwd") == "/");
  CHECK(seen.one("umask") == "0022");
  CHECK(seen.one("CapEff") == "00000000a80425fb");
  CHECK(seen.one("CapPrm") == "00000000a80425fb");
  CHECK(seen.one("CapBnd") == "00000000a80425fb");
  CHECK(seen.one("CapInh") == "0000000000000000");
  CHECK(seen.one("CapAmb") == "0000000000000000");
  CHECK(seen.one("Seccomp") == "2");
  CHECK(seen.one("NoNewPrivs") == "0");
  CHECK(seen.one("SigIgn") == "0000000000000000");
  CHECK(seen.one("SigBlk") == "0000000000000000");
  CHECK(seen.one("dumpable") == "1");
  CHECK(seen.one("fds") == "0 1 2");
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("a user, his groups, umask and home are as configured", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  auto& user = bundle.config.process->user;
  user = {.uid = 1000, .gid = 1001, .umask = 0077, .additional_gids = {5, 27}};
  const auto seen = bundle.run();
  REQUIRE(seen.code == 0);
  CHECK(seen.one("uid") == "1000");
  CHECK(seen.one("gid") == "1001");
  CHECK(seen.one("groups") == "5 27");
  CHECK(seen.one("umask") == "0077");
  // execve takes them from a user who is not root; only the bounding set stays.
  CHECK(seen.one("CapEff") == "0000000000000000");
  CHECK(seen.one("CapBnd") == "00000000a80425fb");
  const auto environment = seen.all("env");
  CHECK(std::ranges::find(environment, "HOME=/home/user") != environment.end());
}

TEST_CASE("ambient capabilities reach a program of another user", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.process->user.uid = 1000;
  auto& sets = *bundle.config.process->capabilities;
  for (auto* set : {&sets.bounding, &sets.effective, &sets.permitted, &sets.inheritable, &sets.ambient})
    *set = {"CAP_NET_BIND_SERVICE"};
  const auto seen = bundle.run();
  INFO(seen.err);
  CHECK(seen.one("CapAmb") == "0000000000000400");
  CHECK(seen.one("CapEff") == "0000000000000400");
}

TEST_CASE("the environment is exactly the configured one, the last of duplicates, and HOME", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.process->env = {"A=1", "B=2", "A=3", "EMPTY="};
  const auto seen = bundle.probe({"environ"}).run();
  CHECK(seen.out == "A=3\nB=2\nEMPTY=\nHOME=/root\n");
  bundle.config.process->env = {"HOME=/x", "A=1", "HOME="};
  CHECK(bundle.run().out == "HOME=/root\nA=1\n");
}

TEST_CASE("no_new_privs, limits, oom score, scheduler and io priority are set", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  auto& process = *bundle.config.process;
  process.no_new_privileges = true;
  process.oom_score_adj = 123;
  process.rlimits = {{.type = "RLIMIT_NOFILE", .soft = 100, .hard = 200}, {.type = "RLIMIT_CORE", .soft = 0, .hard = 0}};
  process.scheduler = runtime::spec::Scheduler{.policy = "SCHED_BATCH", .nice = 5, .priority = 0, .flags = {}};
  process.io_priority = runtime::spec::IoPriority{.class_name = "IOPRIO_CLASS_BE", .priority = 6};
  const auto seen = bundle.run();
  INFO(seen.err);
  REQUIRE(seen.code == 0);
  CHECK(seen.one("NoNewPrivs") == "1");
  CHECK(seen.one("Seccomp") == "2");
  CHECK(seen.one("oom_score_adj") == "123");
  CHECK(seen.one("rlimit_nofile") == "100:200");
  CHECK(seen.one("rlimit_core") == "0:0");
  CHECK(seen.one("scheduler") == std::to_string(SCHED_BATCH));
  CHECK(seen.one("nice") == "5");
  CHECK(seen.one("ioprio") == std::to_string(2 << 13 | 6));
}

TEST_CASE("a limit above our own is an error that names it", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.process->rlimits = {{.type = "RLIMIT_NOFILE", .soft = 1u << 30, .hard = 1u << 30}};
  const auto seen = bundle.run();
  CHECK(seen.code == 1);
  CHECK(seen.err.find("RLIMIT_NOFILE") != std::string::npos);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("a missing working directory is made", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.process->cwd = "/srv/deep/er";
  CHECK(bundle.run().one("cwd") == "/srv/deep/er");
}

TEST_CASE("host and domain name, personality and a cpu list take effect", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.hostname = "web-1";
  bundle.config.domainname = "example.test";
  bundle.config.linux_.personality = runtime::spec::Personality{.domain = "LINUX32", .flags = {}};
  bundle.config.linux_.resources->cpu = runtime::spec::Cpu{.cpus = "0", .mems = {}};
  const auto seen = bundle.run();
  INFO(seen.err);
  CHECK(seen.one("hostname") == "web-1");
  CHECK(seen.one("domainname") == "example.test");
  CHECK(seen.one("personality") == "8");
  CHECK(seen.one("cpus") == "0");
}

TEST_CASE("the exit code is the program's, or 128 and the signal", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  CHECK(bundle.probe({"exit", "42"}).run().code == 42);
  CHECK(bundle.probe({"exit", "0"}).run().code == 0);
}

TEST_CASE("a command that is missing, a folder or not executable is told apart", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  auto& args = bundle.config.process->args;
  args = {"nosuchcommand"};
  auto seen = bundle.run();
  CHECK(seen.code == 127);
  CHECK(seen.err == "compose-runtime: exec: \"nosuchcommand\": executable file not found in $PATH\n");
  args = {"/nosuch/command"};
  seen = bundle.run();
  CHECK(seen.code == 127);
  CHECK(seen.err == "compose-runtime: exec: \"/nosuch/command\": stat /nosuch/command: no such file or directory\n");
  args = {"/etc"};
  seen = bundle.run();
  CHECK(seen.code == 126);
  CHECK(seen.err == "compose-runtime: exec: \"/etc\": is a directory\n");
  args = {"/etc/passwd"};
  seen = bundle.run();
  CHECK(seen.code == 126);
  CHECK(seen.err == "compose-runtime: exec: \"/etc/passwd\": permission denied\n");
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("a script whose interpreter is missing is reported after the container was set up", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto script = bundle.root() / "bin/script";
  (void)std::ofstream(script).write("#!/no/such/shell\n", 17);
  std::filesystem::permissions(script, std::filesystem::perms(0755));
  bundle.config.process->args = {"/bin/script"};
  const auto seen = bundle.run();
  CHECK(seen.code == 127);
  CHECK(seen.err.find("its interpreter is missing") != std::string::npos);
  CHECK(bundle.start().code == 127);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("the program is found in the container's PATH", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.process->env = {"PATH=/nowhere:/bin"};
  bundle.config.process->args = {"probe", "print", "found"};
  CHECK(bundle.run().out == "found\n");
}

TEST_CASE("without capabilities in the config none of the runtime's own are taken", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.process->capabilities = runtime::spec::Capabilities{};
  bundle.config.process->no_new_privileges = true;
  const auto seen = bundle.run();
  CHECK(seen.one("CapBnd") == "0000000000000000");
  CHECK(seen.one("CapEff") == "0000000000000000");
}

TEST_CASE("a capability that can't be given is a warning that names it", "[ns]") {
  NEED_CONTAINERS();
  // config.md "Linux Process": a runtime should not fail over one.
  Bundle bundle;
  auto& sets = *bundle.config.process->capabilities;
  sets.bounding.emplace_back("CAP_FLY");
  sets.inheritable = {"CAP_KILL"};
  sets.ambient = {"CAP_KILL", "CAP_CHOWN"};
  const auto seen = bundle.run();
  INFO(seen.err);
  REQUIRE(seen.code == 0);
  CHECK(seen.err.find("unknown capability 'CAP_FLY'") != std::string::npos);
  CHECK(seen.err.find("can't raise ambient capability CAP_CHOWN") != std::string::npos);
  CHECK(seen.one("CapAmb") == "0000000000000020");
}

TEST_CASE("an unknown limit, policy or action is an error that names it", "[ns]") {
  NEED_CONTAINERS();
  const auto memory = [&](runtime::spec::MemoryPolicy policy) {
    return refusal([&](auto& config) { config.linux_.memory_policy = policy; });
  };
  CHECK(memory({.mode = "MPOL_LUCK", .nodes = {}, .flags = {}}).find("linux.memoryPolicy.mode: unknown 'MPOL_LUCK'") != std::string::npos);
  CHECK(memory({.mode = "MPOL_BIND", .nodes = "none", .flags = {}}).find("linux.memoryPolicy.nodes: 'none'") != std::string::npos);
  CHECK(memory({.mode = "MPOL_BIND", .nodes = "99999", .flags = {}}).find("linux.memoryPolicy.nodes: '99999'") != std::string::npos);
  CHECK(memory({.mode = "MPOL_INTERLEAVE", .nodes = {}, .flags = {}}).find("linux.memoryPolicy") != std::string::npos);
  const auto deadline = [&](std::optional<std::uint64_t> runtime, std::optional<std::uint64_t> end, std::uint64_t period) {
    return refusal([&](auto& config) {
      config.process->scheduler = runtime::spec::Scheduler{.policy = "SCHED_DEADLINE", .runtime = runtime, .deadline = end, .period = period};
    });
  };
  CHECK(deadline({}, 20, 30).find("requires `runtime`") != std::string::npos);
  CHECK(deadline(5000000, 4000000, 6000000).find("must be <= deadline") != std::string::npos);
  CHECK(refusal([](auto& config) { config.process->rlimits = {{.type = "RLIMIT_LUCK", .soft = 1, .hard = 1}}; }).find("RLIMIT_LUCK") != std::string::npos);
  CHECK(refusal([](auto& config) { config.process->scheduler = runtime::spec::Scheduler{.policy = "SCHED_LAZY"}; }).find("SCHED_LAZY") != std::string::npos);
  CHECK(refusal([](auto& config) { config.linux_.seccomp->default_action = "SCMP_ACT_SING"; }).find("SCMP_ACT_SING") != std::string::npos);
  CHECK(refusal([](auto& config) { config.mounts[0].options = {"no=such"}; }).find("mounting proc at /proc") != std::string::npos);
}

TEST_CASE("a label whose security module is not there is an error that names the property", "[ns]") {
  NEED_CONTAINERS();
  if (!runtime::kernel::has_apparmor()) {
    CHECK(refusal([](auto& config) { config.process->apparmor_profile = "mine"; }).find("process.apparmorProfile 'mine'") != std::string::npos);
    Bundle bundle;
    bundle.config.process->apparmor_profile = "unconfined";  // asks for nothing
    CHECK(bundle.probe({"exit", "0"}).run().code == 0);
  }
  if (!runtime::kernel::has_selinux()) {
    CHECK(refusal([](auto& config) { config.process->selinux_label = "a:b:c:s0"; }).find("process.selinuxLabel 'a:b:c:s0'") != std::string::npos);
    CHECK(refusal([](auto& config) { config.linux_.mount_label = "a:b:c:s0"; }).find("linux.mountLabel") != std::string::npos);
  }
}

TEST_CASE("the cpus our caller is pinned to are not the container's, nor exec's", "[ns]") {
  NEED_CONTAINERS();
  cpu_set_t before, pinned;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  if (CPU_COUNT(&before) < 2) SKIP_TEST("one cpu only");
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  CPU_ZERO(&pinned);
  CPU_SET(first, &pinned);
  Bundle bundle;
  bundle.probe({"hold"});
  REQUIRE(::sched_setaffinity(0, sizeof pinned, &pinned) == 0);
  const auto started = bundle.start({"--pid-file", bundle.folder() / "pid"});
  const auto joined = bundle.exec({}, {"/bin/probe", "do", "read", "/proc/self/status"});
  REQUIRE(::sched_setaffinity(0, sizeof before, &before) == 0);
  INFO(started.err + joined.err);
  REQUIRE(started.code == 0);
  cpu_set_t inside;
  REQUIRE(::sched_getaffinity(std::atoi(base::sys::read_file(bundle.folder() / "pid")->c_str()), sizeof inside, &inside) == 0);
  CHECK(CPU_COUNT(&inside) >= CPU_COUNT(&before));
  CHECK(joined.out.find("Cpus_allowed_list:\t" + std::to_string(first) + "\n") == std::string::npos);
}
