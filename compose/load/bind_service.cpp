#include "compose/load/bind.h"
#include "compose/load/merge.h"
#include "compose/load/units.h"

namespace compose::load {
namespace {

using model::Service;

template <class T, class Read>
std::optional<T> optional_object(const Node& map, std::string_view key, Read read) {
  const Node* found = map.find(key);
  return found == nullptr || !found->is_mapping() ? std::nullopt : std::optional<T>(read(*found));
}

template <class T, class Read>
std::vector<T> list_of(const Node& map, std::string_view key, Read read) {
  std::vector<T> out;
  if (const Node* found = map.find(key))
    for (const Node& item : found->items) out.push_back(read(item));
  return out;
}

std::optional<model::Strings> optional_texts(const Node& map, std::string_view key) {
  return map.find(key) == nullptr ? std::nullopt : std::optional(texts_of(map, key));
}

model::Build build_of(const Node& node) {
  model::Build build;
  build.context = text_of(node, "context");
  build.dockerfile = text_of(node, "dockerfile");
  build.dockerfile_inline = text_of(node, "dockerfile_inline");
  build.entitlements = texts_of(node, "entitlements");
  build.args = environment_of(node, "args");
  for (const std::string& key : texts_of(node, "ssh")) {
    const auto colon = key.find(": ");
    build.ssh.push_back({key.substr(0, colon), colon == std::string::npos ? "" : key.substr(colon + 2)});
  }
  build.labels = string_map_of(node, "labels");
  build.cache_from = texts_of(node, "cache_from");
  build.cache_to = texts_of(node, "cache_to");
  build.additional_contexts = string_map_of(node, "additional_contexts");
  build.no_cache = flag_of(node, "no_cache");
  build.pull = flag_of(node, "pull");
  build.privileged = flag_of(node, "privileged");
  build.extra_hosts = texts_of(node, "extra_hosts");
  build.isolation = text_of(node, "isolation");
  build.network = text_of(node, "network");
  build.target = text_of(node, "target");
  build.provenance = text_of(node, "provenance");
  build.sbom = text_of(node, "sbom");
  build.secrets = file_references(node, "secrets");
  build.shm_size_bytes = integer_of(node, "shm_size");
  build.tags = texts_of(node, "tags");
  build.platforms = texts_of(node, "platforms");
  build.ulimits = ulimits_of(node);
  return build;
}

model::BlkioConfig blkio_of(const Node& node) {
  const auto throttle = [](const Node& item) {
    return model::ThrottleDevice{text_of(item, "path"), static_cast<std::uint64_t>(integer_of(item, "rate"))};
  };
  model::BlkioConfig blkio;
  blkio.weight = static_cast<std::uint16_t>(integer_of(node, "weight"));
  blkio.weight_device = list_of<model::WeightDevice>(node, "weight_device", [](const Node& item) {
    return model::WeightDevice{text_of(item, "path"), static_cast<std::uint16_t>(integer_of(item, "weight"))};
  });
  blkio.device_read_bps = list_of<model::ThrottleDevice>(node, "device_read_bps", throttle);
  blkio.device_read_iops = list_of<model::ThrottleDevice>(node, "device_read_iops", throttle);
  blkio.device_write_bps = list_of<model::ThrottleDevice>(node, "device_write_bps", throttle);
  blkio.device_write_iops = list_of<model::ThrottleDevice>(node, "device_write_iops", throttle);
  return blkio;
}

model::WatchRule watch_of(const Node& node) {
  model::WatchRule rule{text_of(node, "path"), text_of(node, "action"), text_of(node, "target"), texts_of(node, "include"),
                        texts_of(node, "ignore"), {}, flag_of(node, "initial_sync")};
  rule.exec = optional_object<model::Hook>(node, "exec", hook_of);
  return rule;
}

model::DeviceRequest device_request_of(const Node& node) {
  return {texts_of(node, "capabilities"), optional_integer(node, "count"), texts_of(node, "device_ids"),
          text_of(node, "driver"), string_map_of(node, "options")};
}

model::ResourceSet resources_of(const Node& node) {
  model::ResourceSet set;
  set.cpus = text_of(node, "cpus");
  set.memory_bytes = integer_of(node, "memory");
  set.pids = integer_of(node, "pids");
  set.devices = list_of<model::DeviceRequest>(node, "devices", device_request_of);
  set.generic_resources = list_of<model::GenericResource>(node, "generic_resources", [](const Node& item) {
    const Node* spec = item.find("discrete_resource_spec");
    return spec == nullptr ? model::GenericResource{} : model::GenericResource{text_of(*spec, "kind"), integer_of(*spec, "value")};
  });
  return set;
}

model::UpdateConfig update_of(const Node& node) {
  return {optional_integer(node, "parallelism"), optional_duration(node, "delay"), optional_duration(node, "monitor"),
          text_of(node, "failure_action"), text_of(node, "order"), real_of(node, "max_failure_ratio")};
}

model::Deploy deploy_of(const Node& node) {
  model::Deploy deploy;
  deploy.mode = text_of(node, "mode");
  deploy.endpoint_mode = text_of(node, "endpoint_mode");
  deploy.replicas = optional_integer(node, "replicas");
  deploy.labels = string_map_of(node, "labels");
  deploy.update_config = optional_object<model::UpdateConfig>(node, "update_config", update_of);
  deploy.rollback_config = optional_object<model::UpdateConfig>(node, "rollback_config", update_of);
  if (const Node* resources = node.find("resources")) {
    deploy.limits = optional_object<model::ResourceSet>(*resources, "limits", resources_of);
    deploy.reservations = optional_object<model::ResourceSet>(*resources, "reservations", resources_of);
  }
  deploy.restart_policy = optional_object<model::DeployRestartPolicy>(node, "restart_policy", [](const Node& policy) {
    return model::DeployRestartPolicy{text_of(policy, "condition"), optional_duration(policy, "delay"),
                                      optional_duration(policy, "window"), optional_integer(policy, "max_attempts")};
  });
  if (const Node* placement = node.find("placement")) {
    deploy.placement.constraints = texts_of(*placement, "constraints");
    deploy.placement.max_replicas_per_node = integer_of(*placement, "max_replicas_per_node");
    if (const Node* preferences = placement->find("preferences"))
      for (const Node& item : preferences->items) deploy.placement.preferences_spread.push_back(text_of(item, "spread"));
  }
  return deploy;
}

model::HealthCheck health_of(const Node& node) {
  model::HealthCheck health;
  health.test = texts_of(node, "test");
  health.interval = optional_duration(node, "interval");
  health.timeout = optional_duration(node, "timeout");
  health.start_period = optional_duration(node, "start_period");
  health.start_interval = optional_duration(node, "start_interval");
  if (const auto retries = optional_integer(node, "retries")) health.retries = static_cast<std::uint64_t>(*retries);
  health.disable = flag_of(node, "disable");
  return health;
}

model::VolumeMount mount_of(const Node& node) {
  model::VolumeMount mount;
  mount.type = text_of(node, "type");
  mount.source = text_of(node, "source");
  mount.target = text_of(node, "target");
  mount.read_only = flag_of(node, "read_only");
  mount.consistency = text_of(node, "consistency");
  mount.bind_create_host_path = false;
  if (const Node* bind = node.find("bind")) {
    mount.bind_propagation = text_of(*bind, "propagation");
    mount.bind_selinux = text_of(*bind, "selinux");
    mount.bind_recursive = text_of(*bind, "recursive");
    mount.bind_create_host_path = flag_of(*bind, "create_host_path");
  }
  if (const Node* volume = node.find("volume")) {
    mount.volume_nocopy = flag_of(*volume, "nocopy");
    mount.volume_subpath = text_of(*volume, "subpath");
    mount.volume_labels = string_map_of(*volume, "labels");
  }
  if (const Node* tmpfs = node.find("tmpfs")) {
    mount.tmpfs_size_bytes = integer_of(*tmpfs, "size");
    mount.tmpfs_mode = static_cast<std::uint32_t>(integer_of(*tmpfs, "mode"));
  }
  if (const Node* image = node.find("image")) mount.image_subpath = text_of(*image, "subpath");
  return mount;
}

model::Port port_of(const Node& node) {
  return {text_of(node, "name"), text_of(node, "mode"), text_of(node, "host_ip"),
          static_cast<std::uint16_t>(integer_of(node, "target")), text_of(node, "published"), text_of(node, "protocol"),
          text_of(node, "app_protocol")};
}

model::Dependency dependency_of(const Node& node) {
  model::Dependency dependency;
  const std::string condition = text_of(node, "condition");
  if (condition == "service_healthy") dependency.condition = model::DependencyCondition::healthy;
  if (condition == "service_completed_successfully")
    dependency.condition = model::DependencyCondition::completed_successfully;
  dependency.restart = flag_of(node, "restart");
  dependency.required = flag_of(node, "required", true);
  return dependency;
}

model::ServiceNetwork network_of(const Node& node) {
  model::ServiceNetwork network;
  network.aliases = texts_of(node, "aliases");
  network.interface_name = text_of(node, "interface_name");
  network.ipv4_address = text_of(node, "ipv4_address");
  network.ipv6_address = text_of(node, "ipv6_address");
  network.mac_address = text_of(node, "mac_address");
  network.link_local_ips = texts_of(node, "link_local_ips");
  network.driver_opts = string_map_of(node, "driver_opts");
  network.priority = static_cast<int>(integer_of(node, "priority"));
  network.gw_priority = static_cast<int>(integer_of(node, "gw_priority"));
  return network;
}

void bind_process(const Node& node, Service& service) {
  service.command = optional_texts(node, "command");
  service.entrypoint = optional_texts(node, "entrypoint");
  service.environment = environment_of(node, "environment");
  service.user = text_of(node, "user");
  service.working_dir = text_of(node, "working_dir");
  if (node.find("init") != nullptr) service.init = flag_of(node, "init");
  service.tty = flag_of(node, "tty");
  service.stdin_open = flag_of(node, "stdin_open");
  service.stop_signal = text_of(node, "stop_signal");
  service.stop_grace_period = optional_duration(node, "stop_grace_period");
  service.restart = text_of(node, "restart");
  service.healthcheck = optional_object<model::HealthCheck>(node, "healthcheck", health_of);
  service.post_start = list_of<model::Hook>(node, "post_start", hook_of);
  service.pre_stop = list_of<model::Hook>(node, "pre_stop", hook_of);
  service.attach = flag_of(node, "attach", true);
  service.logging = optional_object<model::Logging>(node, "logging", [](const Node& logging) {
    return model::Logging{text_of(logging, "driver"), string_map_of(logging, "options")};
  });
}

void bind_network_part(const Node& node, Service& service) {
  service.dns = texts_of(node, "dns");
  service.dns_opt = texts_of(node, "dns_opt");
  service.dns_search = texts_of(node, "dns_search");
  service.domainname = text_of(node, "domainname");
  service.hostname = text_of(node, "hostname");
  service.mac_address = text_of(node, "mac_address");
  service.expose = texts_of(node, "expose");
  service.extra_hosts = texts_of(node, "extra_hosts");
  service.external_links = texts_of(node, "external_links");
  service.links = texts_of(node, "links");
  service.network_mode = text_of(node, "network_mode");
  service.ports = list_of<model::Port>(node, "ports", port_of);
  if (const Node* networks = node.find("networks"))
    for (const Entry& entry : networks->entries) service.networks.emplace(entry.key, network_of(entry.value));
}

void bind_storage(const Node& node, Service& service) {
  service.configs = file_references(node, "configs");
  service.secrets = file_references(node, "secrets");
  service.devices = list_of<model::Device>(node, "devices", [](const Node& item) {
    return model::Device{text_of(item, "source"), text_of(item, "target"), text_of(item, "permissions")};
  });
  service.device_cgroup_rules = texts_of(node, "device_cgroup_rules");
  service.read_only = flag_of(node, "read_only");
  service.shm_size_bytes = integer_of(node, "shm_size");
  service.storage_opt = string_map_of(node, "storage_opt");
  service.tmpfs = texts_of(node, "tmpfs");
  service.volumes = list_of<model::VolumeMount>(node, "volumes", mount_of);
  service.volumes_from = texts_of(node, "volumes_from");
}

void bind_isolation(const Node& node, Service& service) {
  service.cap_add = texts_of(node, "cap_add");
  service.cap_drop = texts_of(node, "cap_drop");
  service.cgroup = text_of(node, "cgroup");
  service.cgroup_parent = text_of(node, "cgroup_parent");
  service.credential_spec = optional_object<model::CredentialSpec>(node, "credential_spec", [](const Node& spec) {
    return model::CredentialSpec{text_of(spec, "config"), text_of(spec, "file"), text_of(spec, "registry")};
  });
  service.group_add = texts_of(node, "group_add");
  service.ipc = text_of(node, "ipc");
  service.isolation = text_of(node, "isolation");
  service.pid = text_of(node, "pid");
  service.privileged = flag_of(node, "privileged");
  service.security_opt = texts_of(node, "security_opt");
  service.sysctls = string_map_of(node, "sysctls");
  service.ulimits = ulimits_of(node);
  service.use_api_socket = flag_of(node, "use_api_socket");
  service.userns_mode = text_of(node, "userns_mode");
  service.uts = text_of(node, "uts");
}

void bind_resources(const Node& node, Service& service) {
  service.blkio_config = optional_object<model::BlkioConfig>(node, "blkio_config", blkio_of);
  service.cpu_count = integer_of(node, "cpu_count");
  service.cpu_percent = real_of(node, "cpu_percent");
  service.cpu_period = integer_of(node, "cpu_period");
  service.cpu_quota = integer_of(node, "cpu_quota");
  service.cpu_rt_period_us = integer_of(node, "cpu_rt_period");
  service.cpu_rt_runtime_us = integer_of(node, "cpu_rt_runtime");
  service.cpu_shares = integer_of(node, "cpu_shares");
  service.cpus = real_of(node, "cpus");
  service.cpuset = text_of(node, "cpuset");
  service.deploy = optional_object<model::Deploy>(node, "deploy", deploy_of);
  service.gpus = list_of<model::DeviceRequest>(node, "gpus", device_request_of);
  service.mem_limit_bytes = integer_of(node, "mem_limit");
  service.mem_reservation_bytes = integer_of(node, "mem_reservation");
  service.memswap_limit_bytes = integer_of(node, "memswap_limit");
  service.mem_swappiness = optional_integer(node, "mem_swappiness");
  service.oom_kill_disable = flag_of(node, "oom_kill_disable");
  service.oom_score_adj = static_cast<int>(integer_of(node, "oom_score_adj"));
  service.pids_limit = integer_of(node, "pids_limit");
  service.scale = optional_integer(node, "scale");
}

}  // namespace

model::Service bind_service(const std::string& name, const Node& node) {
  Service service;
  service.name = name;
  service.profiles = texts_of(node, "profiles");
  service.annotations = string_map_of(node, "annotations");
  service.build = optional_object<model::Build>(node, "build", build_of);
  if (const Node* develop = node.find("develop"))
    service.develop_watch = list_of<model::WatchRule>(*develop, "watch", watch_of);
  service.container_name = text_of(node, "container_name");
  if (const Node* dependencies = node.find("depends_on"))
    for (const Entry& entry : dependencies->entries) service.depends_on.emplace(entry.key, dependency_of(entry.value));
  service.image = text_of(node, "image");
  service.labels = string_map_of(node, "labels");
  if (const Node* models = node.find("models"))
    for (const Entry& entry : models->entries)
      service.models.emplace(entry.key, model::ServiceModel{text_of(entry.value, "endpoint_var"), text_of(entry.value, "model_var")});
  service.platform = text_of(node, "platform");
  if (const Node* provider = node.find("provider")) {
    model::Provider bound{text_of(*provider, "type"), {}};
    if (const Node* options = provider->find("options"))
      for (const Entry& entry : options->entries) bound.options.emplace(entry.key, texts_of(*options, entry.key));
    service.provider = std::move(bound);
  }
  service.pull_policy = text_of(node, "pull_policy");
  service.runtime = text_of(node, "runtime");
  bind_process(node, service);
  bind_network_part(node, service);
  bind_storage(node, service);
  bind_isolation(node, service);
  bind_resources(node, service);
  return service;
}

}  // namespace compose::load
