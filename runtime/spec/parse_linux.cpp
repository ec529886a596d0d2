// The "linux" object of config.json: config-linux.md.
#include "runtime/spec/json.h"
#include "runtime/spec/reader.h"

namespace runtime::spec {
namespace {

void read_memory(const Object& from, Memory& into) {
  from.read("limit", into.limit);
  from.read("reservation", into.reservation);
  from.read("swap", into.swap);
  from.read("kernel", into.kernel);
  from.read("kernelTCP", into.kernel_tcp);
  from.read("swappiness", into.swappiness);
  from.read("disableOOMKiller", into.disable_oom_killer);
  from.read("useHierarchy", into.use_hierarchy);
  from.read("checkBeforeUpdate", into.check_before_update);
}

void read_cpu(const Object& from, Cpu& into) {
  from.read("shares", into.shares);
  from.read("quota", into.quota);
  from.read("burst", into.burst);
  from.read("period", into.period);
  from.read("realtimeRuntime", into.realtime_runtime);
  from.read("realtimePeriod", into.realtime_period);
  from.read("cpus", into.cpus);
  from.read("mems", into.mems);
  from.read("idle", into.idle);
}

void read_throttle(const Object& from, std::string_view key, std::vector<BlockThrottle>& into) {
  from.each(key, [&](const Object& device) {
    auto& item = into.emplace_back();
    device.require("major", item.major);
    device.require("minor", item.minor);
    device.read("rate", item.rate);
  });
}

void read_block_io(const Object& from, BlockIo& into) {
  from.read("weight", into.weight);
  from.read("leafWeight", into.leaf_weight);
  from.each("weightDevice", [&](const Object& device) {
    auto& item = into.weight_device.emplace_back();
    device.require("major", item.major);
    device.require("minor", item.minor);
    device.read("weight", item.weight);
    device.read("leafWeight", item.leaf_weight);
  });
  read_throttle(from, "throttleReadBpsDevice", into.read_bps);
  read_throttle(from, "throttleWriteBpsDevice", into.write_bps);
  read_throttle(from, "throttleReadIOPSDevice", into.read_iops);
  read_throttle(from, "throttleWriteIOPSDevice", into.write_iops);
}

void read_device_rules(const Object& from, std::vector<DeviceRule>& into) {
  from.each("devices", [&](const Object& rule) {
    auto& item = into.emplace_back();
    rule.require("allow", item.allow);
    rule.read("type", item.type);
    rule.read("major", item.major);
    rule.read("minor", item.minor);
    rule.read("access", item.access);
    // What is denied may be told with "a" for all, as bundles in use do: runc passes the word on. Allowed is what is named.
    if (item.access.empty() || (!item.allow && item.access.find('a') != std::string::npos)) item.access = "rwm";
    if (item.type != "" && item.type != "a" && item.type != "c" && item.type != "b")
      rule.mistake("type", "'" + item.type + "' is not one of a, b, c");
    if (item.access.find_first_not_of("rwm") != std::string::npos)
      rule.mistake("access", "'" + item.access + "' has letters other than r, w, m");
  });
}

void read_namespaces(const Object& from, std::vector<Namespace>& into) {
  from.each("namespaces", [&](const Object& entry) {
    auto& item = into.emplace_back();
    entry.require("type", item.type);
    entry.read("path", item.path);
    static constexpr std::array<std::string_view, 8> known{"pid", "network", "mount", "ipc",
                                                           "uts", "user",    "cgroup", "time"};
    if (std::ranges::find(known, item.type) == known.end())
      entry.mistake("type", "unknown namespace '" + item.type + "'");
    for (std::size_t other = 0; other + 1 < into.size(); ++other)
      if (into[other].type == into.back().type)
        return entry.mistake("type", "namespace '" + into.back().type + "' is listed twice");
  });
}

void read_devices(const Object& from, std::vector<Device>& into) {
  from.each("devices", [&](const Object& device) {
    auto& item = into.emplace_back();
    device.require("type", item.type);
    device.require("path", item.path);
    device.read("major", item.major);
    device.read("minor", item.minor);
    device.read("fileMode", item.file_mode);
    device.read("uid", item.uid);
    device.read("gid", item.gid);
    if (item.type != "c" && item.type != "b" && item.type != "u" && item.type != "p")
      device.mistake("type", "'" + item.type + "' is not one of c, b, u, p");
    if (item.type != "p" && (!device.has("major") || !device.has("minor")))
      device.mistake("major", "major and minor are required for type " + item.type);
    if (item.type == "u") item.type = "c";
    while (item.path.size() > 1 && item.path.ends_with('/')) item.path.pop_back();
  });
}

void read_misc(const Object& from, Linux& into) {
  from.object("intelRdt", [&](const Object& rdt) {
    auto& item = into.intel_rdt.emplace();
    rdt.read("closID", item.clos_id);
    rdt.read("l3CacheSchema", item.l3_cache_schema);
    rdt.read("memBwSchema", item.mem_bw_schema);
  });
  from.object("personality", [&](const Object& personality) {
    auto& item = into.personality.emplace();
    personality.require("domain", item.domain);
    personality.read("flags", item.flags);
  });
  from.object("memoryPolicy", [&](const Object& policy) {
    auto& item = into.memory_policy.emplace();
    policy.require("mode", item.mode);
    policy.read("nodes", item.nodes);
    policy.read("flags", item.flags);
  });
  from.entries("timeOffsets", [&](const std::string& clock, const Object& offset) {
    auto& item = into.time_offsets[clock];
    offset.read("secs", item.secs);
    offset.read("nanosecs", item.nanosecs);
  });
  from.entries("netDevices", [&](const std::string& name, const Object& device) {
    device.read("name", into.net_devices[name].name);
  });
}

}  // namespace

void read_id_maps(const Object& from, std::string_view key, std::vector<IdMap>& into) {
  from.each(key, [&](const Object& map) {
    auto& item = into.emplace_back();
    map.require("containerID", item.container_id);
    map.require("hostID", item.host_id);
    map.require("size", item.size);
  });
}

void read_resources(const Object& from, Resources& into) {
  read_device_rules(from, into.devices);
  from.object("memory", [&](const Object& memory) { read_memory(memory, into.memory.emplace()); });
  from.object("cpu", [&](const Object& cpu) { read_cpu(cpu, into.cpu.emplace()); });
  from.object("pids", [&](const Object& pids) { pids.read("limit", into.pids_limit); });
  from.object("blockIO", [&](const Object& block) { read_block_io(block, into.block_io.emplace()); });
  from.each("hugepageLimits", [&](const Object& limit) {
    auto& item = into.hugepage_limits.emplace_back();
    limit.require("pageSize", item.page_size);
    limit.require("limit", item.limit);
    if (item.page_size.find('/') != std::string::npos) limit.mistake("pageSize", "holds a '/'");
  });
  from.object("network", [&](const Object& network) {
    auto& item = into.network.emplace();
    network.read("classID", item.class_id);
    network.each("priorities", [&](const Object& priority) {
      auto& entry = item.priorities.emplace_back();
      priority.require("name", entry.name);
      priority.require("priority", entry.priority);
    });
  });
  from.entries("rdma", [&](const std::string& name, const Object& limit) {
    limit.read("hcaHandles", into.rdma[name].hca_handles);
    limit.read("hcaObjects", into.rdma[name].hca_objects);
  });
  from.read("unified", into.unified);
}

void read_seccomp(const Object& from, Seccomp& into) {
  from.require("defaultAction", into.default_action);
  from.read("defaultErrnoRet", into.default_errno_ret);
  from.read("architectures", into.architectures);
  from.read("flags", into.flags);
  from.read("listenerPath", into.listener_path);
  from.read("listenerMetadata", into.listener_metadata);
  from.each("syscalls", [&](const Object& rule) {
    auto& item = into.syscalls.emplace_back();
    rule.require("names", item.names);
    rule.require("action", item.action);
    rule.read("errnoRet", item.errno_ret);
    rule.each("args", [&](const Object& argument) {
      auto& compare = item.args.emplace_back();
      argument.require("index", compare.index);
      argument.require("value", compare.value);
      argument.read("valueTwo", compare.value_two);
      argument.require("op", compare.op);
    });
  });
}

void read_linux(const Object& from, Linux& into) {
  read_id_maps(from, "uidMappings", into.uid_mappings);
  read_id_maps(from, "gidMappings", into.gid_mappings);
  from.read("sysctl", into.sysctl);
  from.object("resources", [&](const Object& resources) { read_resources(resources, into.resources.emplace()); });
  from.read("cgroupsPath", into.cgroups_path);
  read_namespaces(from, into.namespaces);
  read_devices(from, into.devices);
  from.object("seccomp", [&](const Object& seccomp) { read_seccomp(seccomp, into.seccomp.emplace()); });
  from.read("rootfsPropagation", into.rootfs_propagation);
  from.read("maskedPaths", into.masked_paths);
  from.read("readonlyPaths", into.readonly_paths);
  from.read("mountLabel", into.mount_label);
  read_misc(from, into);
}

}  // namespace runtime::spec
