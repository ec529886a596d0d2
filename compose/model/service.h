#pragma once
// One service, every attribute of the Compose Specification, in canonical form: short forms expanded, paths absolute
// (unless told otherwise), env_file read, defaults left out. Absent = not written.
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace compose::model {

using Duration = std::chrono::nanoseconds;
using StringMap = std::map<std::string, std::string>;
using Strings = std::vector<std::string>;
/// NAME → value; nullopt = written without a value and not found in the environment (leaves the variable unset).
using Environment = std::map<std::string, std::optional<std::string>>;

struct Ulimit {
  std::int64_t soft = 0, hard = 0;   ///< both set from `single` when it was written as one number; -1 = unlimited
  std::optional<std::int64_t> single;
  bool operator==(const Ulimit&) const = default;
};

/// A config or secret given to a service or a build.
struct FileReference {
  std::string source;                ///< name in Project::configs or ::secrets
  std::string target;                ///< "" = /NAME for a config, /run/secrets/NAME for a secret
  std::string uid, gid;
  std::optional<std::uint32_t> mode; ///< permission bits
  bool operator==(const FileReference&) const = default;
};

struct SshKey {
  std::string id, path;              ///< `default` or an id; path of the socket or key, "" = the agent
  bool operator==(const SshKey&) const = default;
};

struct Build {
  std::string context;               ///< absolute path or URL; "" when only dockerfile_inline is set and no context
  std::string dockerfile, dockerfile_inline;
  Strings entitlements;
  Environment args;
  std::vector<SshKey> ssh;
  StringMap labels;
  Strings cache_from, cache_to;
  StringMap additional_contexts;
  bool no_cache = false, pull = false, privileged = false;
  Strings extra_hosts;               ///< "name=address"
  std::string isolation, network, target, provenance, sbom;
  std::vector<FileReference> secrets;
  std::int64_t shm_size_bytes = 0;
  Strings tags, platforms;
  std::map<std::string, Ulimit> ulimits;
  bool operator==(const Build&) const = default;
};

struct Hook {
  Strings command;
  std::string user, working_dir;
  bool privileged = false;
  Environment environment;
  bool operator==(const Hook&) const = default;
};

struct WatchRule {
  std::string path, action, target;
  Strings include, ignore;
  std::optional<Hook> exec;
  bool initial_sync = false;
  bool operator==(const WatchRule&) const = default;
};

struct WeightDevice {
  std::string path;
  std::uint16_t weight = 0;
  bool operator==(const WeightDevice&) const = default;
};
struct ThrottleDevice {
  std::string path;
  std::uint64_t rate = 0;
  bool operator==(const ThrottleDevice&) const = default;
};
struct BlkioConfig {
  std::uint16_t weight = 0;
  std::vector<WeightDevice> weight_device;
  std::vector<ThrottleDevice> device_read_bps, device_read_iops, device_write_bps, device_write_iops;
  bool operator==(const BlkioConfig&) const = default;
};

struct CredentialSpec {
  std::string config, file, registry;
  bool operator==(const CredentialSpec&) const = default;
};

enum class DependencyCondition : std::uint8_t { started, healthy, completed_successfully };
struct Dependency {
  DependencyCondition condition = DependencyCondition::started;
  bool restart = false, required = true;
  bool operator==(const Dependency&) const = default;
};

struct DeviceRequest {
  Strings capabilities;
  std::optional<std::int64_t> count; ///< -1 = all
  Strings device_ids;
  std::string driver;
  StringMap options;
  bool operator==(const DeviceRequest&) const = default;
};
struct GenericResource {
  std::string kind;
  std::int64_t value = 0;
  bool operator==(const GenericResource&) const = default;
};
struct ResourceSet {
  std::string cpus;                  ///< decimal, "" = unset: "0.5"
  std::int64_t memory_bytes = 0, pids = 0;
  std::vector<DeviceRequest> devices;
  std::vector<GenericResource> generic_resources;
  bool operator==(const ResourceSet&) const = default;
};
struct UpdateConfig {
  std::optional<std::int64_t> parallelism;
  std::optional<Duration> delay, monitor;
  std::string failure_action, order;
  double max_failure_ratio = 0;
  bool operator==(const UpdateConfig&) const = default;
};
struct DeployRestartPolicy {
  std::string condition;             ///< "" | none | on-failure | any
  std::optional<Duration> delay, window;
  std::optional<std::int64_t> max_attempts;
  bool operator==(const DeployRestartPolicy&) const = default;
};
struct Placement {
  Strings constraints, preferences_spread;
  std::int64_t max_replicas_per_node = 0;
  bool operator==(const Placement&) const = default;
};
struct Deploy {
  std::string mode, endpoint_mode;
  std::optional<std::int64_t> replicas;
  StringMap labels;
  std::optional<UpdateConfig> update_config, rollback_config;
  std::optional<ResourceSet> limits, reservations;
  std::optional<DeployRestartPolicy> restart_policy;
  Placement placement;
  bool operator==(const Deploy&) const = default;
};

struct Device {
  std::string source, target, permissions;
  bool operator==(const Device&) const = default;
};

struct EnvFile {
  std::string path, format;          ///< format "" | raw
  bool required = true;
  bool operator==(const EnvFile&) const = default;
};

struct HealthCheck {
  Strings test;                      ///< {"NONE"} | {"CMD", …} | {"CMD-SHELL", line}; empty = the image's
  std::optional<Duration> interval, timeout, start_period, start_interval;
  std::optional<std::uint64_t> retries;
  bool disable = false;
  bool operator==(const HealthCheck&) const = default;
};

struct Logging {
  std::string driver;
  StringMap options;
  bool operator==(const Logging&) const = default;
};

struct ServiceModel {
  std::string endpoint_var, model_var;
  bool operator==(const ServiceModel&) const = default;
};

struct ServiceNetwork {
  Strings aliases;
  std::string interface_name, ipv4_address, ipv6_address, mac_address;
  Strings link_local_ips;
  StringMap driver_opts;
  int priority = 0, gw_priority = 0;
  bool operator==(const ServiceNetwork&) const = default;
};

struct Port {
  std::string name, mode;            ///< mode ingress (default) | host
  std::string host_ip;               ///< "" = every address
  std::uint16_t target = 0;
  std::string published;             ///< "" = chosen by the engine | "8080" | "8000-8010" (first free one)
  std::string protocol = "tcp";      ///< tcp | udp | sctp
  std::string app_protocol;
  bool operator==(const Port&) const = default;
};

struct Provider {
  std::string type;
  std::map<std::string, Strings> options;
  bool operator==(const Provider&) const = default;
};

struct VolumeMount {
  std::string type;                  ///< bind | volume | tmpfs | npipe | cluster | image
  std::string source, target;        ///< source: host path, volume name ("" = anonymous) or image
  bool read_only = false;
  std::string consistency;
  std::string bind_propagation, bind_selinux, bind_recursive;
  bool bind_create_host_path = true;
  bool volume_nocopy = false;
  std::string volume_subpath;
  StringMap volume_labels;
  std::int64_t tmpfs_size_bytes = 0;
  std::uint32_t tmpfs_mode = 0;      ///< 0 = unset
  std::string image_subpath;
  bool operator==(const VolumeMount&) const = default;
};

struct Service {
  bool operator==(const Service&) const = default;
  std::string name;
  Strings profiles;
  StringMap annotations;
  bool attach = true;
  std::optional<Build> build;
  std::vector<WatchRule> develop_watch;
  std::optional<BlkioConfig> blkio_config;
  Strings cap_add, cap_drop;
  std::string cgroup, cgroup_parent;
  std::int64_t cpu_count = 0, cpu_period = 0, cpu_quota = 0, cpu_rt_period_us = 0, cpu_rt_runtime_us = 0, cpu_shares = 0;
  double cpu_percent = 0, cpus = 0;
  std::string cpuset;
  std::optional<Strings> command;    ///< absent: the image's; empty: none
  std::optional<Strings> entrypoint;
  std::vector<FileReference> configs, secrets;
  std::string container_name;
  std::optional<CredentialSpec> credential_spec;
  std::map<std::string, Dependency> depends_on;
  std::optional<Deploy> deploy;
  Strings device_cgroup_rules;
  std::vector<Device> devices;
  Strings dns, dns_opt, dns_search;
  std::string domainname;
  Environment environment;           ///< env_file's variables included unless told otherwise
  std::vector<EnvFile> env_file;
  Strings expose;                    ///< "80", "80/udp", "8000-8010"
  Strings external_links;
  Strings extra_hosts;               ///< "name=address", in order
  std::vector<DeviceRequest> gpus;
  Strings group_add;
  std::optional<HealthCheck> healthcheck;
  std::string hostname, image;
  std::optional<bool> init;
  std::string ipc, isolation;
  StringMap labels;                  ///< label_file's included
  Strings label_file;
  Strings links;
  std::optional<Logging> logging;
  std::string mac_address;
  std::int64_t mem_limit_bytes = 0, mem_reservation_bytes = 0, memswap_limit_bytes = 0;  ///< memswap -1 = unlimited
  std::optional<std::int64_t> mem_swappiness;
  std::map<std::string, ServiceModel> models;
  std::string network_mode;          ///< "" | none | host | bridge | service:NAME | container:NAME | a network's name
  std::map<std::string, ServiceNetwork> networks;
  bool oom_kill_disable = false;
  int oom_score_adj = 0;
  std::string pid;
  std::int64_t pids_limit = 0;       ///< 0 = unset, -1 = unlimited
  std::string platform;
  std::vector<Port> ports;
  std::vector<Hook> post_start, pre_stop;
  bool privileged = false;
  std::optional<Provider> provider;
  std::string pull_policy;           ///< "" always never missing build daily weekly every_<duration>
  std::string pull_refresh_after;
  bool read_only = false;
  std::string restart;               ///< "" no always unless-stopped on-failure[:N]
  std::string runtime;
  std::optional<std::int64_t> scale; ///< see replicas()
  Strings security_opt;
  std::int64_t shm_size_bytes = 0;
  bool stdin_open = false;
  std::optional<Duration> stop_grace_period;
  std::string stop_signal;
  StringMap storage_opt;
  StringMap sysctls;
  Strings tmpfs;                     ///< "/path[:options]"
  bool tty = false;
  std::map<std::string, Ulimit> ulimits;
  bool use_api_socket = false;
  std::string user, userns_mode, uts;
  std::vector<VolumeMount> volumes;
  Strings volumes_from;              ///< "SERVICE[:ro]" or "container:NAME[:ro]"
  std::string working_dir;

  /// Containers wanted: scale, else deploy.replicas, else 1.
  [[nodiscard]] std::int64_t replicas() const;
  /// Names of services this one needs first: depends_on with what links, volumes_from and service: modes imply.
  [[nodiscard]] Strings dependencies() const;
};

}  // namespace compose::model
