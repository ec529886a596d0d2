// Containers of a user without any privilege: the runtime makes the user namespace, and init does there what needs rights.
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "tests/kernel/runtime/bundle.h"

using runtime_test::Bundle;

namespace {

constexpr unsigned user = 4321;

/// The bundle's and the runtime's owner becomes a user of this machine with no rights; its root is that user.
void become_unprivileged(Bundle& bundle) {
  auto& config = bundle.config;
  config.linux_.namespaces.push_back({.type = "user", .path = ""});
  config.linux_.uid_mappings = config.linux_.gid_mappings = {{.container_id = 0, .host_id = user, .size = 1}};
  std::erase_if(config.mounts, [](const auto& mount) { return mount.destination == "/sys" || mount.destination == "/sys/fs/cgroup"; });
  for (auto& mount : config.mounts) std::erase(mount.options, "gid=5");
  config.process->oom_score_adj.reset();
  config.process->user.additional_gids.clear();  // user_namespaces(7): a single map goes with setgroups denied
  bundle.program = bundle.folder() / "compose-runtime";
  std::filesystem::copy_file(std::filesystem::path(BIN_DIR) / "compose-runtime", bundle.program);
  std::filesystem::create_directories(bundle.state());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(bundle.folder())) (void)!::lchown(entry.path().c_str(), user, user);
  (void)!::lchown(bundle.folder().c_str(), user, user);
  const std::string id = std::to_string(user);
  bundle.before = {"/usr/bin/setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--inh-caps=-all"};
}

#define NEED_USER_NAMESPACES()                                                                    \
  NEED_CONTAINERS();                                                                              \
  if (::access("/usr/bin/setpriv", X_OK) != 0) SKIP_TEST("setpriv (util-linux) is not installed"); \
  if (const auto max = base::sys::read_file("/proc/sys/user/max_user_namespaces"); !max || *max == "0\n") SKIP_TEST("user namespaces are switched off")

}  // namespace

TEST_CASE("an unprivileged user's container has a root of its own, binds, devices and hidden paths", "[ns]") {
  NEED_USER_NAMESPACES();
  Bundle bundle;
  become_unprivileged(bundle);
  bundle.config.mounts.push_back({.destination = "/data", .type = "bind", .source = bundle.folder(), .options = {"rbind", "ro"}, .uid_mappings = {}, .gid_mappings = {}});
  bundle.config.linux_.namespaces.push_back({.type = "network", .path = ""});
  const auto seen = bundle.run();
  INFO(seen.err);
  REQUIRE(seen.code == 0);
  CHECK(seen.one("uid") == "0");
  CHECK(seen.one("pid") == "1");
  CHECK(seen.one("ns_user") != std::filesystem::read_symlink("/proc/self/ns/user").string());
  CHECK(runtime_test::mount_line(seen, "/data").starts_with("/data ro"));
  bundle.probe({"do", "file", "/inside-the-container", ",", "write", "/dev/null", "x", ",", "write", "/data/x", "x", ",", "read", "/proc/keys", ",", "read",
                "/proc/self/uid_map", ",", "read", "/proc/self/setgroups", ",", "call", "setgroups"});
  const auto tried = bundle.run();
  INFO(tried.err);
  CHECK(tried.out == "/inside-the-container file 0644 0:0\nwrite /dev/null ok\nwrite /data/x EROFS\n         0       4321          1\ndeny\nsetgroups EPERM\n");  // CVE-2014-8989
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("every verb works on an unprivileged user's container, without cgroups", "[ns]") {
  NEED_USER_NAMESPACES();
  Bundle bundle;
  become_unprivileged(bundle);
  bundle.config.hostname = "unprivileged";
  bundle.probe({"hold"});
  bundle.write_config();
  const auto created = bundle.runtime({"create", "--bundle", bundle.folder(), "--pid-file", bundle.folder() / "pid", bundle.id()});
  INFO(created.err);
  REQUIRE(created.code == 0);
  CHECK(bundle.status() == "created");
  // Nobody may look into what is not the program yet: such a process' files belong to root (proc(5)).
  const std::string init = "/proc/" + *base::sys::read_file(bundle.folder() / "pid");
  struct stat about {};
  CHECK((::lstat((init + "/exe").c_str(), &about) == 0 && about.st_uid == 0));
  REQUIRE(bundle.runtime({"start", bundle.id()}).code == 0);
  CHECK(bundle.status() == "running");
  const auto seen = bundle.exec({}, {"/bin/probe", "report"});
  INFO(seen.err);
  CHECK(seen.code == 0);
  CHECK(seen.one("uid") == "0");
  CHECK(seen.one("hostname") == "unprivileged");
  CHECK(bundle.exec({}, {"/bin/probe", "exit", "7"}).code == 7);
  CHECK(bundle.exec({}, {"/no/such"}).code == 127);
  CHECK(bundle.exec({"--detach", "--pid-file", bundle.folder() / "second"}, {"/bin/probe", "hold"}).code == 0);
  const pid_t pid = std::atoi(base::sys::read_file(bundle.folder() / "pid")->c_str());
  const auto listed = bundle.runtime({"ps", "--format", "json", bundle.id()}).out;
  CHECK(std::ranges::count(listed, ',') == 1);  // init and what exec left there
  CHECK(listed.find(std::to_string(pid)) != std::string::npos);
  CHECK(bundle.runtime({"pause", bundle.id()}).err.find("freezer") != std::string::npos);
  CHECK(bundle.runtime({"kill", "--all", bundle.id(), "KILL"}).code == 0);
  // Both are our children; the kernel lets init end after the other has been reaped.
  CHECK(bundle.wait_init(std::atoi(base::sys::read_file(bundle.folder() / "second")->c_str())) == 137);
  CHECK(bundle.wait_init(pid) == 137);
  CHECK(bundle.status() == "stopped");
  CHECK(bundle.runtime({"delete", bundle.id()}).code == 0);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("an unprivileged user's limits that nobody could keep are refused by name, and paths he may not read stay so", "[ns]") {
  NEED_USER_NAMESPACES();
  Bundle bundle;
  become_unprivileged(bundle);
  bundle.config.linux_.resources->pids_limit = 33;
  const auto limited = bundle.run();
  CHECK(limited.code == 1);
  CHECK(limited.err.find(bundle.config.linux_.cgroups_path.substr(0, 8)) != std::string::npos);
  CHECK(bundle.leftovers() == "");
  bundle.config.linux_.resources->pids_limit.reset();
  const auto secret = bundle.folder() / "secret";
  std::filesystem::create_directories(secret / "below");
  REQUIRE(::chown(secret.c_str(), 0, 0) == 0);
  REQUIRE(::chmod(secret.c_str(), 0700) == 0);
  bundle.config.mounts.push_back({.destination = "/secret", .type = "bind", .source = secret, .options = {"bind"}, .uid_mappings = {}, .gid_mappings = {}});
  CHECK(bundle.probe({"do", "file", "/secret/below"}).run().out.find("EACCES") != std::string::npos);
  bundle.config.mounts.back().source = secret / "below";
  const auto refused = bundle.run();
  CHECK(refused.code == 1);
  CHECK(refused.err.find("below") != std::string::npos);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("an unprivileged user's further ids come from newuidmap and newgidmap", "[ns]") {
  NEED_USER_NAMESPACES();
  if (::access("/usr/bin/newuidmap", X_OK) != 0 || ::access("/usr/bin/newgidmap", X_OK) != 0) SKIP_TEST("newuidmap (uidmap) is not installed");
  Bundle bundle;
  become_unprivileged(bundle);
  auto& config = bundle.config.linux_;
  config.uid_mappings.push_back({.container_id = 1, .host_id = 300000, .size = 1000});
  config.gid_mappings = config.uid_mappings;
  bundle.config.process->user = {.uid = 33, .gid = 34, .umask = {}, .additional_gids = {35}};
  const auto etc = bundle.folder() / "etc";
  REQUIRE(base::sys::make_directories(etc, 0755));
  REQUIRE(base::sys::write_file(etc / "passwd", "root:x:0:0::/root:/bin/sh\nrtuser:x:4321:4321::/:/bin/sh\n"));
  for (const char* file : {"subuid", "subgid"}) REQUIRE(base::sys::write_file(etc / file, "rtuser:300000:1000\n"));
  const auto seen = support::in_namespaces(CLONE_NEWNS, [&]() -> std::string {
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return "private mounts";
    if (::mount(etc.c_str(), "/etc", nullptr, MS_BIND, nullptr) != 0) return "etc";
    const auto outcome = bundle.run();
    return outcome.err + outcome.one("uid") + ":" + outcome.one("gid") + " " + outcome.one("groups");
  });
  REQUIRE(seen);
  CHECK(*seen == "33:34 35");
  CHECK(bundle.leftovers() == "");
}
