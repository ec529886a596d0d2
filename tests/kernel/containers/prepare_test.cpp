// prepare() against what Docker 28 gives runc for the same request (tests/golden/containers, taken from a running Docker).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "tests/kernel/containers/world.h"

using namespace engine;
using nlohmann::json;

namespace {

json docker(const std::string& name) {
  return json::parse(*base::sys::read_file(std::string(SOURCE_DIR) + "/tests/golden/containers/docker28-" + name + ".json"));
}

json sorted(json list) {
  std::sort(list.begin(), list.end());
  return list;
}

/// Mounts as "destination type option,option"; sources and how a bind is bound are ours.
json mounts_of(const json& config) {
  json out = json::array();
  for (const auto& mount : config["mounts"]) {
    if (mount["destination"] == "/sbin/docker-init") continue;  // ours is in the runtime
    std::string line = mount["destination"].get<std::string>() + " " + mount["type"].get<std::string>();
    const bool bind = mount["type"] == "bind";
    auto options = sorted(mount.value("options", json::array()));
    for (const auto& option : options)
      if (!bind || option == "rro") line += " " + option.get<std::string>();
    out.push_back(line);
  }
  return sorted(out);
}

json namespaces_of(const json& config) {
  json out = json::array();
  for (const auto& each : config["linux"]["namespaces"])
    if (each["type"] != "cgroup") out.push_back(each["type"]);  // Docker: private only on cgroup v2 hosts
  return sorted(out);
}

/// What the rules allow in the end. Docker writes its list twice; privileged allows all whatever else is listed; runc adds /dev/full by
/// itself, we list it.
json device_rules_of(const json& config) {
  json out = json::array();
  for (const auto& rule : config["linux"]["resources"]["devices"]) {
    if (!rule["allow"].get<bool>() || (rule.value("major", 0) == 1 && rule.value("minor", 0) == 7)) continue;
    if (!rule.contains("major")) return json::array({rule});
    if (std::find(out.begin(), out.end(), rule) == out.end()) out.push_back(rule);
  }
  return sorted(out);
}

/// A privileged container has what its engine has, and the recorded Docker ran where CAP_SYS_RESOURCE was missing.
json capabilities_of(const json& process, const char* set) {
  json out = json::array();
  for (const auto& name : process["capabilities"][set])
    if (name != "CAP_SYS_RESOURCE") out.push_back(name);
  return sorted(out);
}

void compare(const json& ours, const json& theirs, bool user_is_root) {
  const auto& p = ours["process"];
  const auto& q = theirs["process"];
  CHECK(p["user"] == q["user"]);
  CHECK(sorted(p["env"]) == sorted(q["env"]));
  CHECK(p["cwd"] == q["cwd"]);
  CHECK(capabilities_of(p, "bounding") == capabilities_of(q, "bounding"));
  if (user_is_root) CHECK(capabilities_of(p, "effective") == capabilities_of(q, "effective"));
  CHECK(p.value("rlimits", json::array()) == q.value("rlimits", json::array()));
  CHECK(p.value("noNewPrivileges", false) == q.value("noNewPrivileges", false));
  CHECK(p.value("terminal", false) == q.value("terminal", false));
  CHECK(p.value("oomScoreAdj", 0) == q.value("oomScoreAdj", 0));
  CHECK(ours["root"].value("readonly", false) == theirs["root"].value("readonly", false));
  CHECK(mounts_of(ours) == mounts_of(theirs));
  CHECK(namespaces_of(ours) == namespaces_of(theirs));
  CHECK(device_rules_of(ours) == device_rules_of(theirs));
  const auto& l = ours["linux"];
  const auto& m = theirs["linux"];
  CHECK(l.value("maskedPaths", json::array()) == m.value("maskedPaths", json::array()));
  CHECK(l.value("readonlyPaths", json::array()) == m.value("readonlyPaths", json::array()));
  CHECK(l.value("sysctl", json::object()) == m.value("sysctl", json::object()));
  auto memory = m["resources"]["memory"];
  if (memory.value("disableOOMKiller", false) == false) memory.erase("disableOOMKiller");
  CHECK(l["resources"].value("memory", json::object()) == memory);
  CHECK(l["resources"].value("cpu", json::object()) == m["resources"].value("cpu", json::object()));
  CHECK(l["resources"].value("pids", json::object()) == m["resources"].value("pids", json::object()));
}

std::string file(const std::filesystem::path& path) {
  const auto text = base::sys::read_file(path);
  return text ? *text : "<" + text.error().text() + ">";
}

}  // namespace

TEST_CASE("a plain container gets what Docker gives it", "[containers]") {
  NEEDS_ROOT();
  const auto before = support::kernel_leftovers();
  {
    World world;
    auto spec = World::spec();
    spec.hostname = "myhost";
    const auto prepared = world.prepare(spec);
    REQUIRE(prepared);
    const auto config = json::parse(prepared->config_json);
    compare(config, docker("plain"), true);
    CHECK(config["hostname"] == "myhost");
    CHECK(config["linux"]["cgroupsPath"] == "/compose/p/" + world.id);
    CHECK(config["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO");
    CHECK(prepared->command == std::vector<std::string>{"sleep", "1000"});
    REQUIRE(prepared->fds.size() == 1);
    CHECK(prepared->fds[0].number == prepared->rootfs_number);
    CHECK(file(prepared->bundle / "config.json") == prepared->config_json);
    CHECK(file(prepared->bundle / "hostname") == "myhost\n");
    CHECK(file(prepared->bundle / "resolv.conf").find("nameserver 127.0.0.11\n") != std::string::npos);
  }
  CHECK(support::kernel_leftovers() == before);
}

TEST_CASE("a limited container gets what Docker gives it", "[containers]") {
  NEEDS_ROOT();
  World world;
  auto spec = World::spec();
  spec.hostname = "9b1e2e01ee94";
  spec.tty = spec.stdin_open = spec.init = spec.read_only = true;
  spec.user = "web:audio";
  spec.group_add = {"extra", "777"};
  spec.cap_add = {"NET_ADMIN"};
  spec.cap_drop = {"CHOWN"};
  spec.security_opt = {"no-new-privileges"};
  spec.resources.memory_bytes = 64 << 20;
  spec.resources.nano_cpus = 500'000'000;
  spec.resources.pids_limit = 50;
  spec.ulimits = {{"nofile", 100, 200}};
  spec.sysctls = {{"net.core.somaxconn", "100"}};
  spec.ipc_mode = "shareable";
  spec.devices.push_back({"/dev/null", "/dev/xnull"});
  spec.mounts = {{.type = MountType::tmpfs, .target = "/tt", .tmpfs_options = "size=1m"},
                 {.type = MountType::tmpfs, .target = "/ru"},
                 {.type = MountType::volume, .source = "vv", .target = "/data"},
                 {.type = MountType::bind, .source = "/etc/hostname", .target = "/x/y", .read_only = true}};
  const auto prepared = world.prepare(spec);
  REQUIRE(prepared);
  const auto config = json::parse(prepared->config_json);
  auto theirs = docker("limits");
  for (auto& mount : theirs["mounts"]) {  // of a shareable ipc Docker mounts /dev/shm itself; the size is what counts
    if (mount["destination"] != "/dev/shm") continue;
    mount["type"] = "tmpfs";
    mount["options"] = {"nosuid", "noexec", "nodev", "mode=1777", "size=67108864"};
  }
  compare(config, theirs, false);
  CHECK(config["linux"]["devices"] == theirs["linux"]["devices"]);
  CHECK(prepared->init);
  CHECK(prepared->tty);
  CHECK(prepared->fds.size() == 3);
  CHECK(file(paths::volume("vv") / "seed") == "from the image");
}

TEST_CASE("a privileged container in the host's namespaces gets what Docker gives it", "[containers]") {
  NEEDS_ROOT();
  World world;
  auto spec = World::spec();
  spec.privileged = true;
  spec.pid_mode = spec.ipc_mode = spec.network_mode = spec.uts_mode = "host";
  spec.security_opt = {"seccomp=unconfined"};
  spec.resources.cpu_shares = 5;
  spec.resources.memory_bytes = 100 << 20;
  spec.resources.memory_swap_bytes = -1;
  spec.resources.memory_reservation_bytes = 50 << 20;
  spec.resources.cpuset_cpus = std::string("0");
  spec.oom_score_adj = 100;
  const auto prepared = world.prepare(spec);
  REQUIRE(prepared);
  const auto config = json::parse(prepared->config_json);
  auto theirs = docker("privileged");
  char name[256] = "";
  REQUIRE(::gethostname(name, sizeof name - 1) == 0);
  theirs["process"]["env"][1] = "HOSTNAME=" + std::string(name);
  compare(config, theirs, true);
  CHECK_FALSE(config["linux"].contains("seccomp"));
  CHECK_FALSE(config.contains("hostname"));
  CHECK(config["linux"]["devices"].size() > 5);
  if (std::filesystem::exists("/etc/hosts")) CHECK(file(prepared->bundle / "hosts") == file("/etc/hosts"));
}

TEST_CASE("configs and secrets become files with their owner and mode", "[containers]") {
  NEEDS_ROOT();
  World world;
  const auto source = world.dir.write("secret.txt", "from a file");
  auto spec = World::spec();
  spec.files = {{.target = "/run/secrets/a", .content = "inline", .uid = 33, .gid = 44, .mode = 0400},
                {.target = "/run/secrets/b", .host_path = source.string()},
                {.target = "/run/secrets/c", .host_path = source.string(), .uid = 7}};
  const auto prepared = world.prepare(spec);
  REQUIRE(prepared);
  const auto files = paths::container_run("p", world.id) / "files";
  struct stat status{};
  REQUIRE(::stat((files / "0").c_str(), &status) == 0);
  CHECK(status.st_uid == 33);
  CHECK(status.st_gid == 44);
  CHECK((status.st_mode & 07777) == 0400);
  CHECK(file(files / "0") == "inline");
  REQUIRE(::stat((files / "2").c_str(), &status) == 0);
  CHECK(status.st_uid == 7);
  CHECK((status.st_mode & 07777) == 0444);
  REQUIRE(::stat(files.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0700);
  CHECK(file(source) == "from a file");
  const auto mounts = json::parse(prepared->config_json)["mounts"].dump();
  CHECK(mounts.find(source.string()) != std::string::npos);
  REQUIRE(world.prepare(spec));  // a restart writes them again
  spec.files = {{.target = "/x", .host_path = "/nowhere"}};
  CHECK(world.prepare(spec).error().kind == base::ErrorKind::not_found);
}

TEST_CASE("mistakes are reported with the attribute's name and leave no mount", "[containers]") {
  NEEDS_ROOT();
  World world;
  const auto before = support::kernel_leftovers();
  const auto error = [&](auto&& change) {
    auto spec = World::spec();
    change(spec);
    const auto prepared = world.prepare(spec);
    return prepared ? std::string("prepared") : prepared.error().text();
  };
  CHECK(error([](auto& s) { s.user = "nobody"; }) == "user: unable to find user nobody: no matching entries in passwd file");
  CHECK(error([](auto& s) { s.network_mode = "container:gone"; }) == "container 'gone' is not running");
  CHECK(error([](auto& s) { s.mounts = {{.type = MountType::bind, .source = "/nowhere/x", .target = "/d", .create_host_path = false}}; }) ==
        "mount /d: bind source path does not exist: /nowhere/x");
  CHECK(error([&](auto& s) {
          s.mounts = {{.type = MountType::bind, .source = (world.dir.path() / "missing").string(), .target = "/app/conf"}};
        }).find("is a file in the image") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(world.dir.path() / "missing"));
  CHECK(support::kernel_leftovers() == before);
}

TEST_CASE("a container in another's network shares its names", "[containers]") {
  NEEDS_ROOT();
  World world;
  auto spec = World::spec();
  spec.network_mode = "container:other";
  containers::StartOptions options;
  options.peers["other"] = {::getpid(), std::string(64, 'b'), "theirs"};
  const auto prepared = world.prepare(spec, std::move(options));
  REQUIRE(prepared);
  const auto config = json::parse(prepared->config_json);
  CHECK(config["hostname"] == "theirs");
  CHECK(config["mounts"].dump().find(std::string(64, 'b') + "/hosts") != std::string::npos);
  CHECK(config["linux"]["namespaces"].dump().find("/proc/self/fd/11") != std::string::npos);
  CHECK_FALSE(config["linux"].contains("sysctl"));
}

TEST_CASE("exec takes the container's process and changes what is asked", "[containers]") {
  NEEDS_ROOT();
  World world;
  auto spec = World::spec();
  spec.user = "web";
  spec.group_add = {"777"};
  spec.env = {"A=1"};
  const auto prepared = world.prepare(spec);
  REQUIRE(prepared);
  const auto root = containers::mount_root(world.image.layer_dirs, {});
  REQUIRE(root);
  const auto process = [&](const containers::ExecOptions& options) {
    const auto text = containers::exec_process(world.id, root->borrow(), options);
    REQUIRE(text);
    return json::parse(*text);
  };
  auto plain = process({.command = {"ls", "-l"}});
  CHECK(plain["args"] == json({"ls", "-l"}));
  CHECK(plain["user"]["uid"] == 33);
  CHECK(plain["cwd"] == "/data");
  CHECK(plain["env"].dump().find("A=1") != std::string::npos);
  auto changed = process({.command = {"sh"}, .user = "root", .working_dir = "/tmp", .env = {"A=2", "B=3"}, .tty = true, .privileged = true, .rows = 24, .columns = 80});
  CHECK(changed["user"] == json({{"uid", 0}, {"gid", 0}, {"additionalGids", {0, 55, 29, 777}}}));
  CHECK(changed["cwd"] == "/tmp");
  CHECK(changed["terminal"] == true);
  CHECK(changed["consoleSize"] == json({{"height", 24}, {"width", 80}}));
  CHECK(changed["env"].dump().find("A=1") == std::string::npos);
  CHECK(changed["env"].dump().find("A=2") != std::string::npos);
  CHECK(changed["capabilities"]["effective"].size() > 14);
  CHECK_FALSE(containers::exec_process(world.id, root->borrow(), {}));
  CHECK_FALSE(containers::exec_process(world.id, root->borrow(), {.command = {"x"}, .user = "nobody"}));
}
