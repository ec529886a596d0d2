// Behaviour that the public OCI suites check and that other rooms' tests do not: each case is a difference they once found.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "runtime/linux/cgroup.h"
#include "tests/kernel/runtime/bundle.h"

using runtime_test::Bundle;
using runtime_test::mount_line;

namespace {

runtime::spec::Hook shell_hook(const std::string& script) {
  return {.path = "/bin/sh", .args = {"sh", "-c", script}, .env = std::vector<std::string>{"PATH=/bin:/usr/bin"}, .timeout_s = 5};
}

pid_t pid_in(const std::filesystem::path& file) {
  const auto text = base::sys::read_file(file);
  return text ? std::atoi(text->c_str()) : -1;
}

}  // namespace

TEST_CASE("the memory policy is the configured one", "[ns]") {
  NEED_CONTAINERS();
  if (!std::filesystem::exists("/proc/self/numa_maps")) SKIP_TEST("this kernel has no NUMA policies");
  Bundle bundle;
  bundle.config.linux_.memory_policy = runtime::spec::MemoryPolicy{.mode = "MPOL_BIND", .nodes = "0", .flags = {"MPOL_F_STATIC_NODES"}};
  const auto seen = bundle.probe({"read", "/proc/self/numa_maps"}).run();
  INFO(seen.err);
  REQUIRE(seen.code == 0);
  CHECK(seen.has(" bind=static:0 "));
}

TEST_CASE("a missing working directory is made before the root becomes read-only", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.root.readonly = true;
  bundle.config.process->cwd = "/not/there";
  const auto seen = bundle.run();
  INFO(seen.err);
  CHECK(seen.one("cwd") == "/not/there");
}

TEST_CASE("a shared root is possible, and shared only once it is the root", "[ns]") {
  NEED_CONTAINERS();
  for (const char* word : {"shared", "rslave", "private", "unbindable"}) {
    Bundle bundle;
    bundle.config.linux_.rootfs_propagation = word;
    const auto seen = bundle.run();
    INFO(word << ": " << seen.err);
    REQUIRE(seen.code == 0);
    CHECK((mount_line(seen, "/").find("shared:") != std::string::npos) == (std::string_view(word) == "shared"));
  }
}

TEST_CASE("without a mount for /dev the default devices are made in the root, never through a link", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  std::erase_if(bundle.config.mounts, [](const auto& mount) { return mount.destination.starts_with("/dev"); });
  const auto seen = bundle.probe({"file", "/dev/null", "/dev/fd"}).run();
  INFO(seen.err);
  CHECK(seen.has("/dev/null char 0666 0:0 1,3\n"));
  CHECK(seen.has("/dev/fd link"));
  Bundle linked;
  const auto outside = linked.folder() / "outside";
  std::filesystem::create_directories(outside);
  std::filesystem::remove(linked.root() / "dev");
  std::filesystem::create_symlink(outside, linked.root() / "dev");
  std::erase_if(linked.config.mounts, [](const auto& mount) { return mount.destination.starts_with("/dev"); });
  CHECK(linked.run().code == 1);
  CHECK(std::filesystem::is_empty(outside));
  CHECK(linked.leftovers() == "");
}

TEST_CASE("devices in a user namespace are nodes of their own with mapped owners", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  auto& linux_object = bundle.config.linux_;
  linux_object.namespaces.push_back({.type = "user", .path = ""});
  linux_object.uid_mappings = linux_object.gid_mappings = {{.container_id = 0, .host_id = 100000, .size = 65536}};
  std::filesystem::permissions(bundle.folder(), std::filesystem::perms(0755));
  linux_object.devices = {{.type = "c", .path = "/dev/not-on-the-host", .major = 1, .minor = 5, .file_mode = 0640, .uid = 10, .gid = 11}};
  const auto seen = bundle.probe({"do", "file", "/dev/not-on-the-host", "/dev/null", ",", "report"}).run();
  INFO(seen.err);
  CHECK(seen.has("/dev/not-on-the-host char 0640 10:11 1,5\n"));
  CHECK(seen.has("/dev/null char 0666 0:0 1,3\n"));
  for (const char* path : {"/dev/not-on-the-host", "/dev/null"}) {
    CHECK(mount_line(seen, path).find("nosuid") != std::string::npos);
    CHECK(mount_line(seen, path).find("noexec") != std::string::npos);
  }
  linux_object.devices[0].uid = 70000;
  CHECK(bundle.run().err.find("70000 is not mapped") != std::string::npos);
}

TEST_CASE("a bind mount takes its id mappings from its option", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto file = bundle.folder() / "data/file";
  std::filesystem::create_directories(file.parent_path());
  REQUIRE(base::sys::write_file(file, "x"));
  bundle.config.mounts.push_back({.destination = "/data", .type = "bind", .source = file.parent_path(),
                                  .options = {"bind", "idmap=uids=0-1000-10;gids=0-2000-10"}, .uid_mappings = {}, .gid_mappings = {}});
  const auto seen = bundle.probe({"file", "/data/file"}).run();
  if (seen.err.find("mounting at /data") != std::string::npos) SKIP_TEST("no mapped mounts here: " + seen.err);
  INFO(seen.err);
  CHECK(seen.has("1000:2000"));
  bundle.config.mounts.back().options = {"bind", "idmap=uids=0-1000"};
  CHECK(bundle.run().err.find("expected uids=FROM-TO-SIZE") != std::string::npos);
}

TEST_CASE("hooks without an environment inherit ours, and those before pivot_root see the mounts from the bundle", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const std::string log = bundle.folder() / "log";
  auto inherits = shell_hook("echo \"$RUNTIME_TEST_MARK\" >>" + log);
  inherits.env.reset();
  bundle.config.hooks.prestart = {inherits};
  bundle.config.hooks.create_container = {shell_hook("test -e rootfs/proc/self && pwd >>" + log)};
  ::setenv("RUNTIME_TEST_MARK", "seen", 1);
  const auto seen = bundle.run();
  ::unsetenv("RUNTIME_TEST_MARK");
  INFO(seen.err);
  REQUIRE(seen.code == 0);
  CHECK(*base::sys::read_file(log) == "seen\n" + std::filesystem::canonical(bundle.folder()).string() + "\n");
}

TEST_CASE("a failing poststart hook stops and deletes the container, a failing poststop hook is a warning", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const std::string log = bundle.folder() / "log";
  bundle.probe({"hold"});
  bundle.config.hooks.poststart = {shell_hook("exit 7")};
  bundle.config.hooks.poststop = {shell_hook("exit 8"), shell_hook("echo last >>" + log)};
  const auto run = bundle.run();
  CHECK(run.code == 1);
  CHECK(run.err.find("poststart hook failed with exit code 7") != std::string::npos);
  CHECK(run.err.find("warning: hooks.poststop /bin/sh: error running poststop hook #0: poststop hook failed with exit code 8") != std::string::npos);
  CHECK(*base::sys::read_file(log) == "last\n");
  CHECK(bundle.leftovers() == "");

  REQUIRE(bundle.runtime({"create", "--bundle", bundle.folder(), "--pid-file", bundle.folder() / "pid", bundle.id()}).code == 0);
  CHECK(bundle.runtime({"start", bundle.id()}).code == 1);
  CHECK(bundle.wait_init(pid_in(bundle.folder() / "pid")) == 137);
  CHECK(bundle.status() == "none");
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("hook output goes where the annotations say", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.annotations["run.oci.hooks.stdout"] = bundle.folder() / "out";
  bundle.config.annotations["run.oci.hooks.stderr"] = bundle.folder() / "err";
  bundle.config.hooks.create_runtime = {shell_hook("echo one; echo two >&2")};
  CHECK(bundle.run().err == "");
  CHECK(*base::sys::read_file(bundle.folder() / "out") == "one\n");
  CHECK(*base::sys::read_file(bundle.folder() / "err") == "two\n");
}

TEST_CASE("a created container holds no descriptor of the host, nor its creator's output when it has a terminal", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.process->terminal = true;
  bundle.write_config();
  const std::string socket_path = bundle.folder() / "console.sock";
  const auto listener = base::sys::listen_unix(socket_path);
  const auto leaked = base::sys::open(bundle.folder(), O_RDONLY | O_DIRECTORY);
  REQUIRE(listener);
  REQUIRE(leaked);
  const auto made = bundle.runtime({"create", "--bundle", bundle.folder(), "--console-socket", socket_path, "--pid-file",
                                    bundle.folder() / "pid", bundle.id()},
                                   {{leaked->borrow(), 9}, {leaked->borrow(), 40}});
  INFO(made.err);
  REQUIRE(made.code == 0);
  const std::string fds = "/proc/" + std::to_string(pid_in(bundle.folder() / "pid")) + "/fd/";
  for (int fd = 0; fd < 64; ++fd) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(fds + std::to_string(fd), gone).string();
    INFO(fd << " -> " << target);
    if (fd < 3) CHECK(target == "/dev/pts/0");
    // Sockets to the runtime, and the root of the detached procfs.
    else CHECK((gone || target.starts_with("socket:") || target == "/"));
  }
}

TEST_CASE("create without a process succeeds and start fails", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.process.reset();
  bundle.write_config();
  const auto made = bundle.runtime({"create", "--bundle", bundle.folder(), bundle.id()});
  INFO(made.err);
  CHECK(made.code == 0);
  CHECK(bundle.status() == "created");
  CHECK(bundle.runtime({"start", bundle.id()}).err.find("process: missing") != std::string::npos);
  CHECK(bundle.runtime({"delete", "--force", bundle.id()}).code == 0);
  CHECK(bundle.run().err.find("process: missing") != std::string::npos);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("a filter that forbids getcwd does not stop the program", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.linux_.seccomp->syscalls.insert(bundle.config.linux_.seccomp->syscalls.begin(),
                                                {.names = {"getcwd"}, .action = "SCMP_ACT_ERRNO", .errno_ret = {}, .args = {}});
  std::erase_if(bundle.config.linux_.seccomp->syscalls, [](auto& rule) {
    if (rule.action == "SCMP_ACT_ALLOW") std::erase(rule.names, "getcwd");
    return false;
  });
  const auto seen = bundle.probe({"print", "ran"}).run();
  INFO(seen.err);
  CHECK(seen.out == "ran\n");
}

TEST_CASE("pipes of the caller belong to the user, group included", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.process->user = {.uid = 1000, .gid = 1001, .umask = {}, .additional_gids = {}};
  auto ends = base::sys::pipe();
  REQUIRE(ends);
  const auto seen = bundle.probe({"file", "/tmp"}).runtime({"state", "nosuch"});
  bundle.write_config();
  CHECK(bundle.runtime({"run", "--bundle", bundle.folder(), bundle.id()}, {{ends->second.borrow(), 1}}).code == 0);
  struct stat about {};
  REQUIRE(::fstat(ends->second.number(), &about) == 0);
  CHECK(about.st_uid == 1000);
  CHECK(about.st_gid == 1001);
}

TEST_CASE("ids that begin with a dot are refused, and delete and kill take patterns", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.write_config();
  for (const char* id : {".", "..", ".cache", "a/b", "a b"}) {
    const auto seen = bundle.runtime({"run", "--bundle", bundle.folder(), id});
    CHECK(seen.code == 1);
    CHECK(seen.err.find("invalid character") != std::string::npos);
  }
  bundle.probe({"hold"});
  REQUIRE(bundle.start({"--pid-file", bundle.folder() / "pid"}).code == 0);
  CHECK(bundle.runtime({"kill", "--regex", "^rt[0-9]+-", "KILL"}).code == 0);
  CHECK(bundle.wait_init(pid_in(bundle.folder() / "pid")) == 137);
  CHECK(bundle.runtime({"delete", "--regex", "^nothing"}).code == 0);
  CHECK(bundle.status() == "stopped");
  CHECK(bundle.runtime({"delete", "--regex", "^rt[0-9]+-"}).code == 0);
  CHECK(bundle.leftovers() == "");
  CHECK(bundle.runtime({"delete", "--regex", "("}).code == 1);
}

TEST_CASE("with the cgroup manager disabled the container stays in its caller's cgroups", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.write_config();
  const auto seen = bundle.runtime({"--cgroup-manager", "disabled", "run", "--bundle", bundle.folder(), bundle.id()});
  INFO(seen.err);
  CHECK(seen.code == 0);
  for (const auto& line : seen.all("cgroup")) CHECK(line.find("rt-test") == std::string::npos);
}

TEST_CASE("a cgroup that holds processes or is frozen is no container's", "[ns]") {
  NEED_CONTAINERS();
  Bundle first;
  first.probe({"hold"});
  REQUIRE(first.start().code == 0);
  Bundle second;
  second.config.linux_.cgroups_path = first.config.linux_.cgroups_path;
  const auto seen = second.run();
  CHECK(seen.code == 1);
  CHECK(seen.err.find("is not empty") != std::string::npos);
  CHECK(first.status() == "running");
}

TEST_CASE("delete --force ends an init that somebody moved into a frozen cgroup", "[ns]") {
  NEED_CONTAINERS();
  const auto host = runtime::cgroup_host();
  REQUIRE(host);
  const auto* freezer = host->with("freezer");
  if (!freezer || freezer->unified) SKIP_TEST("needs the v1 freezer");
  Bundle bundle;
  bundle.probe({"hold"});
  REQUIRE(bundle.start({"--pid-file", bundle.folder() / "pid"}).code == 0);
  const std::string frozen = freezer->mount_point + "/rt-frozen-" + bundle.id();
  REQUIRE(::mkdir(frozen.c_str(), 0755) == 0);
  REQUIRE(base::sys::write_file(frozen + "/cgroup.procs", *base::sys::read_file(bundle.folder() / "pid")));
  REQUIRE(base::sys::write_file(frozen + "/freezer.state", "FROZEN"));
  CHECK(bundle.runtime({"delete", "--force", bundle.id()}).code == 0);
  CHECK(bundle.wait_init(pid_in(bundle.folder() / "pid")) == 137);
  CHECK(support::eventually([&] { return ::rmdir(frozen.c_str()) == 0; }));
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("without a mount namespace the container is a chroot, and delete takes its mounts away", "[ns]") {
  NEED_CONTAINERS();
  // In a mount namespace of the test's own: nothing may reach the machine's.
  const auto result = support::in_namespaces(CLONE_NEWNS, [] {
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return std::string("can't make mounts private");
    Bundle bundle;
    std::erase_if(bundle.config.linux_.namespaces, [](const auto& space) { return space.type == "mount"; });
    bundle.probe({"hold"});
    if (const auto started = bundle.start(); started.code != 0) return started.err;
    const auto seen = bundle.exec({}, {"/bin/probe", "file", "/proc/1/exe", "/inside-the-container"});
    if (!seen.has("/inside-the-container file")) return "exec: " + seen.out + seen.err;
    const auto mounts = [&] { return base::sys::read_file("/proc/self/mountinfo")->find(bundle.root().string()) != std::string::npos; };
    if (!mounts()) return std::string("its mounts are not visible");
    if (bundle.runtime({"delete", "--force", bundle.id()}).code != 0) return std::string("delete failed");
    return mounts() ? std::string("mounts stay") : bundle.leftovers();
  });
  REQUIRE(result);
  CHECK(*result == "");
}

TEST_CASE("a created container ends by SIGTERM, and pidfd sockets get its descriptor", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.write_config();
  const std::string socket_path = bundle.folder() / "pidfd.sock";
  const auto listener = base::sys::listen_unix(socket_path);
  REQUIRE(listener);
  REQUIRE(bundle.runtime({"create", "--bundle", bundle.folder(), "--pidfd-socket", socket_path, "--pid-file", bundle.folder() / "pid", bundle.id()}).code == 0);
  const base::UniqueFd connection(::accept4(listener->number(), nullptr, nullptr, SOCK_CLOEXEC));
  auto message = base::sys::recv_fds(connection.borrow());
  REQUIRE(message);
  REQUIRE(message->fds.size() == 1);
  REQUIRE(base::sys::pidfd_send_signal(message->fds[0].borrow(), SIGTERM));
  CHECK(bundle.wait_init(pid_in(bundle.folder() / "pid")) == 143);
  CHECK(bundle.status() == "stopped");
}

TEST_CASE("a container starts in a user namespace of its caller's making", "[ns]") {
  NEED_CONTAINERS();
  if (!std::filesystem::exists("/usr/bin/unshare")) SKIP_TEST("needs unshare(1)");
  Bundle bundle;
  bundle.config.linux_.resources.reset();
  bundle.config.process->user.additional_gids.clear();
  bundle.config.process->oom_score_adj.reset();
  std::erase_if(bundle.config.mounts, [](const auto& mount) { return mount.type == "cgroup" || mount.type == "sysfs"; });
  for (auto& mount : bundle.config.mounts) std::erase(mount.options, "gid=5");
  bundle.probe({"do", "write", "/dev/null", "x", ",", "file", "/dev/null", ",", "read", "/proc/self/uid_map"});
  bundle.write_config();
  const auto out = base::sys::open(bundle.folder() / "out", O_RDWR | O_CREAT, 0600);
  REQUIRE(out);
  base::SpawnOptions options;
  options.program = "/usr/bin/unshare";
  options.arguments = {"unshare", "--user", "--map-root-user", "--mount", std::string(BIN_DIR) + "/compose-runtime", "--root",
                       bundle.state(), "--cgroup-manager", "disabled", "run", "--bundle", bundle.folder(), bundle.id()};
  options.fds = {{out->borrow(), 1}, {out->borrow(), 2}};
  auto child = base::ChildProcess::spawn(options);
  REQUIRE(child);
  const auto status = child->wait(std::chrono::seconds(15));
  const std::string text = *base::sys::read_file(bundle.folder() / "out");
  INFO(text);
  if (text.find("unshare failed") != std::string::npos) SKIP_TEST("no user namespaces here");
  CHECK((status && status->code == 0));
  CHECK(text.find("write /dev/null ok\n/dev/null char 0666") != std::string::npos);
}
