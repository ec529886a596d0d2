#include <linux/mount.h>
#include <sys/mount.h>

#include <catch2/catch.hpp>

#include "runtime/linux/cgroup_plan.h"
#include "runtime/linux/mount_plan.h"
#include "runtime/oci/options.h"
#include "runtime/oci/signals.h"
#include "runtime/oci/state.h"

using namespace runtime;

namespace {

base::Result<PlannedMount> plan_one(spec::Mount mount) {
  spec::Config config;
  config.mounts.push_back(std::move(mount));
  auto plan = plan_mounts(config);
  if (!plan) return std::move(plan).error();
  return plan->front();
}

PlannedMount planned(std::string type, std::vector<std::string> options) {
  auto plan = plan_one({.destination = "/x", .type = std::move(type), .source = "s", .options = std::move(options)});
  REQUIRE(plan);
  return *plan;
}

std::string refused(spec::Mount mount) {
  const auto plan = plan_one(std::move(mount));
  return plan ? "accepted" : plan.error().message;
}

constexpr const char* hybrid =
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "36 31 0:33 / /sys/fs/cgroup/devices rw,relatime shared:9 - cgroup cgroup rw,devices\n"
    "37 31 0:34 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
    "38 31 0:35 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

CgroupHost v2_host() {
  auto host = parse_cgroup_mounts("25 24 0:22 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
  host.hierarchies[0].controllers = {"cpu", "cpuset", "io", "memory", "pids", "hugetlb"};
  return host;
}

/// "file = value" lines of all folders.
std::string writes(const CgroupHost& host, const spec::Resources& resources) {
  const auto plan = plan_cgroup(host, "/a/b", resources);
  if (!plan) return plan.error().message;
  std::string out;
  for (const auto& folder : plan->folders)
    for (const auto& write : folder.writes) out += write.file + " = " + write.value + "\n";
  return out;
}

}  // namespace

TEST_CASE("a bind mount's access times change only where an option names how") {
  constexpr std::uint64_t times = MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME;
  const auto change = [](std::vector<std::string> words) {
    words.insert(words.begin(), "bind");
    const auto planned_mount = planned("bind", words);
    return AttributeChange{.set = planned_mount.attributes.set & times, .clear = planned_mount.attributes.clear & times};
  };
  for (const char* word : {"atime", "norelatime", "nostrictatime", "diratime", "ro"}) CHECK(change({word}) == AttributeChange{});
  CHECK(change({"noatime", "atime"}) == AttributeChange{});
  CHECK(change({"noatime"}) == AttributeChange{.set = MOUNT_ATTR_NOATIME, .clear = times});
  CHECK(change({"relatime"}) == AttributeChange{.set = MOUNT_ATTR_RELATIME, .clear = times});
  CHECK(change({"strictatime"}) == AttributeChange{.set = MOUNT_ATTR_STRICTATIME, .clear = times});
  CHECK(change({"nodiratime"}) == AttributeChange{.set = MOUNT_ATTR_NODIRATIME, .clear = times});
  CHECK(change({"nodiratime", "norelatime", "strictatime"}) == AttributeChange{.set = MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_STRICTATIME, .clear = times});
}

TEST_CASE("a path below the root is known by its words") {
  CHECK(path_inside("/b/rootfs/x/y", "/b/rootfs") == "/x/y");
  CHECK(path_inside("/b//./rootfs/x", "/b/rootfs/") == "/x");
  CHECK(path_inside("/b/rootfs", "/b/rootfs").empty());
  CHECK(path_inside("/b/rootfs-2/x", "/b/rootfs").empty());
  CHECK(path_inside("/b/rootfs/../x", "/b/rootfs").empty());
  CHECK(path_inside("/b/rootfs/x/..", "/b/rootfs").empty());
  CHECK(path_inside("/etc", "/").empty());
  CHECK(path_inside("/etc", "").empty());
}

TEST_CASE("mount options become attributes, parameters and propagation") {
  const auto mount = planned("tmpfs", {"nosuid", "noexec", "ro", "mode=755", "size=64k", "sync", "noatime"});
  CHECK(mount.kind == MountKind::filesystem);
  CHECK(mount.attributes.set == (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME));
  CHECK(mount.data.size() == 3);
  CHECK(mount.data[0].first == "mode");
  CHECK(mount.data[2] == std::pair<std::string, std::optional<std::string>>("sync", std::nullopt));
  const auto bind = planned("bind", {"rbind", "rro", "rslave"});
  CHECK(bind.kind == MountKind::bind);
  CHECK(bind.recursive);
  CHECK(bind.tree_attributes.set == MOUNT_ATTR_RDONLY);
  CHECK(bind.propagation == static_cast<std::uint64_t>(MS_SLAVE));
}

TEST_CASE("a later option overrides an earlier one") {
  CHECK(planned("tmpfs", {"ro", "rw"}).attributes.set == 0);
  CHECK(planned("tmpfs", {"nosuid", "suid", "nosuid"}).attributes.set == MOUNT_ATTR_NOSUID);
  CHECK(planned("tmpfs", {"noatime", "strictatime"}).attributes.set == MOUNT_ATTR_STRICTATIME);
  // A bind mount without options keeps what its source has; with any, those given are all there is.
  constexpr std::uint64_t all = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW;
  CHECK(planned("bind", {"rbind", "rprivate"}).attributes == AttributeChange{});
  CHECK(planned("bind", {"bind", "ro", "nosuid"}).attributes == AttributeChange{.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, .clear = all & ~(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID)});
  const auto writable = planned("bind", {"bind", "ro", "rw"});
  CHECK(writable.attributes == AttributeChange{.set = 0, .clear = all});
  CHECK(writable.unset == MOUNT_ATTR_RDONLY);
}

TEST_CASE("contradictory mounts are refused by name") {
  CHECK(refused({.destination = "/x", .type = "bind"}) == "mounts[0] (/x): a bind mount needs a source");
  CHECK(refused({.destination = "/x", .type = "bind", .source = "/a", .options = {"size=1"}}) ==
        "mounts[0] (/x): option 'size' means nothing for a bind mount");
  CHECK(refused({.destination = "/x"}) == "mounts[0] (/x): a mount needs a type");
  CHECK(refused({.destination = "/x", .type = "proc", .options = {"tmpcopyup"}}) == "mounts[0] (/x): tmpcopyup is for type tmpfs only");
  CHECK(refused({.destination = "/x", .type = "tmpfs", .options = {"idmap"}}) == "mounts[0] (/x): only a bind mount can have mapped ids");
  CHECK(refused({.destination = "/x", .type = "bind", .source = "/a", .options = {}, .uid_mappings = {{0, 1, 1}}}) ==
        "mounts[0] (/x): uidMappings and gidMappings must be given together");
}

TEST_CASE("cgroup hierarchies are found in mountinfo") {
  const auto host = parse_cgroup_mounts(hybrid);
  CHECK(host.hierarchies.size() == 7);
  CHECK_FALSE(host.unified_only());
  CHECK(host.with("cpuacct")->mount_point == "/sys/fs/cgroup/cpu,cpuacct");
  CHECK(host.with("name=systemd")->mount_point == "/sys/fs/cgroup/systemd");
  CHECK(host.unified()->mount_point == "/sys/fs/cgroup/unified");
  CHECK(host.with("rdma") == nullptr);
  CHECK(v2_host().unified_only());
  CHECK(parse_cgroup_mounts("1 2 0:3 / /odd\\040name rw - cgroup cgroup rw,pids\n").hierarchies[0].mount_point == "/odd name");
}

TEST_CASE("cgroup paths stay below the root") {
  CHECK(*cgroup_path("/a//b/./c", "id") == "/a/b/c");
  CHECK(*cgroup_path("relative", "id") == "/relative");
  CHECK(*cgroup_path("", "id") == "/id");
  CHECK_FALSE(cgroup_path("/a/../../b", "id"));
  CHECK_FALSE(cgroup_path("/", "id"));
}

TEST_CASE("limits are written in v1's and in v2's words") {
  spec::Resources resources;
  resources.memory = spec::Memory{.limit = 1000, .reservation = 500, .swap = 3000};
  resources.cpu = spec::Cpu{.shares = 1024, .period = 100000, .quota = 50000};
  resources.pids_limit = -1;
  resources.block_io = spec::BlockIo{.weight = 100, .read_bps = {{.major = 8, .minor = 16, .rate = 77}}};
  CHECK(writes(parse_cgroup_mounts(hybrid), resources) ==
        "cpu.shares = 1024\ncpu.cfs_period_us = 100000\ncpu.cfs_quota_us = 50000\n"
        "memory.limit_in_bytes = 1000\nmemory.memsw.limit_in_bytes = 3000\nmemory.soft_limit_in_bytes = 500\n"
        "pids.max = max\nblkio.weight|blkio.bfq.weight = 100\nblkio.throttle.read_bps_device = 8:16 77\n");
  CHECK(writes(v2_host(), resources) ==
        "memory.swap.max = 2000\nmemory.max = 1000\nmemory.low = 500\ncpu.weight = 39\ncpu.max = 50000 100000\n"
        "io.bfq.weight|io.weight = 100|910\nio.max = 8:16 rbps=77\npids.max = max\n");
}

TEST_CASE("a limit of no processes is the smallest one that is taken") {
  spec::Resources resources;
  resources.pids_limit = 0;
  CHECK(writes(v2_host(), resources) == "pids.max = 1\n");
  CHECK(writes(parse_cgroup_mounts(hybrid), resources) == "pids.max = 1\n");
}

TEST_CASE("unlimited and unset limits are told apart") {
  spec::Resources resources;
  resources.memory = spec::Memory{.limit = -1, .swap = -1};
  CHECK(writes(v2_host(), resources) == "memory.swap.max = max\nmemory.max = max\n");
  CHECK(writes(parse_cgroup_mounts(hybrid), resources) == "memory.limit_in_bytes = -1\nmemory.memsw.limit_in_bytes = -1\n");
  resources.memory = spec::Memory{.limit = 0, .swap = 0};
  CHECK(writes(v2_host(), resources) == "");
}

TEST_CASE("a limit without its controller is an error that names both") {
  spec::Resources resources;
  resources.network = spec::Network{.class_id = 5, .priorities = {}};
  CHECK(writes(v2_host(), resources) ==
        "linux.resources.network.classID: the net_cls cgroup controller is not available here");
  spec::Resources swap;
  swap.memory = spec::Memory{.limit = 100, .swap = 50};
  CHECK(writes(v2_host(), swap) == "linux.resources.memory.swap: is below memory.limit (it counts memory and swap together)");
  spec::Resources unified;
  unified.unified["memory.high"] = "1";
  CHECK(writes(v2_host(), unified) == "memory.high = 1\n");
  unified.unified = {{"../x", "1"}};
  CHECK(writes(v2_host(), unified) == "linux.resources.unified: '../x' holds a '/'");
}

TEST_CASE("cpu shares convert to weights at both ends") {
  CHECK(cpu_weight_from_shares(0) == 0);
  CHECK(cpu_weight_from_shares(2) == 1);
  CHECK(cpu_weight_from_shares(1024) == 39);
  CHECK(cpu_weight_from_shares(262144) == 10000);
  CHECK(cpu_weight_from_shares(1u << 30) == 10000);
}

TEST_CASE("device rules lose what a later one overrides, and get the defaults") {
  const auto rule = [](bool allow, const char* type, std::optional<std::int64_t> major, std::optional<std::int64_t> minor, const char* access) {
    return spec::DeviceRule{.allow = allow, .type = type, .major = major, .minor = minor, .access = access};
  };
  auto rules = effective_device_rules({rule(true, "c", 10, 200, "rwm"), rule(false, "", {}, {}, "rwm"), rule(true, "c", 1, 3, "rwm"),
                                       rule(false, "c", 10, 229, "rwm"), rule(true, "c", 10, 229, "rw")});
  CHECK_FALSE(rules.allow_by_default);
  CHECK(rules.exceptions[0].minor == 3);
  CHECK(std::ranges::any_of(rules.exceptions, [](const auto& item) { return item.allow && item.minor == 229 && item.access == "rw"; }));
  CHECK(std::ranges::count_if(rules.exceptions, [](const auto& item) { return item.major == 1 && item.minor == 3; }) == 1);
  CHECK(std::ranges::none_of(rules.exceptions, [](const auto& item) { return item.minor == 200; }));
  rules = effective_device_rules({rule(false, "", {}, {}, "rwm"), rule(true, "a", -1, -1, "rwm")});
  CHECK(rules.allow_by_default);
  CHECK(rules.exceptions.empty());
}

TEST_CASE("flags are read in every customary form") {
  using oci::Flag;
  static constexpr Flag flags[] = {{'b', "bundle", "DIR", ""}, {'d', "detach", "", ""}, {'t', "tty", "", ""}, {0, "pid-file", "F", ""}};
  const auto parse = [](std::vector<std::string> words, bool stop = false) { return oci::parse_arguments(words, flags, stop); };
  const auto all = parse({"-b", "x", "--pid-file=y", "-dt", "id"});
  REQUIRE(all);
  CHECK(all->value("bundle") == "x");
  CHECK(all->value("pid-file") == "y");
  CHECK((all->has("detach") && all->has("tty")));
  CHECK(all->positional == std::vector<std::string>{"id"});
  CHECK(parse({"-bx"})->value("bundle") == "x");
  CHECK(parse({"-pid-file", "x"})->value("pid-file") == "x");
  CHECK(parse({"id", "ls", "-d"}, true)->positional.size() == 3);
  CHECK(parse({"--", "-d"})->positional == std::vector<std::string>{"-d"});
  CHECK_FALSE(parse({"--detach=false"})->has("detach"));
  CHECK(parse({"--nosuch"}).error().message == "unknown flag '--nosuch'");
  CHECK(parse({"--pid-file"}).error().message == "flag --pid-file needs a value");
}

TEST_CASE("signals have names and numbers") {
  using oci::signal_number;
  CHECK(signal_number("TERM") == 15);
  CHECK(signal_number("sigkill") == 9);
  CHECK(signal_number("9") == 9);
  CHECK(signal_number("RTMIN+3") == 37);
  CHECK(signal_number("SIGRTMAX-1") == 63);
  CHECK(signal_number("0") == 0);
  CHECK_FALSE(signal_number("NOSUCH"));
  CHECK_FALSE(signal_number("RTMIN+99"));
  CHECK_FALSE(signal_number("999"));
  CHECK_FALSE(signal_number(""));
}

TEST_CASE("a container's record survives being written and read") {
  oci::ContainerRecord record;
  record.id = "a";
  record.pid = 7;
  record.start_time = 1ULL << 40;
  record.cgroup_paths = {"/x", "/y"};
  record.namespaces = {"pid"};
  record.annotations["k"] = "v";
  record.no_pivot = true;
  const auto again = oci::parse_record(oci::to_json(record));
  REQUIRE(again);
  CHECK(oci::to_json(*again) == oci::to_json(record));
  CHECK(again->start_time == 1ULL << 40);
  CHECK_FALSE(oci::parse_record("{\"format\":2}"));
  CHECK_FALSE(oci::parse_record("nonsense"));
}

TEST_CASE("ids that are no folder names are refused") {
  CHECK(oci::check_id("web-1_a.b+c"));
  for (const char* id : {"", ".", "..", "a/b", "a b", "ü"}) CHECK_FALSE(oci::check_id(id));
}
