// The default filter and its exceptions, as system calls behave under it.
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "tests/kernel/runtime/bundle.h"

using runtime_test::Bundle;

namespace {

std::vector<std::string> calls(const std::vector<std::string>& names) {
  std::vector<std::string> words{"do"};
  for (const auto& name : names) words.insert(words.end(), {",", "call", name});
  return words;
}

}  // namespace

TEST_CASE("Docker's filter refuses what Docker's filter refuses", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.probe(calls({"unshare", "mount", "keyctl", "bpf", "clone3", "vsock", "personality", "open-by-handle", "ptrace", "chroot",
                      "fchmodat2", "future", "mkdirat"}));
  const auto seen = bundle.run();
  INFO(seen.err);
  // clone3 says ENOSYS so that C libraries fall back; so does a call no profile knows yet. ptrace (an unknown request) reaches the kernel.
  // fchmodat2 came with Linux 6.6.
  auto out = seen.out;
  if (const auto at = out.find("fchmodat2 ENOSYS"); at != std::string::npos && ::syscall(452, -1, nullptr, 0, 0) < 0 && errno == ENOSYS)
    out.replace(at, 16, "fchmodat2 ok");
  CHECK(out == "unshare EPERM\nmount EPERM\nkeyctl EPERM\nbpf EPERM\nclone3 ENOSYS\nvsock EPERM\npersonality EPERM\n"
               "open-by-handle EPERM\nptrace ESRCH\nchroot ok\nfchmodat2 ok\nfuture ENOSYS\nmkdirat ok\n");
}

TEST_CASE("capabilities open their calls in Docker's filter", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto capabilities = runtime::spec::docker::tweak_capabilities({.add = {"SYS_ADMIN"}, .drop = {"SYS_CHROOT"}});
  REQUIRE(capabilities);
  bundle.config.process->capabilities = runtime::spec::docker::capability_sets(*capabilities, true);
  bundle.config.linux_.seccomp = runtime::spec::docker::seccomp_profile(*capabilities);
  const auto seen = bundle.probe(calls({"unshare", "mount", "umount", "sethostname", "bpf", "chroot"})).run();
  CHECK(seen.out == "unshare ok\nmount ok\numount ok\nsethostname ok\nbpf EINVAL\nchroot EPERM\n");
}

TEST_CASE("rules with arguments, other errnos and kills work; a second start takes the compiled filter from the cache", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  runtime::spec::Seccomp profile;
  profile.default_action = "SCMP_ACT_ALLOW";
  profile.syscalls.push_back({.names = {"mkdir", "mkdirat"}, .action = "SCMP_ACT_ERRNO", .errno_ret = 122, .args = {}});
  profile.syscalls.push_back({.names = {"socket"}, .action = "SCMP_ACT_ERRNO", .errno_ret = 13,
                              .args = {{.index = 0, .value = 40, .value_two = 0, .op = "SCMP_CMP_EQ"}}});
  bundle.config.linux_.seccomp = profile;
  bundle.probe(calls({"mkdirat", "vsock"}));
  CHECK(bundle.run().out == "mkdirat EDQUOT\nvsock EACCES\n");
  const auto cache = bundle.state() / ".cache/seccomp";
  REQUIRE(std::filesystem::exists(cache));
  CHECK(std::distance(std::filesystem::directory_iterator(cache), {}) == 1);
  CHECK(bundle.run().out == "mkdirat EDQUOT\nvsock EACCES\n");
  // A broken cache file is not believed.
  for (const auto& entry : std::filesystem::directory_iterator(cache)) std::filesystem::resize_file(entry.path(), 100);
  CHECK(bundle.run().out == "mkdirat EDQUOT\nvsock EACCES\n");
  profile.syscalls[0].action = "SCMP_ACT_KILL_PROCESS";
  bundle.config.linux_.seccomp = profile;
  CHECK(bundle.run().code == 128 + 31);
}

TEST_CASE("without a profile nothing is filtered", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.linux_.seccomp.reset();
  CHECK(bundle.run().one("Seccomp") == "0");
}

TEST_CASE("a notifying filter hands its descriptor and the state to the agent", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const std::string path = bundle.folder() / "agent.sock";
  const auto agent = base::sys::listen_unix(path);
  REQUIRE(agent);
  runtime::spec::Seccomp profile;
  profile.default_action = "SCMP_ACT_ALLOW";
  profile.listener_path = path;
  profile.listener_metadata = "for the agent";
  profile.syscalls.push_back({.names = {"mkdir"}, .action = "SCMP_ACT_NOTIFY", .errno_ret = {}, .args = {}});
  bundle.config.linux_.seccomp = profile;
  bundle.probe({"hold"});
  const auto started = bundle.start();
  INFO(started.err);
  REQUIRE(started.code == 0);
  const base::UniqueFd connection(::accept4(agent->number(), nullptr, nullptr, SOCK_CLOEXEC));
  const auto message = base::sys::recv_fds(connection.borrow());
  REQUIRE(message);
  CHECK(message->fds.size() == 1);
  CHECK(message->bytes.find("\"fds\":[\"seccompFd\"]") != std::string::npos);
  CHECK(message->bytes.find("\"metadata\":\"for the agent\"") != std::string::npos);
  CHECK(message->bytes.find("\"id\":\"" + bundle.id() + "\"") != std::string::npos);
  const auto state = bundle.runtime({"state", bundle.id()}).out;
  const std::size_t at = state.find("\"pid\":");
  CHECK(message->bytes.find(state.substr(at, state.find(',', at) - at)) != std::string::npos);  // the host's pid
}

namespace {

/// Everything is allowed but `names`, which get EPERM or end the process.
runtime::spec::Seccomp without(std::vector<std::string> names, const std::string& action = "SCMP_ACT_ERRNO") {
  runtime::spec::Seccomp profile;
  profile.default_action = "SCMP_ACT_ALLOW";
  profile.syscalls.push_back({.names = std::move(names), .action = action, .errno_ret = {}, .args = {}});
  return profile;
}

runtime::spec::Hook probe_hook(std::vector<std::string> words) {
  words.insert(words.begin(), "probe");
  return {.path = "/bin/probe", .args = std::move(words), .env = {}, .timeout_s = 5};
}

}  // namespace

TEST_CASE("no agent may be asked about write, which tells our own errors", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.linux_.seccomp = without({"write"}, "SCMP_ACT_NOTIFY");
  bundle.config.linux_.seccomp->listener_path = bundle.folder() / "agent.sock";
  const auto seen = bundle.run();
  CHECK(seen.code == 1);
  CHECK(seen.err.find("SCMP_ACT_NOTIFY cannot be used for the write syscall") != std::string::npos);
  bundle.config.linux_.seccomp->syscalls.front().names = {"mkdir"};
  CHECK(bundle.run().err.find("failed to connect with seccomp agent") != std::string::npos);
}

TEST_CASE("a startContainer hook runs under the filter, as the user and with the capabilities of the program", "[ns]") {
  NEED_CONTAINERS();
  for (const bool no_new_privileges : {false, true}) {
    Bundle bundle;
    bundle.config.linux_.seccomp = without({"mkdir", "mkdirat"});
    bundle.config.process->no_new_privileges = no_new_privileges;
    bundle.config.process->user = {.uid = 1000, .gid = 1000};
    bundle.config.process->cwd = "/tmp";
    bundle.config.hooks.start_container = {probe_hook({"do", "call", "mkdirat", ",", "report"})};
    const auto seen = bundle.probe({"exit", "0"}).run();
    INFO(seen.err);
    CHECK(seen.code == 0);
    const runtime_test::Outcome hook{.code = 0, .out = seen.err, .err = {}};  // a hook's output is our error stream
    CHECK(hook.has("mkdirat EPERM\n"));
    CHECK(hook.one("uid") == "1000");
    CHECK(hook.one("CapEff") == "0000000000000000");
    CHECK(hook.one("NoNewPrivs") == (no_new_privileges ? "1" : "0"));
    CHECK(hook.one("cwd") == "/tmp");
    CHECK(hook.one("fds") == "0 1 2");
  }
}

TEST_CASE("a startContainer hook that the filter kills ends the start, by name of the signal", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.linux_.seccomp = without({"mkdir", "mkdirat"}, "SCMP_ACT_KILL");
  bundle.config.process->rlimits.push_back({.type = "RLIMIT_CORE", .soft = 0, .hard = 0});
  bundle.config.hooks.start_container = {probe_hook({"call", "mkdirat"})};
  const auto seen = bundle.probe({"print", "ran"}).run();
  CHECK(seen.code == 1);
  CHECK(seen.out == "");
  CHECK(seen.err.find("error running startContainer hook #0: startContainer hook killed by signal 31 (bad system call)") != std::string::npos);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("startContainer hooks need no more of a filter than fork, wait and execve", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.linux_.seccomp = without({"clone3", "pidfd_open", "memfd_create", "close_range", "poll", "vfork", "rt_sigprocmask", "openat2"});
  bundle.config.hooks.start_container = {probe_hook({"complain", "first"}), probe_hook({"complain", "second"})};
  const auto seen = bundle.probe({"print", "ran"}).run();
  INFO(seen.err);
  CHECK(seen.code == 0);
  CHECK(seen.err == "first\nsecond\n");
  CHECK(seen.out == "ran\n");
}

TEST_CASE("a startContainer hook whose time passes is killed and ends the start", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.hooks.start_container = {probe_hook({"hold"})};
  bundle.config.hooks.start_container.front().timeout_s = 1;
  const auto seen = bundle.probe({"print", "ran"}).run();
  CHECK(seen.code == 1);
  CHECK(seen.out == "");
  CHECK(seen.err.find("startContainer hook #0: process still runs") != std::string::npos);
  CHECK(bundle.leftovers() == "");
}
