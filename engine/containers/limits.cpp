#include "engine/containers/limits.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>

#include "base/sys.h"

namespace engine::containers {
namespace {

namespace spec = runtime::spec;

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

base::Result<struct stat> status_of(const std::string& path) {
  struct stat status{};
  TRY(base::sys::wrap("device " + path, ::stat(path.c_str(), &status)));
  return status;
}

base::Result<std::vector<spec::BlockThrottle>> throttles(const std::vector<BlkioDevice>& asked) {
  std::vector<spec::BlockThrottle> out;
  for (const auto& each : asked) {
    ASSIGN_OR_RETURN(const auto status, status_of(each.path));
    out.push_back({major(status.st_rdev), minor(status.st_rdev), each.rate});
  }
  return out;
}

base::Result<std::optional<spec::BlockIo>> block_io(const engine::Resources& asked) {
  spec::BlockIo io;
  if (asked.blkio_weight) io.weight = asked.blkio_weight;
  for (const auto& each : asked.blkio_weight_device) {
    ASSIGN_OR_RETURN(const auto status, status_of(each.path));
    io.weight_device.push_back({major(status.st_rdev), minor(status.st_rdev), static_cast<std::uint16_t>(each.rate), {}});
  }
  ASSIGN_OR_RETURN(io.read_bps, throttles(asked.blkio_read_bps));
  ASSIGN_OR_RETURN(io.write_bps, throttles(asked.blkio_write_bps));
  ASSIGN_OR_RETURN(io.read_iops, throttles(asked.blkio_read_iops));
  ASSIGN_OR_RETURN(io.write_iops, throttles(asked.blkio_write_iops));
  const bool any = io.weight || !io.weight_device.empty() || !io.read_bps.empty() || !io.write_bps.empty() ||
                   !io.read_iops.empty() || !io.write_iops.empty();
  return any ? std::optional(io) : std::nullopt;
}

std::optional<spec::Memory> memory(const engine::Resources& asked) {
  spec::Memory memory;
  if (asked.memory_bytes > 0) memory.limit = asked.memory_bytes;
  if (asked.memory_reservation_bytes > 0) memory.reservation = asked.memory_reservation_bytes;
  // A limit alone allows as much swap again: Docker's default.
  if (asked.memory_swap_bytes > 0) memory.swap = asked.memory_swap_bytes;
  else if (asked.memory_swap_bytes == 0 && asked.memory_bytes > 0 && asked.memory_bytes <= std::numeric_limits<std::int64_t>::max() / 2)
    memory.swap = 2 * asked.memory_bytes;
  if (asked.memory_swappiness && *asked.memory_swappiness >= 0)
    memory.swappiness = static_cast<std::uint64_t>(*asked.memory_swappiness);
  if (asked.oom_kill_disable) memory.disable_oom_killer = true;
  const bool any = memory.limit || memory.reservation || memory.swap || memory.swappiness || memory.disable_oom_killer;
  return any ? std::optional(memory) : std::nullopt;
}

std::optional<spec::Cpu> cpu(const engine::Resources& asked) {
  spec::Cpu cpu;
  if (asked.cpu_shares > 0) cpu.shares = static_cast<std::uint64_t>(asked.cpu_shares);
  if (asked.nano_cpus > 0) {
    cpu.period = 100'000;  // µs
    cpu.quota = asked.nano_cpus / 10'000;  // 1e9 nano-CPUs are one period
  } else {
    if (asked.cpu_period > 0) cpu.period = static_cast<std::uint64_t>(asked.cpu_period);
    if (asked.cpu_quota != 0) cpu.quota = asked.cpu_quota;
  }
  if (asked.cpu_rt_period > 0) cpu.realtime_period = static_cast<std::uint64_t>(asked.cpu_rt_period);
  if (asked.cpu_rt_runtime != 0) cpu.realtime_runtime = asked.cpu_rt_runtime;
  cpu.cpus = asked.cpuset_cpus;
  const bool any = cpu.shares || cpu.period || cpu.quota || cpu.realtime_period || cpu.realtime_runtime || !cpu.cpus.empty();
  return any ? std::optional(cpu) : std::nullopt;
}

spec::Device node_for(const std::string& path, const struct stat& status) {
  spec::Device node;
  node.type = S_ISBLK(status.st_mode) ? "b" : "c";
  node.path = path;
  node.major = major(status.st_rdev);
  node.minor = minor(status.st_rdev);
  node.file_mode = status.st_mode & 07777;
  node.uid = status.st_uid;
  node.gid = status.st_gid;
  return node;
}

bool is_device(const struct stat& status) { return S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode); }

/// Adds every device below `folder` as if it were below `target`. Bounded: /dev is a few hundred entries.
void add_folder(const std::string& folder, const std::string& target, int depth, std::vector<spec::Device>& out) {
  // Private to each container, or files of the engine's host: moby GetDevices().
  static const std::set<std::string> skipped{"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"};
  DIR* dir = ::opendir(folder.c_str());
  if (!dir || depth > 8) {
    if (dir) ::closedir(dir);
    return;
  }
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    struct stat status{};
    if (name == "." || name == ".." || ::fstatat(::dirfd(dir), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISDIR(status.st_mode)) {
      if (!skipped.contains(name)) add_folder(folder + "/" + name, target + "/" + name, depth + 1, out);
    } else if (is_device(status) && name != "console") {
      out.push_back(node_for(target + "/" + name, status));
    }
  }
  ::closedir(dir);
}

base::Result<> add_mapping(const DeviceMapping& mapping, Devices& out) {
  const auto& access = mapping.permissions;
  if (access.empty() || access.size() > 3 || access.find_first_not_of("rwm") != std::string::npos)
    return invalid("device " + mapping.source + ": invalid permissions '" + access + "'");
  if (!mapping.source.starts_with('/'))
    return base::make_error(base::ErrorKind::unsupported, "device '" + mapping.source + "': CDI devices are not supported");
  auto status = status_of(mapping.source);
  if (!status) return std::move(status).error();
  const auto target = mapping.target.empty() ? mapping.source : mapping.target;
  std::vector<spec::Device> nodes;
  if (is_device(*status)) nodes.push_back(node_for(target, *status));
  else if (S_ISDIR(status->st_mode)) add_folder(mapping.source, target, 0, nodes);
  if (nodes.empty()) return invalid(mapping.source + " is not a device");
  for (const auto& node : nodes) {
    out.rules.push_back({true, node.type, node.major, node.minor, access});
    out.nodes.push_back(node);
  }
  return {};
}

}  // namespace

base::Result<spec::Resources> resources(const engine::Resources& asked) {
  spec::Resources out;
  out.memory = memory(asked);
  out.cpu = cpu(asked);
  if (asked.pids_limit != 0) out.pids_limit = asked.pids_limit;
  ASSIGN_OR_RETURN(out.block_io, block_io(asked));
  return out;
}

base::Result<std::vector<spec::Rlimit>> rlimits(const std::vector<Ulimit>& ulimits) {
  static const std::set<std::string> known{"core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice",
                                           "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack", "as"};
  std::vector<spec::Rlimit> out;
  for (const auto& each : ulimits) {
    if (!known.contains(each.name)) return invalid("invalid ulimit type: " + each.name);
    const auto value = [](std::int64_t limit) {
      return limit < 0 ? std::numeric_limits<std::uint64_t>::max() : static_cast<std::uint64_t>(limit);
    };
    if (value(each.soft) > value(each.hard))
      return invalid("ulimit " + each.name + ": soft limit " + std::to_string(each.soft) +
                     " must be less than or equal to hard limit " + std::to_string(each.hard));
    std::string name = each.name;
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
    out.push_back({"RLIMIT_" + name, value(each.soft), value(each.hard)});
  }
  return out;
}

base::Result<spec::DeviceRule> parse_device_rule(const std::string& text) {
  const auto wrong = [&] { return invalid("invalid device_cgroup_rule '" + text + "': expected such as 'c 1:3 rwm'"); };
  const auto first = text.find(' '), second = text.find(' ', first + 1), colon = text.find(':');
  if (first != 1 || second == std::string::npos || colon == std::string::npos || colon > second) return wrong();
  spec::DeviceRule rule{true, text.substr(0, 1), {}, {}, text.substr(second + 1)};
  if (rule.type != "a" && rule.type != "b" && rule.type != "c") return wrong();
  const auto parse = [](const std::string& part, std::optional<std::int64_t>& out) {
    if (part == "*") return true;
    std::int64_t value = 0;
    const auto result = std::from_chars(part.data(), part.data() + part.size(), value);
    out = value;
    return !part.empty() && result.ec == std::errc() && result.ptr == part.data() + part.size() && value >= 0;
  };
  if (!parse(text.substr(2, colon - 2), rule.major) || !parse(text.substr(colon + 1, second - colon - 1), rule.minor))
    return wrong();
  if (rule.access.empty() || rule.access.size() > 3 || rule.access.find_first_not_of("rwm") != std::string::npos)
    return wrong();
  return rule;
}

base::Result<Devices> devices(const std::vector<DeviceMapping>& mappings, const std::vector<std::string>& cgroup_rules) {
  Devices out;
  for (const auto& mapping : mappings) TRY(add_mapping(mapping, out).with("devices"));
  for (const auto& text : cgroup_rules) {
    ASSIGN_OR_RETURN(auto rule, parse_device_rule(text));
    out.rules.push_back(std::move(rule));
  }
  return out;
}

std::vector<spec::Device> host_devices() {
  std::vector<spec::Device> nodes;
  add_folder("/dev", "/dev", 0, nodes);
  return nodes;
}

}  // namespace engine::containers
