#pragma once
// runtime-spec 1.2 (config.md, config-linux.md) as plain values. Absent optional = not in config.json; an empty string or
// list = absent. Field names follow the specification in snake_case. JSON in and out: spec/json.h.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace runtime::spec {

struct IdMap {
  std::uint32_t container_id = 0, host_id = 0, size = 0;
};

struct User {
  std::uint32_t uid = 0, gid = 0;
  std::optional<std::uint32_t> umask;
  std::vector<std::uint32_t> additional_gids;
};

/// Names as "CAP_CHOWN".
struct Capabilities {
  std::vector<std::string> bounding, effective, inheritable, permitted, ambient;
};

struct Rlimit {
  std::string type;  ///< "RLIMIT_NOFILE"
  std::uint64_t soft = 0, hard = 0;
};

struct ConsoleSize {
  std::uint16_t height = 0, width = 0;
};

struct Scheduler {
  std::string policy;  ///< "SCHED_OTHER" …
  int nice = 0, priority = 0;
  std::vector<std::string> flags;
  std::optional<std::uint64_t> runtime, deadline;
  std::uint64_t period = 0;
};

struct IoPriority {
  std::string class_name;  ///< "IOPRIO_CLASS_BE" …
  int priority = 0;
};

struct CpuAffinity {
  std::string initial, final;  ///< cpu lists "0-3,7"
};

struct Process {
  bool terminal = false;
  std::optional<ConsoleSize> console_size;
  std::string cwd = "/";
  std::vector<std::string> env, args;
  std::vector<Rlimit> rlimits;
  std::optional<Capabilities> capabilities;
  bool no_new_privileges = false;
  std::string apparmor_profile, selinux_label;
  std::optional<int> oom_score_adj;
  User user;
  std::optional<Scheduler> scheduler;
  std::optional<IoPriority> io_priority;
  std::optional<CpuAffinity> exec_cpu_affinity;
};

struct Root {
  std::string path;
  bool readonly = false;
};

struct Mount {
  std::string destination, type, source;
  std::vector<std::string> options;  ///< words as in "nosuid", "rro", "size=64m", "tmpcopyup", "idmap"
  std::vector<IdMap> uid_mappings, gid_mappings;
};

struct Hook {
  std::string path;
  std::vector<std::string> args;
  std::optional<std::vector<std::string>> env;  ///< absent = the runtime's own
  std::optional<int> timeout_s;
};

struct Hooks {
  std::vector<Hook> prestart, create_runtime, create_container, start_container, poststart, poststop;
};

struct Namespace {
  std::string type;  ///< pid network mount ipc uts user cgroup time
  std::string path;  ///< "" = a new one
};

struct Device {
  std::string type, path;  ///< type: c b u p
  std::int64_t major = 0, minor = 0;
  std::optional<std::uint32_t> file_mode, uid, gid;
};

struct NetDevice {
  std::string name;  ///< in the container; "" = unchanged
};

struct DeviceRule {
  bool allow = false;
  std::string type;                         ///< "" or "a" = all, c, b
  std::optional<std::int64_t> major, minor; ///< absent or -1 = all
  std::string access = "rwm";
};

struct Memory {
  std::optional<std::int64_t> limit, reservation, swap, kernel, kernel_tcp;
  std::optional<std::uint64_t> swappiness;
  std::optional<bool> disable_oom_killer, use_hierarchy, check_before_update;
};

struct Cpu {
  std::optional<std::uint64_t> shares, period, realtime_period, burst;
  std::optional<std::int64_t> quota, realtime_runtime, idle;
  std::string cpus, mems;
};

struct BlockWeight {
  std::int64_t major = 0, minor = 0;
  std::optional<std::uint16_t> weight, leaf_weight;
};

struct BlockThrottle {
  std::int64_t major = 0, minor = 0;
  std::uint64_t rate = 0;
};

struct BlockIo {
  std::optional<std::uint16_t> weight, leaf_weight;
  std::vector<BlockWeight> weight_device;
  std::vector<BlockThrottle> read_bps, write_bps, read_iops, write_iops;
};

struct HugepageLimit {
  std::string page_size;  ///< "2MB"
  std::uint64_t limit = 0;
};

struct InterfacePriority {
  std::string name;
  std::uint32_t priority = 0;
};

struct Network {
  std::optional<std::uint32_t> class_id;
  std::vector<InterfacePriority> priorities;
};

struct Rdma {
  std::optional<std::uint32_t> hca_handles, hca_objects;
};

struct Resources {
  std::vector<DeviceRule> devices;
  std::optional<Memory> memory;
  std::optional<Cpu> cpu;
  std::optional<std::int64_t> pids_limit;
  std::optional<BlockIo> block_io;
  std::vector<HugepageLimit> hugepage_limits;
  std::optional<Network> network;
  std::map<std::string, Rdma> rdma;
  std::map<std::string, std::string> unified;  ///< cgroup v2 file → text
};

struct SeccompArg {
  std::uint32_t index = 0;
  std::uint64_t value = 0, value_two = 0;
  std::string op;  ///< "SCMP_CMP_EQ" …
};

struct SeccompRule {
  std::vector<std::string> names;
  std::string action;  ///< "SCMP_ACT_ALLOW" …
  std::optional<std::uint32_t> errno_ret;
  std::vector<SeccompArg> args;
};

struct Seccomp {
  std::string default_action;
  std::optional<std::uint32_t> default_errno_ret;
  std::vector<std::string> architectures;       ///< "SCMP_ARCH_X86_64" …; empty = native
  std::optional<std::vector<std::string>> flags;  ///< "SECCOMP_FILTER_FLAG_LOG" …
  std::string listener_path, listener_metadata;
  std::vector<SeccompRule> syscalls;
};

struct Personality {
  std::string domain;  ///< LINUX or LINUX32
  std::vector<std::string> flags;
};

struct TimeOffset {
  std::int64_t secs = 0;
  std::uint32_t nanosecs = 0;
};

struct IntelRdt {
  std::string clos_id, l3_cache_schema, mem_bw_schema;
};

/// set_mempolicy(2); runtime-spec 1.3.
struct MemoryPolicy {
  std::string mode, nodes;          ///< "MPOL_BIND", "0-3,7"
  std::vector<std::string> flags;   ///< "MPOL_F_STATIC_NODES" …
};

struct Linux {
  std::vector<IdMap> uid_mappings, gid_mappings;
  std::map<std::string, std::string> sysctl;
  std::optional<Resources> resources;
  std::string cgroups_path;
  std::vector<Namespace> namespaces;
  std::vector<Device> devices;
  std::map<std::string, NetDevice> net_devices;
  std::optional<Seccomp> seccomp;
  std::string rootfs_propagation;
  std::vector<std::string> masked_paths, readonly_paths;
  std::string mount_label;
  std::optional<IntelRdt> intel_rdt;
  std::optional<Personality> personality;
  std::optional<MemoryPolicy> memory_policy;
  std::map<std::string, TimeOffset> time_offsets;  ///< "monotonic", "boottime"
};

struct Config {
  std::string oci_version = "1.2.1";
  std::optional<Process> process;
  Root root;
  std::string hostname, domainname;
  std::vector<Mount> mounts;
  Hooks hooks;
  std::map<std::string, std::string> annotations;
  Linux linux_;
};

}  // namespace runtime::spec
