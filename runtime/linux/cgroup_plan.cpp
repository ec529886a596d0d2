#include "runtime/linux/cgroup_plan.h"

#include "runtime/linux/text.h"

namespace runtime {

const Hierarchy* CgroupHost::with(std::string_view controller) const {
  // A v1 hierarchy holds its controller exclusively, so the order does not matter.
  for (const Hierarchy& hierarchy : hierarchies)
    if (std::ranges::find(hierarchy.controllers, controller) != hierarchy.controllers.end()) return &hierarchy;
  return nullptr;
}

const Hierarchy* CgroupHost::unified() const {
  for (const Hierarchy& hierarchy : hierarchies)
    if (hierarchy.unified) return &hierarchy;
  return nullptr;
}

bool CgroupHost::unified_only() const { return hierarchies.size() == 1 && hierarchies.front().unified; }

namespace {

constexpr std::array<std::string_view, 15> v1_controllers{
    "cpu",  "cpuacct", "cpuset",  "memory",   "devices",    "freezer", "blkio", "pids",
    "rdma", "hugetlb", "net_cls", "net_prio", "perf_event", "misc",    "dmem"};

/// One line of mountinfo: proc_pid_mountinfo(5).
std::optional<Hierarchy> parse_mount_line(std::string_view line) {
  const std::size_t dash = line.find(" - ");
  if (dash == std::string_view::npos) return std::nullopt;
  const auto type = nth_word(line.substr(dash + 3), 0);
  if (type != "cgroup" && type != "cgroup2") return std::nullopt;
  Hierarchy out;
  out.root = std::string(nth_word(line, 3));
  out.mount_point = unescape_mountinfo(nth_word(line, 4));
  out.unified = type == "cgroup2";
  if (out.unified) return out;
  for_each_word(nth_word(line.substr(dash + 3), 2), ',', [&](std::string_view option) {
    if (option.starts_with("name=") || std::ranges::find(v1_controllers, option) != v1_controllers.end())
      out.controllers.emplace_back(option);
  });
  if (out.controllers.empty()) return std::nullopt;
  return out;
}

}  // namespace

CgroupHost parse_cgroup_mounts(std::string_view mountinfo) {
  CgroupHost host;
  for_each_word(mountinfo, '\n', [&](std::string_view line) {
    if (line.find(" - cgroup") == std::string_view::npos) return;
    auto hierarchy = parse_mount_line(line);
    if (!hierarchy) return;
    // The same hierarchy may be mounted again elsewhere: the first, outermost, counts.
    for (const Hierarchy& known : host.hierarchies)
      if (known.unified == hierarchy->unified && known.controllers == hierarchy->controllers) return;
    host.hierarchies.push_back(std::move(*hierarchy));
  });
  return host;
}

base::Result<std::string> cgroup_path(const std::string& cgroups_path, const std::string& id) {
  const std::string wanted = cgroups_path.empty() ? id : cgroups_path;
  std::string out;
  bool climbs = false;
  for_each_word(wanted, '/', [&](std::string_view part) {
    if (part == "..") climbs = true;
    if (!part.empty() && part != ".") out.append("/").append(part);
  });
  if (climbs) return base::make_error(base::ErrorKind::invalid, "linux.cgroupsPath: '..' leads out of the cgroup");
  if (out.empty()) return base::make_error(base::ErrorKind::invalid, "linux.cgroupsPath: the root cgroup is not a container's");
  return out;
}

std::uint64_t cpu_weight_from_shares(std::uint64_t shares) {
  if (shares == 0) return 0;
  shares = std::clamp<std::uint64_t>(shares, 2, 262144);
  return 1 + ((shares - 2) * 9999) / 262142;
}

namespace {

/// Collects writes; remembers the first limit that has no home here.
class Planner {
 public:
  Planner(const CgroupHost& host, CgroupPlan& plan) : host_(host), plan_(plan) {}

  /// The hierarchy of `controller`; a mistake naming `property` when the machine has none.
  const Hierarchy* home(std::string_view controller, std::string_view property) {
    const Hierarchy* hierarchy = host_.with(controller);
    if (!hierarchy && !error_)
      error_ = base::make_error(base::ErrorKind::unsupported, "linux.resources." + std::string(property) + ": the " +
                                                                  std::string(controller) +
                                                                  " cgroup controller is not available here");
    return hierarchy;
  }
  void write(const Hierarchy* hierarchy, std::string file, std::string value) {
    for (CgroupFolder& folder : plan_.folders)
      if (folder.hierarchy == hierarchy) folder.writes.push_back({std::move(file), std::move(value)});
  }
  template <class T>
  void number(const Hierarchy* hierarchy, const char* file, T value) {
    write(hierarchy, file, std::to_string(value));
  }
  void fail(base::ErrorKind kind, std::string what) {
    if (!error_) error_ = base::make_error(kind, "linux.resources." + std::move(what));
  }
  std::optional<base::Error>& error() { return error_; }
  [[nodiscard]] const CgroupHost& host() const { return host_; }

 private:
  const CgroupHost& host_;
  CgroupPlan& plan_;
  std::optional<base::Error> error_;
};

/// v2 spells "no limit" as a word.
std::string or_max(std::int64_t value) { return value < 0 ? "max" : std::to_string(value); }

void plan_memory_v2(Planner& out, const Hierarchy* home, const spec::Memory& memory) {
  using base::ErrorKind;
  // Swap first when it grows, but on a fresh group the order is free: memory.swap.max counts swap alone.
  if (memory.swap) {
    if (*memory.swap < 0) {
      out.write(home, "memory.swap.max", "max");
    } else if (!memory.limit || *memory.limit < 0) {
      if (*memory.swap > 0) out.fail(ErrorKind::invalid, "memory.swap: needs memory.limit");
    } else if (*memory.swap < *memory.limit) {
      out.fail(ErrorKind::invalid, "memory.swap: is below memory.limit (it counts memory and swap together)");
    } else {
      out.number(home, "memory.swap.max", *memory.swap - *memory.limit);
    }
  }
  if (memory.limit && *memory.limit != 0) out.write(home, "memory.max", or_max(*memory.limit));
  if (memory.reservation && *memory.reservation != 0) out.write(home, "memory.low", or_max(*memory.reservation));
  if (memory.kernel && *memory.kernel > 0) out.fail(ErrorKind::unsupported, "memory.kernel: cgroup v2 has no such limit");
  if (memory.kernel_tcp && *memory.kernel_tcp > 0)
    out.fail(ErrorKind::unsupported, "memory.kernelTCP: cgroup v2 has no such limit");
  if (memory.swappiness) out.fail(ErrorKind::unsupported, "memory.swappiness: cgroup v2 has no such setting");
  if (memory.disable_oom_killer && *memory.disable_oom_killer)
    out.fail(ErrorKind::unsupported, "memory.disableOOMKiller: cgroup v2 has no such setting");
}

void plan_memory_v1(Planner& out, const Hierarchy* home, const spec::Memory& memory) {
  // memsw may never be below limit_in_bytes: on a fresh group both are unlimited, so the smaller goes first.
  if (memory.limit && *memory.limit != 0) out.number(home, "memory.limit_in_bytes", *memory.limit);
  if (memory.swap && *memory.swap != 0) out.number(home, "memory.memsw.limit_in_bytes", *memory.swap);
  if (memory.reservation && *memory.reservation != 0) out.number(home, "memory.soft_limit_in_bytes", *memory.reservation);
  if (memory.kernel && *memory.kernel > 0) out.number(home, "memory.kmem.limit_in_bytes", *memory.kernel);
  if (memory.kernel_tcp && *memory.kernel_tcp > 0)
    out.number(home, "memory.kmem.tcp.limit_in_bytes", *memory.kernel_tcp);
  if (memory.swappiness) {
    if (*memory.swappiness > 100) out.fail(base::ErrorKind::invalid, "memory.swappiness: must be 0 to 100");
    out.number(home, "memory.swappiness", *memory.swappiness);
  }
  if (memory.disable_oom_killer && *memory.disable_oom_killer) out.write(home, "memory.oom_control", "1");
  if (memory.use_hierarchy && *memory.use_hierarchy) out.write(home, "memory.use_hierarchy", "1");
}

bool has_limits(const spec::Memory& memory) {
  const auto set = [](const std::optional<std::int64_t>& value) { return value && *value != 0; };
  return set(memory.limit) || set(memory.reservation) || set(memory.swap) || set(memory.kernel) ||
         set(memory.kernel_tcp) || memory.swappiness || memory.disable_oom_killer.value_or(false);
}

void plan_memory(Planner& out, const spec::Memory& memory) {
  if (!has_limits(memory)) return;
  const Hierarchy* home = out.home("memory", "memory");
  if (!home) return;
  home->unified ? plan_memory_v2(out, home, memory) : plan_memory_v1(out, home, memory);
}

void plan_cpu_v2(Planner& out, const Hierarchy* home, const spec::Cpu& cpu) {
  if (cpu.shares && *cpu.shares != 0) out.number(home, "cpu.weight", cpu_weight_from_shares(*cpu.shares));
  if (cpu.idle) out.number(home, "cpu.idle", *cpu.idle);
  if ((cpu.quota && *cpu.quota != 0) || (cpu.period && *cpu.period != 0)) {
    std::string value = cpu.quota && *cpu.quota > 0 ? std::to_string(*cpu.quota) : "max";
    if (cpu.period && *cpu.period != 0) value += " " + std::to_string(*cpu.period);
    out.write(home, "cpu.max", value);
  }
  if (cpu.burst) out.number(home, "cpu.max.burst", *cpu.burst);
  if (cpu.realtime_runtime || cpu.realtime_period)
    out.fail(base::ErrorKind::unsupported, "cpu.realtimeRuntime: cgroup v2 has no such limit");
}

void plan_cpu_v1(Planner& out, const Hierarchy* home, const spec::Cpu& cpu) {
  if (cpu.shares && *cpu.shares != 0) out.number(home, "cpu.shares", *cpu.shares);
  if (cpu.period && *cpu.period != 0) out.number(home, "cpu.cfs_period_us", *cpu.period);
  if (cpu.quota && *cpu.quota != 0) out.number(home, "cpu.cfs_quota_us", *cpu.quota);
  if (cpu.burst) out.number(home, "cpu.cfs_burst_us", *cpu.burst);
  if (cpu.realtime_period && *cpu.realtime_period != 0) out.number(home, "cpu.rt_period_us", *cpu.realtime_period);
  if (cpu.realtime_runtime && *cpu.realtime_runtime != 0) out.number(home, "cpu.rt_runtime_us", *cpu.realtime_runtime);
  if (cpu.idle) out.number(home, "cpu.idle", *cpu.idle);
}

void plan_cpu(Planner& out, const spec::Cpu& cpu) {
  const bool scheduling = cpu.shares.value_or(0) || cpu.period.value_or(0) || cpu.quota.value_or(0) || cpu.burst ||
                          cpu.idle || cpu.realtime_period.value_or(0) || cpu.realtime_runtime.value_or(0);
  if (scheduling)
    if (const Hierarchy* home = out.home("cpu", "cpu"))
      home->unified ? plan_cpu_v2(out, home, cpu) : plan_cpu_v1(out, home, cpu);
  if (cpu.cpus.empty() && cpu.mems.empty()) return;
  const Hierarchy* home = out.home("cpuset", "cpu.cpus");
  if (!home) return;
  if (!cpu.cpus.empty()) out.write(home, "cpuset.cpus", cpu.cpus);
  if (!cpu.mems.empty()) out.write(home, "cpuset.mems", cpu.mems);
}

std::string device_number(std::int64_t major, std::int64_t minor) {
  return std::to_string(major) + ":" + std::to_string(minor);
}

void plan_throttle(Planner& out, const Hierarchy* home, const std::vector<spec::BlockThrottle>& devices,
                   const char* v1_file, const char* v2_key) {
  for (const auto& device : devices) {
    const auto number = device_number(device.major, device.minor);
    if (home->unified)
      out.write(home, "io.max", number + " " + v2_key + "=" + (device.rate ? std::to_string(device.rate) : "max"));
    else
      out.write(home, v1_file, number + " " + std::to_string(device.rate));
  }
}

/// A value for each of the two files: io.weight counts 1-10000 where bfq and the specification count 10-1000 (as runc converts).
std::string block_weight(std::uint16_t weight, const std::string& device, bool v2) {
  const auto plain = device + std::to_string(weight);
  if (!v2) return plain;
  return plain + "|" + device + std::to_string(weight < 10 ? 1 : 1 + (weight - 10) * 9999 / 990);
}

void plan_block_weights(Planner& out, const Hierarchy* home, const spec::BlockIo& block) {
  const bool v2 = home->unified;
  if (block.weight && *block.weight != 0)
    out.write(home, v2 ? "io.bfq.weight|io.weight" : "blkio.weight|blkio.bfq.weight", block_weight(*block.weight, "", v2));
  if (block.leaf_weight && *block.leaf_weight != 0) {
    if (v2) out.fail(base::ErrorKind::unsupported, "blockIO.leafWeight: cgroup v2 has no such setting");
    out.number(home, "blkio.leaf_weight", *block.leaf_weight);
  }
  for (const auto& device : block.weight_device) {
    const auto number = device_number(device.major, device.minor);
    if (device.weight && *device.weight != 0)
      out.write(home, v2 ? "io.bfq.weight|io.weight" : "blkio.weight_device|blkio.bfq.weight_device",
                block_weight(*device.weight, number + " ", v2));
    if (device.leaf_weight && *device.leaf_weight != 0) {
      if (v2) out.fail(base::ErrorKind::unsupported, "blockIO.weightDevice.leafWeight: cgroup v2 has no such setting");
      out.write(home, "blkio.leaf_weight_device", number + " " + std::to_string(*device.leaf_weight));
    }
  }
}

void plan_block_io(Planner& out, const spec::BlockIo& block) {
  const bool any = block.weight.value_or(0) || block.leaf_weight.value_or(0) || !block.weight_device.empty() ||
                   !block.read_bps.empty() || !block.write_bps.empty() || !block.read_iops.empty() ||
                   !block.write_iops.empty();
  if (!any) return;
  // The controller is called "blkio" on v1 and "io" on v2.
  const CgroupHost& host = out.host();
  const Hierarchy* home = host.with("blkio") ? host.with("blkio") : out.home("io", "blockIO");
  if (!home) return;
  plan_block_weights(out, home, block);
  plan_throttle(out, home, block.read_bps, "blkio.throttle.read_bps_device", "rbps");
  plan_throttle(out, home, block.write_bps, "blkio.throttle.write_bps_device", "wbps");
  plan_throttle(out, home, block.read_iops, "blkio.throttle.read_iops_device", "riops");
  plan_throttle(out, home, block.write_iops, "blkio.throttle.write_iops_device", "wiops");
}

void plan_rest(Planner& out, const spec::Resources& resources) {
  if (resources.pids_limit)
    if (const Hierarchy* home = out.home("pids", "pids"))
      out.write(home, "pids.max", *resources.pids_limit < 0 ? "max" : std::to_string(least_pids(*resources.pids_limit)));
  for (const auto& limit : resources.hugepage_limits)
    if (const Hierarchy* home = out.home("hugetlb", "hugepageLimits")) {
      const std::string start = "hugetlb." + limit.page_size;
      out.write(home, start + (home->unified ? ".max" : ".limit_in_bytes"), std::to_string(limit.limit));
      // The reservation limit keeps a process from a SIGBUS; absent before Linux 5.7.
      out.write(home, "?" + start + (home->unified ? ".rsvd.max" : ".rsvd.limit_in_bytes"), std::to_string(limit.limit));
    }
  if (resources.network && resources.network->class_id)
    if (const Hierarchy* home = out.home("net_cls", "network.classID"))
      out.number(home, "net_cls.classid", *resources.network->class_id);
  if (resources.network)
    for (const auto& priority : resources.network->priorities)
      if (const Hierarchy* home = out.home("net_prio", "network.priorities"))
        out.write(home, "net_prio.ifpriomap", priority.name + " " + std::to_string(priority.priority));
  for (const auto& [name, limit] : resources.rdma)
    if (const Hierarchy* home = out.home("rdma", "rdma")) {
      std::string line = name;
      if (limit.hca_handles) line += " hca_handle=" + std::to_string(*limit.hca_handles);
      if (limit.hca_objects) line += " hca_object=" + std::to_string(*limit.hca_objects);
      out.write(home, "rdma.max", line);
    }
}

void plan_unified(Planner& out, const std::map<std::string, std::string>& settings) {
  if (settings.empty()) return;
  const Hierarchy* home = out.host().unified();
  if (!home) return out.fail(base::ErrorKind::unsupported, "unified: invalid configuration: no cgroup v2 hierarchy is mounted here");
  for (const auto& [file, value] : settings) {
    if (file.find('/') != std::string::npos) return out.fail(base::ErrorKind::invalid, "unified: '" + file + "' holds a '/'");
    out.write(home, file, value);
  }
}

std::string device_line(const spec::DeviceRule& rule) {
  const auto part = [](const std::optional<std::int64_t>& number) {
    return !number || *number < 0 ? std::string("*") : std::to_string(*number);
  };
  return (rule.type.empty() ? "a" : rule.type) + " " + part(rule.major) + ":" + part(rule.minor) + " " + rule.access;
}

void plan_devices(Planner& out, const std::vector<spec::DeviceRule>& rules) {
  if (rules.empty()) return;
  const Hierarchy* home = out.host().with("devices");
  if (!home) {
    if (!out.host().unified()) out.home("devices", "devices");
    return;
  }
  const DeviceRules effective = effective_device_rules(rules);
  out.write(home, effective.allow_by_default ? "devices.allow" : "devices.deny", "a");
  for (const auto& rule : effective.exceptions)
    out.write(home, rule.allow ? "devices.allow" : "devices.deny", device_line(rule));
}

/// What every container may use, whatever its rules say: runc's AllowedDevices.
void add_default_devices(auto&& add) {
  for (const char* type : {"c", "b"})
    add(spec::DeviceRule{.allow = true, .type = type, .major = {}, .minor = {}, .access = "m"});
  static constexpr std::pair<int, int> numbers[] = {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}};
  for (const auto& [major, minor] : numbers)
    add(spec::DeviceRule{.allow = true, .type = "c", .major = major, .minor = minor, .access = "rwm"});
  add(spec::DeviceRule{.allow = true, .type = "c", .major = 136, .minor = {}, .access = "rwm"});
}

bool is_everything(const spec::DeviceRule& rule) {
  const auto any = [](const std::optional<std::int64_t>& number) { return !number || *number < 0; };
  return (rule.type.empty() || rule.type == "a") && any(rule.major) && any(rule.minor);
}

}  // namespace

DeviceRules effective_device_rules(const std::vector<spec::DeviceRule>& rules) {
  DeviceRules out;
  const auto add = [&](const spec::DeviceRule& rule) {
    for (auto& known : out.exceptions) {
      if (known.type != rule.type || known.major != rule.major || known.minor != rule.minor) continue;
      if (known.allow == rule.allow) {  // the same again: join the letters
        for (const char letter : rule.access)
          if (known.access.find(letter) == std::string::npos) known.access += letter;
        return;
      }
    }
    // Denying what nothing allowed so far changes nothing; the same the other way round.
    const bool overlaps = std::ranges::any_of(out.exceptions, [&](const spec::DeviceRule& known) {
      return known.allow != rule.allow && (known.type == rule.type || known.type.empty() || rule.type.empty());
    });
    if (rule.allow == out.allow_by_default && !overlaps) return;
    out.exceptions.push_back(rule);
  };
  for (const auto& rule : rules) {
    if (is_everything(rule)) {
      out.exceptions.clear();
      out.allow_by_default = rule.allow;
    } else {
      add(rule);
    }
  }
  if (!out.allow_by_default) add_default_devices(add);
  return out;
}

base::Result<CgroupPlan> plan_cgroup(const CgroupHost& host, const std::string& path, const spec::Resources& resources) {
  CgroupPlan plan;
  plan.path = path;
  for (const Hierarchy& hierarchy : host.hierarchies)
    plan.folders.push_back({.hierarchy = &hierarchy, .path = hierarchy.mount_point + path, .writes = {}});
  Planner planner(host, plan);
  plan_devices(planner, resources.devices);
  if (resources.memory) plan_memory(planner, *resources.memory);
  if (resources.cpu) plan_cpu(planner, *resources.cpu);
  if (resources.block_io) plan_block_io(planner, *resources.block_io);
  plan_rest(planner, resources);
  plan_unified(planner, resources.unified);
  if (planner.error()) return std::move(*planner.error());
  return plan;
}

}  // namespace runtime
