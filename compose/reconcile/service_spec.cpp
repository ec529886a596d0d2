// model::Service → engine::ContainerSpec, one small function an area. What cannot be translated is in refuse.cpp.
#include "compose/reconcile/service_spec.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace compose::reconcile {
namespace {

using namespace engine;

void translate_process(const model::Service& service, ContainerSpec& spec) {
  spec.entrypoint = service.entrypoint;
  spec.command = service.command;
  for (const auto& [name, value] : service.environment) spec.env.push_back(value ? name + "=" + *value : name);
  spec.user = service.user;
  spec.working_dir = service.working_dir;
  spec.hostname = service.hostname;
  spec.domainname = service.domainname;
  spec.tty = service.tty;
  spec.stdin_open = service.stdin_open;
  spec.init = service.init.value_or(false);
  spec.privileged = service.privileged;
  spec.read_only = service.read_only;
  spec.labels = service.labels;
  spec.annotations = service.annotations;
  spec.cap_add = service.cap_add;
  spec.cap_drop = service.cap_drop;
  spec.security_opt = service.security_opt;
  spec.group_add = service.group_add;
  spec.stop_signal = service.stop_signal;
  spec.stop_grace = service.stop_grace_period;
  spec.sysctls = service.sysctls;
  spec.oom_score_adj = service.oom_score_adj;
  spec.shm_size_bytes = service.shm_size_bytes;
  spec.pid_mode = service.pid;
  spec.ipc_mode = service.ipc;
  spec.uts_mode = service.uts;
  spec.userns_mode = service.userns_mode;
  spec.cgroup_mode = service.cgroup;
  spec.cgroup_parent = service.cgroup_parent;
  for (const auto& [name, limit] : service.ulimits) spec.ulimits.push_back({name, limit.soft, limit.hard});
  for (const auto& device : service.devices) {
    spec.devices.push_back({device.source, device.target.empty() ? device.source : device.target,
                            device.permissions.empty() ? "rwm" : device.permissions});
  }
  spec.device_cgroup_rules = service.device_cgroup_rules;
}

/// `db` or `db:database` in links: the target answers to `database` on the networks both are in.
void add_link_aliases(const model::Project& project, const model::Service& service, const std::string& network,
                      NetworkAttachment& attachment) {
  for (const auto& [other_name, other] : project.services) {
    if (other_name == service.name || !other.networks.contains(network)) continue;
    for (const auto& link : other.links) {
      const auto colon = link.find(':');
      if (link.substr(0, colon) != service.name || colon == std::string::npos) continue;
      attachment.aliases.push_back(link.substr(colon + 1));
    }
  }
}

void translate_networks(const model::Project& project, const model::Service& service, bool any_links, ContainerSpec& spec) {
  const auto& mode = service.network_mode;
  if (mode == "none" || mode == "host" || mode.starts_with("service:") || mode.starts_with("container:")) {
    spec.network_mode = mode;
    return;
  }
  if (mode == "bridge" || mode == "default") {
    spec.networks.push_back({.network = bridge_network(project), .aliases = {}, .ipv4_address = {}, .ipv6_address = {},
                             .mac_address = service.mac_address, .interface_name = {}, .link_local_ips = {}});
    return;
  }
  if (!mode.empty()) {  // the name of a network the engine knows
    spec.networks.push_back({.network = mode, .aliases = {service.name}, .ipv4_address = {}, .ipv6_address = {},
                             .mac_address = service.mac_address, .interface_name = {}, .link_local_ips = {}});
    return;
  }
  for (const auto& [key, wanted] : service.networks) {
    const auto network = project.networks.find(key);
    if (network == project.networks.end()) continue;  // cross-check refused it
    NetworkAttachment attachment;
    attachment.network = network->second.name;
    attachment.aliases = {service.name};
    for (const auto& alias : wanted.aliases) attachment.aliases.push_back(alias);
    if (any_links) add_link_aliases(project, service, key, attachment);
    attachment.ipv4_address = wanted.ipv4_address;
    attachment.ipv6_address = wanted.ipv6_address;
    attachment.mac_address = wanted.mac_address;
    attachment.interface_name = wanted.interface_name;
    attachment.link_local_ips = wanted.link_local_ips;
    attachment.priority = wanted.priority;
    attachment.gw_priority = wanted.gw_priority;
    spec.networks.push_back(std::move(attachment));
  }
  // Highest priority first: it becomes eth0 and gets the service's mac_address, as with Docker.
  std::stable_sort(spec.networks.begin(), spec.networks.end(),
                   [](const NetworkAttachment& a, const NetworkAttachment& b) { return a.priority > b.priority; });
  if (!spec.networks.empty() && spec.networks.front().mac_address.empty()) {
    spec.networks.front().mac_address = service.mac_address;
  }
}

std::uint16_t port_number(std::string_view text) {
  std::uint16_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

void translate_ports(const model::Service& service, ContainerSpec& spec) {
  for (const auto& port : service.ports) {
    PortBinding binding;
    binding.host_ip = port.host_ip;
    binding.container_port = port.target;
    binding.protocol = port.protocol;
    const auto dash = port.published.find('-');
    binding.host_port = port_number(port.published);
    if (dash != std::string::npos) binding.host_port_last = port_number(std::string_view(port.published).substr(dash + 1));
    spec.ports.push_back(std::move(binding));
  }
  spec.expose = service.expose;
  for (auto& port : spec.expose) {
    if (port.find('/') == std::string::npos) port += "/tcp";
  }
  spec.dns = service.dns;
  spec.dns_search = service.dns_search;
  spec.dns_opt = service.dns_opt;
  spec.extra_hosts = service.extra_hosts;
}

void translate_mounts(const model::Project& project, const model::Service& service, ContainerSpec& spec) {
  for (const auto& volume : service.volumes) {
    MountSpec mount;
    mount.source = volume.source;
    mount.target = volume.target;
    mount.read_only = volume.read_only;
    if (volume.type == "bind") {
      mount.type = MountType::bind;
      mount.propagation = volume.bind_propagation;
      mount.create_host_path = volume.bind_create_host_path;
      mount.recursive = volume.bind_recursive;
    } else if (volume.type == "tmpfs") {
      mount.type = MountType::tmpfs;
      mount.tmpfs_size_bytes = volume.tmpfs_size_bytes;
      if (volume.tmpfs_mode != 0) mount.tmpfs_mode = volume.tmpfs_mode;
    } else if (volume.type == "image") {
      mount.type = MountType::image;
      mount.subpath = volume.image_subpath;
    } else {
      const auto named = project.volumes.find(volume.source);
      if (named != project.volumes.end()) mount.source = named->second.name;
      mount.nocopy = volume.volume_nocopy;
      mount.subpath = volume.volume_subpath;
      mount.labels = volume.volume_labels;
    }
    spec.mounts.push_back(std::move(mount));
  }
  for (const auto& entry : service.tmpfs) {
    MountSpec mount;
    mount.type = MountType::tmpfs;
    const auto colon = entry.find(':');
    mount.target = entry.substr(0, colon);
    if (colon != std::string::npos) mount.tmpfs_options = entry.substr(colon + 1);
    spec.mounts.push_back(std::move(mount));
  }
  for (const auto& source : service.volumes_from) {
    spec.volumes_from.push_back(source.starts_with("container:") ? source.substr(10) : "service:" + source);
  }
}

std::optional<std::uint32_t> number_of(const std::string& text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

void add_files(const std::map<std::string, model::FileSource>& sources, const std::vector<model::FileReference>& references,
               bool secrets, ContainerSpec& spec) {
  for (const auto& reference : references) {
    const auto source = sources.find(reference.source);
    if (source == sources.end()) continue;
    FileMount mount;
    mount.target = reference.target;
    const std::string folder = secrets ? "/run/secrets/" : "/";
    if (mount.target.empty()) mount.target = folder + reference.source;
    if (!mount.target.starts_with('/')) mount.target = folder + mount.target;
    mount.host_path = source->second.file;
    if (mount.host_path.empty()) mount.content = source->second.content;
    mount.uid = number_of(reference.uid);
    mount.gid = number_of(reference.gid);
    mount.mode = reference.mode;
    spec.files.push_back(std::move(mount));
  }
}

std::int64_t nano_cpus(double cpus) { return static_cast<std::int64_t>(std::llround(cpus * 1e9)); }
double decimal(const std::string& text) {
  double number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

void translate_blkio(const model::BlkioConfig& blkio, Resources& resources) {
  const auto throttle = [](const std::vector<model::ThrottleDevice>& devices) {
    std::vector<BlkioDevice> result;
    for (const auto& device : devices) result.push_back({device.path, device.rate});
    return result;
  };
  resources.blkio_weight = blkio.weight;
  for (const auto& device : blkio.weight_device) resources.blkio_weight_device.push_back({device.path, device.weight});
  resources.blkio_read_bps = throttle(blkio.device_read_bps);
  resources.blkio_write_bps = throttle(blkio.device_write_bps);
  resources.blkio_read_iops = throttle(blkio.device_read_iops);
  resources.blkio_write_iops = throttle(blkio.device_write_iops);
}

void translate_resources(const model::Service& service, Resources& resources) {
  resources.memory_bytes = service.mem_limit_bytes;
  resources.memory_reservation_bytes = service.mem_reservation_bytes;
  resources.memory_swap_bytes = service.memswap_limit_bytes;
  if (service.mem_swappiness) resources.memory_swappiness = static_cast<int>(*service.mem_swappiness);
  resources.oom_kill_disable = service.oom_kill_disable;
  resources.nano_cpus = nano_cpus(service.cpus);
  resources.cpu_shares = service.cpu_shares;
  resources.cpu_quota = service.cpu_quota;
  resources.cpu_period = service.cpu_period;
  resources.cpu_rt_runtime = service.cpu_rt_runtime_us;
  resources.cpu_rt_period = service.cpu_rt_period_us;
  resources.cpuset_cpus = service.cpuset;
  resources.pids_limit = service.pids_limit;
  if (service.blkio_config) translate_blkio(*service.blkio_config, resources);
  if (!service.deploy) return;
  if (const auto& limits = service.deploy->limits) {
    if (!limits->cpus.empty()) resources.nano_cpus = nano_cpus(decimal(limits->cpus));
    if (limits->memory_bytes != 0) resources.memory_bytes = limits->memory_bytes;
    if (limits->pids != 0) resources.pids_limit = limits->pids;
  }
  if (const auto& reservations = service.deploy->reservations) {
    if (reservations->memory_bytes != 0) resources.memory_reservation_bytes = reservations->memory_bytes;
    // One machine has no scheduler to reserve with; a weight in proportion is what Kubernetes makes of a CPU request.
    if (!reservations->cpus.empty() && resources.cpu_shares == 0) {
      resources.cpu_shares = std::max<std::int64_t>(2, std::llround(decimal(reservations->cpus) * 1024));
    }
  }
}

RestartPolicy restart_policy(const model::Service& service) {
  using Mode = RestartPolicy::Mode;
  RestartPolicy policy;
  const auto& text = service.restart;
  if (text == "always") policy.mode = Mode::always;
  if (text == "unless-stopped") policy.mode = Mode::unless_stopped;
  if (text.starts_with("on-failure")) {
    policy.mode = Mode::on_failure;
    if (const auto colon = text.find(':'); colon != std::string::npos) {
      policy.max_retries = static_cast<int>(number_of(text.substr(colon + 1)).value_or(0));
    }
  }
  if (!service.deploy || !service.deploy->restart_policy) return policy;
  const auto& deploy = *service.deploy->restart_policy;
  policy.mode = deploy.condition == "none" ? Mode::no : deploy.condition == "on-failure" ? Mode::on_failure : Mode::always;
  policy.max_retries = static_cast<int>(deploy.max_attempts.value_or(0));
  policy.delay = deploy.delay;
  policy.window = deploy.window;
  return policy;
}

std::optional<HealthSpec> health(const model::Service& service) {
  if (!service.healthcheck) return std::nullopt;
  const auto& check = *service.healthcheck;
  HealthSpec spec;
  spec.test = check.disable ? std::vector<std::string>{"NONE"} : check.test;
  spec.interval = check.interval;
  spec.timeout = check.timeout;
  spec.start_period = check.start_period;
  spec.start_interval = check.start_interval;
  if (check.retries) spec.retries = static_cast<int>(*check.retries);
  return spec;
}

std::vector<Hook> hooks(const std::vector<model::Hook>& from) {
  std::vector<Hook> result;
  for (const auto& hook : from) {
    Hook out{.command = hook.command, .user = hook.user, .working_dir = hook.working_dir, .privileged = hook.privileged, .env = {}};
    for (const auto& [name, value] : hook.environment) {
      if (value) out.env.push_back(name + "=" + *value);
    }
    result.push_back(std::move(out));
  }
  return result;
}

}  // namespace

std::string bridge_network(const model::Project& project) { return project.name + "_bridge"; }

ContainerSpec service_spec(const model::Project& project, const model::Service& service) {
  ContainerSpec spec;
  spec.project = project.name;
  const bool any_links = std::any_of(project.services.begin(), project.services.end(),
                                     [](const auto& entry) { return !entry.second.links.empty(); });
  translate_process(service, spec);
  translate_networks(project, service, any_links, spec);
  translate_ports(service, spec);
  translate_mounts(project, service, spec);
  add_files(project.configs, service.configs, false, spec);
  add_files(project.secrets, service.secrets, true, spec);
  translate_resources(service, spec.resources);
  spec.restart = restart_policy(service);
  spec.healthcheck = health(service);
  if (service.logging) {
    spec.log_driver = service.logging->driver;
    spec.log_options = service.logging->options;
  }
  spec.post_start = hooks(service.post_start);
  spec.pre_stop = hooks(service.pre_stop);
  return spec;
}

}  // namespace compose::reconcile
