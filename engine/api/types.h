#pragma once
// The engine's vocabulary: what the CLI asks for, what the supervisor keeps and reports. Plain values; JSON in types_json.h.
// The engine knows containers, networks, volumes and images, not Compose: services exist here only as labels.
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace engine {

using Nanoseconds = std::chrono::nanoseconds;
using Labels = std::map<std::string, std::string>;
/// Wall clock, nanoseconds since the epoch; 0 = never.
using WallNs = std::int64_t;

struct PortBinding {
  std::string host_ip;              ///< "" = every address, IPv4 and IPv6
  std::uint16_t host_port = 0;      ///< 0 = the engine chooses a free one
  std::uint16_t host_port_last = 0; ///< with a range: the engine takes the first free of host_port…host_port_last; else 0
  std::uint16_t container_port = 0;
  std::string protocol = "tcp";     ///< tcp | udp
  bool operator==(const PortBinding&) const = default;
};

enum class MountType : std::uint8_t { bind, volume, tmpfs, image };

struct MountSpec {
  MountType type = MountType::volume;
  std::string source;               ///< host path | volume name ("" = anonymous) | image reference
  std::string target;               ///< absolute path in the container
  bool read_only = false;
  std::string propagation;          ///< "" = rprivate
  bool create_host_path = true;     ///< bind: make a missing source directory
  std::string recursive;            ///< bind: "" | enabled | disabled | writable | readonly
  bool nocopy = false;              ///< volume: no copy-up of the image's files
  std::string subpath;              ///< volume, image
  Labels labels;                    ///< labels of an anonymous volume
  std::int64_t tmpfs_size_bytes = 0;  ///< 0 = half of memory
  std::uint32_t tmpfs_mode = 01777;
  std::string tmpfs_options;        ///< further comma-separated mount options (short form)
  bool operator==(const MountSpec&) const = default;
};

/// A config or secret: a file the engine writes into a tmpfs of the container.
struct FileMount {
  std::string target;               ///< absolute path
  std::string content;              ///< used when host_path is empty
  std::string host_path;            ///< bound read-only instead of copied
  std::optional<std::uint32_t> uid, gid;
  std::optional<std::uint32_t> mode;  ///< permission bits; absent = 0444
  bool operator==(const FileMount&) const = default;
};

struct NetworkAttachment {
  std::string network;              ///< engine name, e.g. "demo_default"
  std::vector<std::string> aliases;
  std::string ipv4_address, ipv6_address, mac_address, interface_name;  ///< "" = chosen by the engine
  std::vector<std::string> link_local_ips;
  int priority = 0, gw_priority = 0;
  bool operator==(const NetworkAttachment&) const = default;
};

struct HealthSpec {
  std::vector<std::string> test;    ///< {"NONE"} | {"CMD", …} | {"CMD-SHELL", line}; empty = the image's
  std::optional<Nanoseconds> interval, timeout, start_period, start_interval;  ///< absent: image's, else 30s 30s 0s 5s
  std::optional<int> retries;       ///< absent: image's, else 3
  bool operator==(const HealthSpec&) const = default;
};

struct RestartPolicy {
  enum class Mode : std::uint8_t { no, always, on_failure, unless_stopped };
  Mode mode = Mode::no;
  int max_retries = 0;              ///< on_failure: 0 = no limit
  std::optional<Nanoseconds> delay, window;  ///< deploy.restart_policy; absent = back-off 100 ms doubling to 1 min
  bool operator==(const RestartPolicy&) const = default;
};

struct Ulimit {
  std::string name;                 ///< "nofile"
  std::int64_t soft = 0, hard = 0;  ///< -1 = unlimited
  bool operator==(const Ulimit&) const = default;
};

struct DeviceMapping {
  std::string source, target, permissions = "rwm";
  bool operator==(const DeviceMapping&) const = default;
};

struct BlkioDevice {
  std::string path;
  std::uint64_t rate = 0;           ///< bytes or operations a second, or a weight
  bool operator==(const BlkioDevice&) const = default;
};

struct Resources {
  std::int64_t memory_bytes = 0, memory_reservation_bytes = 0, memory_swap_bytes = 0;  ///< 0 = unset, -1 = unlimited (swap)
  std::optional<int> memory_swappiness;
  bool oom_kill_disable = false;
  std::int64_t nano_cpus = 0;       ///< 1.5 CPUs = 1'500'000'000
  std::int64_t cpu_shares = 0, cpu_quota = 0, cpu_period = 0, cpu_rt_runtime = 0, cpu_rt_period = 0;
  std::string cpuset_cpus;
  std::int64_t pids_limit = 0;      ///< 0 = unset, -1 = unlimited
  std::uint16_t blkio_weight = 0;
  std::vector<BlkioDevice> blkio_weight_device, blkio_read_bps, blkio_write_bps, blkio_read_iops, blkio_write_iops;
  bool operator==(const Resources&) const = default;
};

struct Hook {
  std::vector<std::string> command;
  std::string user, working_dir;
  bool privileged = false;
  std::vector<std::string> env;
  bool operator==(const Hook&) const = default;
};

/// Everything a container is made from. Absent or empty means "as the image says", then the engine's default.
struct ContainerSpec {
  std::string name;                 ///< unique on the machine: "demo-web-1"
  std::string project;              ///< whose supervisor runs it
  std::string image;                ///< reference as the user wrote it
  std::string image_id;             ///< "sha256:…" of the image config; resolved before the plan
  std::optional<std::vector<std::string>> entrypoint, command;
  std::vector<std::string> env;     ///< "KEY=VALUE"; "KEY" alone removes the image's
  std::string user, working_dir, hostname, domainname;
  bool tty = false, stdin_open = false, init = false, privileged = false, read_only = false;
  Labels labels;
  std::map<std::string, std::string> annotations;
  std::vector<std::string> cap_add, cap_drop, security_opt, group_add;
  std::string network_mode;         ///< "" = `networks` | none | host | container:NAME
  std::vector<NetworkAttachment> networks;
  std::vector<PortBinding> ports;
  std::vector<std::string> expose;  ///< "80/tcp"
  std::vector<std::string> dns, dns_search, dns_opt;
  std::vector<std::string> extra_hosts;  ///< "name=address"; the address may be host-gateway
  std::vector<MountSpec> mounts;
  std::vector<std::string> volumes_from;  ///< "container NAME[:ro]"
  std::vector<FileMount> files;
  Resources resources;
  std::vector<Ulimit> ulimits;
  std::map<std::string, std::string> sysctls;
  std::vector<DeviceMapping> devices;
  std::vector<std::string> device_cgroup_rules;
  std::int64_t shm_size_bytes = 0;  ///< 0 = 64 MiB
  std::string pid_mode, ipc_mode, uts_mode, userns_mode, cgroup_mode, cgroup_parent;  ///< "" | host | container:NAME | …
  int oom_score_adj = 0;
  RestartPolicy restart;
  std::string stop_signal;          ///< "" = image's, else SIGTERM
  std::optional<Nanoseconds> stop_grace;  ///< absent = 10 s
  std::optional<HealthSpec> healthcheck;
  std::string log_driver;           ///< "" = the engine's default | json-file | local | none
  std::map<std::string, std::string> log_options;
  std::vector<Hook> post_start, pre_stop;
  bool auto_remove = false;         ///< `run --rm`: removed with its anonymous volumes when it ends
  bool operator==(const ContainerSpec&) const = default;
};

struct SubnetSpec {
  std::string subnet, ip_range, gateway;  ///< CIDR, CIDR, address; "" = chosen by the engine
  std::map<std::string, std::string> aux_addresses;
  bool operator==(const SubnetSpec&) const = default;
};

struct NetworkSpec {
  std::string name;                 ///< unique on the machine: "demo_default"
  std::string project;
  std::string driver = "bridge";    ///< bridge | macvlan | ipvlan | none
  std::map<std::string, std::string> driver_opts;
  bool internal = false, enable_ipv4 = true, enable_ipv6 = false, attachable = false;
  std::vector<SubnetSpec> subnets;
  Labels labels;
  bool operator==(const NetworkSpec&) const = default;
};

struct VolumeSpec {
  std::string name;                 ///< unique on the machine: "demo_data"
  std::string project;
  std::string driver = "local";
  std::map<std::string, std::string> driver_opts;
  Labels labels;
  bool anonymous = false;
  bool operator==(const VolumeSpec&) const = default;
};

enum class ContainerState : std::uint8_t { created, running, paused, restarting, exited, dead };
enum class HealthState : std::uint8_t { none, starting, healthy, unhealthy };

/// What an attachment became.
struct Endpoint {
  std::string network, ipv4_address, ipv6_address, mac_address, gateway;  ///< addresses with prefix length "10.1.0.2/24"
  std::string interface_name;
  bool operator==(const Endpoint&) const = default;
};

struct HealthProbe {
  WallNs start = 0, end = 0;
  int exit_code = 0;
  std::string output;               ///< at most 4 KiB
};

struct ContainerInfo {
  std::string id;                   ///< 64 hex digits
  ContainerSpec spec;
  ContainerState state = ContainerState::created;
  pid_t pid = 0;                    ///< init's, in the host's pid namespace; 0 when not running
  std::optional<int> exit_code;     ///< absent: never ran, runs, or ended unseen (unknown)
  bool oom_killed = false;
  bool stopped_by_user = false;     ///< restart policies leave it alone
  std::string error;                ///< why the last start failed
  WallNs created = 0, started = 0, finished = 0;
  int restart_count = 0;
  HealthState health = HealthState::none;
  std::vector<HealthProbe> health_log;  ///< the last five
  std::vector<Endpoint> endpoints;
  std::vector<PortBinding> ports;   ///< as bound: concrete host_ip and host_port, IPv4 and IPv6 apart
  std::vector<std::string> command; ///< entrypoint + command as run
  std::map<std::string, std::string> volumes;  ///< target → volume name, anonymous ones included
  std::string log_path;
};

struct NetworkInfo {
  NetworkSpec spec;
  std::string id;
  std::vector<SubnetSpec> subnets;  ///< as allocated
  WallNs created = 0;
};

struct VolumeInfo {
  VolumeSpec spec;
  std::string mountpoint;
  WallNs created = 0;
};

/// One consistent look at everything of a project (and at the external things it names).
struct Snapshot {
  std::vector<ContainerInfo> containers;
  std::vector<NetworkInfo> networks;
  std::vector<VolumeInfo> volumes;
};

}  // namespace engine
