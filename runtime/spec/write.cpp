// Structs to JSON: a small writer of our own, since order and compactness matter more than generality and it starts no locale.
#include "runtime/spec/json.h"
#include "runtime/spec/json_writer.h"

namespace runtime::spec {
namespace {

void write_id_maps(JsonWriter& out, std::string_view key, const std::vector<IdMap>& maps) {
  out.list(key, maps, [&](const IdMap& map) {
    out.member("containerID", map.container_id).member("hostID", map.host_id).member("size", map.size);
  });
}

void write_process(JsonWriter& out, const Process& process) {
  if (process.terminal) out.member("terminal", true);
  if (process.console_size)
    out.object("consoleSize", [&] {
      out.member("height", process.console_size->height).member("width", process.console_size->width);
    });
  out.object("user", [&] {
    out.member("uid", process.user.uid).member("gid", process.user.gid).member("umask", process.user.umask);
    out.member("additionalGids", process.user.additional_gids);
  });
  out.member("args", process.args).member("env", process.env).member("cwd", process.cwd);
  if (process.capabilities)
    out.object("capabilities", [&] {
      out.strings("bounding", process.capabilities->bounding).strings("effective", process.capabilities->effective);
      out.strings("inheritable", process.capabilities->inheritable).strings("permitted", process.capabilities->permitted);
      out.strings("ambient", process.capabilities->ambient);
    });
  out.list("rlimits", process.rlimits, [&](const Rlimit& limit) {
    out.member("type", limit.type).member("hard", limit.hard).member("soft", limit.soft);
  });
  if (process.no_new_privileges) out.member("noNewPrivileges", true);
  out.member("apparmorProfile", process.apparmor_profile).member("selinuxLabel", process.selinux_label);
  out.member("oomScoreAdj", process.oom_score_adj);
  if (process.scheduler)
    out.object("scheduler", [&] {
      const Scheduler& it = *process.scheduler;
      out.member("policy", it.policy).member("nice", it.nice).member("priority", it.priority).member("flags", it.flags);
      out.member("runtime", it.runtime).member("deadline", it.deadline).member("period", it.period);
    });
  if (process.io_priority)
    out.object("ioPriority", [&] {
      out.member("class", process.io_priority->class_name).member("priority", process.io_priority->priority);
    });
  if (process.exec_cpu_affinity)
    out.object("execCPUAffinity", [&] {
      out.member("initial", process.exec_cpu_affinity->initial).member("final", process.exec_cpu_affinity->final);
    });
}

void write_hooks(JsonWriter& out, std::string_view key, const std::vector<Hook>& hooks) {
  out.list(key, hooks, [&](const Hook& hook) {
    out.member("path", hook.path).member("args", hook.args);
    if (hook.env) out.strings("env", *hook.env);
    out.member("timeout", hook.timeout_s);
  });
}

void write_throttle(JsonWriter& out, std::string_view key, const std::vector<BlockThrottle>& devices) {
  out.list(key, devices, [&](const BlockThrottle& device) {
    out.member("major", device.major).member("minor", device.minor).member("rate", device.rate);
  });
}

void write_memory_and_cpu(JsonWriter& out, const Resources& resources) {
  if (resources.memory)
    out.object("memory", [&] {
      const Memory& it = *resources.memory;
      out.member("limit", it.limit).member("reservation", it.reservation).member("swap", it.swap);
      out.member("kernel", it.kernel).member("kernelTCP", it.kernel_tcp).member("swappiness", it.swappiness);
      out.member("disableOOMKiller", it.disable_oom_killer).member("useHierarchy", it.use_hierarchy);
      out.member("checkBeforeUpdate", it.check_before_update);
    });
  if (resources.cpu)
    out.object("cpu", [&] {
      const Cpu& it = *resources.cpu;
      out.member("shares", it.shares).member("quota", it.quota).member("burst", it.burst).member("period", it.period);
      out.member("realtimeRuntime", it.realtime_runtime).member("realtimePeriod", it.realtime_period);
      out.member("cpus", it.cpus).member("mems", it.mems).member("idle", it.idle);
    });
}

void write_block_io(JsonWriter& out, const BlockIo& block) {
  out.member("weight", block.weight).member("leafWeight", block.leaf_weight);
  out.list("weightDevice", block.weight_device, [&](const BlockWeight& device) {
    out.member("major", device.major).member("minor", device.minor);
    out.member("weight", device.weight).member("leafWeight", device.leaf_weight);
  });
  write_throttle(out, "throttleReadBpsDevice", block.read_bps);
  write_throttle(out, "throttleWriteBpsDevice", block.write_bps);
  write_throttle(out, "throttleReadIOPSDevice", block.read_iops);
  write_throttle(out, "throttleWriteIOPSDevice", block.write_iops);
}

void write_resources(JsonWriter& out, const Resources& resources) {
  out.list("devices", resources.devices, [&](const DeviceRule& rule) {
    out.member("allow", rule.allow).member("type", rule.type).member("major", rule.major);
    out.member("minor", rule.minor).member("access", rule.access);
  });
  write_memory_and_cpu(out, resources);
  if (resources.pids_limit) out.object("pids", [&] { out.member("limit", resources.pids_limit); });
  if (resources.block_io) out.object("blockIO", [&] { write_block_io(out, *resources.block_io); });
  out.list("hugepageLimits", resources.hugepage_limits, [&](const HugepageLimit& limit) {
    out.member("pageSize", limit.page_size).member("limit", limit.limit);
  });
  if (resources.network)
    out.object("network", [&] {
      out.member("classID", resources.network->class_id);
      out.list("priorities", resources.network->priorities, [&](const InterfacePriority& priority) {
        out.member("name", priority.name).member("priority", priority.priority);
      });
    });
  out.entries("rdma", resources.rdma, [&](const Rdma& limit) {
    out.member("hcaHandles", limit.hca_handles).member("hcaObjects", limit.hca_objects);
  });
  out.member("unified", resources.unified);
}

void write_seccomp(JsonWriter& out, const Seccomp& seccomp) {
  out.member("defaultAction", seccomp.default_action).member("defaultErrnoRet", seccomp.default_errno_ret);
  out.member("architectures", seccomp.architectures);
  if (seccomp.flags) out.strings("flags", *seccomp.flags);
  out.member("listenerPath", seccomp.listener_path).member("listenerMetadata", seccomp.listener_metadata);
  out.list("syscalls", seccomp.syscalls, [&](const SeccompRule& rule) {
    out.member("names", rule.names).member("action", rule.action).member("errnoRet", rule.errno_ret);
    out.list("args", rule.args, [&](const SeccompArg& argument) {
      out.member("index", argument.index).member("value", argument.value);
      out.member("valueTwo", argument.value_two).member("op", argument.op);
    });
  });
}

void write_linux_rest(JsonWriter& out, const Linux& linux_object) {
  if (linux_object.intel_rdt)
    out.object("intelRdt", [&] {
      out.member("closID", linux_object.intel_rdt->clos_id).member("l3CacheSchema", linux_object.intel_rdt->l3_cache_schema);
      out.member("memBwSchema", linux_object.intel_rdt->mem_bw_schema);
    });
  if (linux_object.personality)
    out.object("personality", [&] {
      out.member("domain", linux_object.personality->domain).member("flags", linux_object.personality->flags);
    });
  if (linux_object.memory_policy)
    out.object("memoryPolicy", [&] {
      out.member("mode", linux_object.memory_policy->mode).member("nodes", linux_object.memory_policy->nodes);
      out.member("flags", linux_object.memory_policy->flags);
    });
  out.entries("timeOffsets", linux_object.time_offsets, [&](const TimeOffset& offset) {
    out.member("secs", offset.secs).member("nanosecs", offset.nanosecs);
  });
  out.entries("netDevices", linux_object.net_devices, [&](const NetDevice& device) { out.member("name", device.name); });
}

void write_linux(JsonWriter& out, const Linux& linux_object) {
  write_id_maps(out, "uidMappings", linux_object.uid_mappings);
  write_id_maps(out, "gidMappings", linux_object.gid_mappings);
  out.member("sysctl", linux_object.sysctl);
  if (linux_object.resources) out.object("resources", [&] { write_resources(out, *linux_object.resources); });
  out.member("cgroupsPath", linux_object.cgroups_path);
  out.list("namespaces", linux_object.namespaces,
           [&](const Namespace& entry) { out.member("type", entry.type).member("path", entry.path); });
  out.list("devices", linux_object.devices, [&](const Device& device) {
    out.member("type", device.type).member("path", device.path).member("major", device.major).member("minor", device.minor);
    out.member("fileMode", device.file_mode).member("uid", device.uid).member("gid", device.gid);
  });
  if (linux_object.seccomp) out.object("seccomp", [&] { write_seccomp(out, *linux_object.seccomp); });
  out.member("rootfsPropagation", linux_object.rootfs_propagation);
  out.member("maskedPaths", linux_object.masked_paths).member("readonlyPaths", linux_object.readonly_paths);
  out.member("mountLabel", linux_object.mount_label);
  write_linux_rest(out, linux_object);
}

void write_all_hooks(JsonWriter& out, const Hooks& hooks) {
  if (hooks.prestart.empty() && hooks.create_runtime.empty() && hooks.create_container.empty() &&
      hooks.start_container.empty() && hooks.poststart.empty() && hooks.poststop.empty())
    return;
  out.object("hooks", [&] {
    write_hooks(out, "prestart", hooks.prestart);
    write_hooks(out, "createRuntime", hooks.create_runtime);
    write_hooks(out, "createContainer", hooks.create_container);
    write_hooks(out, "startContainer", hooks.start_container);
    write_hooks(out, "poststart", hooks.poststart);
    write_hooks(out, "poststop", hooks.poststop);
  });
}

}  // namespace

std::string to_json(const Process& process) {
  JsonWriter out;
  out.object("", [&] { write_process(out, process); });
  return out.take();
}

std::string to_json(const Config& config) {
  JsonWriter out;
  out.object("", [&] {
    out.member("ociVersion", config.oci_version);
    if (config.process) out.object("process", [&] { write_process(out, *config.process); });
    if (!config.root.path.empty())
      out.object("root", [&] { out.member("path", config.root.path).member("readonly", config.root.readonly); });
    out.member("hostname", config.hostname).member("domainname", config.domainname);
    out.list("mounts", config.mounts, [&](const Mount& mount) {
      out.member("destination", mount.destination).member("type", mount.type).member("source", mount.source);
      out.member("options", mount.options);
      write_id_maps(out, "uidMappings", mount.uid_mappings);
      write_id_maps(out, "gidMappings", mount.gid_mappings);
    });
    write_all_hooks(out, config.hooks);
    out.member("annotations", config.annotations);
    out.object("linux", [&] { write_linux(out, config.linux_); });
  });
  return out.take();
}

}  // namespace runtime::spec
