#include "compose/reconcile/desired.h"

#include <algorithm>

#include "compose/load/config_output.h"
#include "compose/reconcile/labels.h"
#include "compose/reconcile/service_spec.h"

namespace compose::reconcile {
namespace {

std::string join(const std::vector<std::string>& parts) {
  std::string text;
  for (const auto& part : parts) text += (text.empty() ? "" : ",") + part;
  return text;
}

std::string_view condition_word(model::DependencyCondition condition) {
  switch (condition) {
    case model::DependencyCondition::started: return "service_started";
    case model::DependencyCondition::healthy: return "service_healthy";
    case model::DependencyCondition::completed_successfully: return "service_completed_successfully";
  }
  return "";
}

std::vector<Dependency> dependencies(const model::Service& service) {
  std::map<std::string, Dependency> result;
  for (const auto& name : service.dependencies()) result[name].service = name;
  for (const auto& [name, from] : service.depends_on) {
    const auto condition = from.condition == model::DependencyCondition::healthy     ? Condition::healthy
                           : from.condition == model::DependencyCondition::started ? Condition::started
                                                                                     : Condition::completed;
    result[name] = {name, condition, from.restart, from.required};
  }
  std::vector<Dependency> list;
  for (auto& [name, dependency] : result) list.push_back(std::move(dependency));
  return list;
}

std::string depends_on_label(const model::Service& service) {
  std::vector<std::string> parts;
  for (const auto& [name, dependency] : service.depends_on) {
    parts.push_back(name + ":" + std::string(condition_word(dependency.condition)) + (dependency.restart ? ":true" : ":false"));
  }
  return join(parts);
}

void add_labels(const model::Project& project, const model::Service& service, const DesiredOptions& options, Service& out) {
  auto& labels = out.spec.labels;
  const auto set = [&](std::string_view name, std::string value) { labels[std::string(name)] = std::move(value); };
  set(label::project, project.name);
  set(label::service, service.name);
  set(label::one_off, "False");
  set(label::config_hash, out.config_hash);
  set(label::image, out.spec.image_id);
  set(label::depends_on, depends_on_label(service));
  set(label::working_dir, project.working_dir);
  set(label::config_files, join(options.config_files));
  if (!options.environment_files.empty()) set(label::environment_file, join(options.environment_files));
  set(label::version, std::string(compatible_version));
}

Service make_service(const model::Project& project, const model::Service& service, const DesiredOptions& options,
                     const ImageIds& images) {
  Service out;
  out.name = service.name;
  const bool global = service.deploy && service.deploy->mode == "global";
  out.replicas = global ? 1 : static_cast<int>(service.replicas());
  out.fixed_name = service.container_name;
  out.generated_image = service.image.empty();
  out.depends_on = dependencies(service);
  out.spec = service_spec(project, service);
  for (const auto& [name, value] : options.proxies)
    if (!service.environment.contains(name)) out.spec.env.push_back(name + "=" + value);
  out.spec.image = image_name(project, service, options.compatibility);
  if (const auto id = images.find(out.spec.image); id != images.end()) out.spec.image_id = id->second;
  out.config_hash = load::config_hash(project, service.name);
  add_labels(project, service, options, out);
  return out;
}

engine::NetworkSpec network_spec(const model::Project& project, const model::Network& network) {
  engine::NetworkSpec spec;
  spec.name = network.name;
  spec.project = network.external ? "" : project.name;
  if (!network.driver.empty() && network.driver != "default") spec.driver = network.driver;
  spec.driver_opts = network.driver_opts;
  spec.internal = network.internal;
  spec.enable_ipv4 = network.enable_ipv4.value_or(true);
  spec.enable_ipv6 = network.enable_ipv6.value_or(false);
  spec.attachable = network.attachable;
  for (const auto& pool : network.ipam_config) {
    spec.subnets.push_back({pool.subnet, pool.ip_range, pool.gateway, pool.aux_addresses});
  }
  spec.labels = network.labels;
  return spec;
}

Network make_network(const model::Project& project, const model::Network& network) {
  Network out{.key = network.key, .spec = network_spec(project, network), .config_hash = {}, .external = network.external};
  out.config_hash = config_hash(out.spec);
  out.spec.labels[std::string(label::project)] = project.name;
  out.spec.labels[std::string(label::network)] = network.key;
  out.spec.labels[std::string(label::version)] = compatible_version;
  out.spec.labels[std::string(label::config_hash)] = out.config_hash;
  return out;
}

Volume make_volume(const model::Project& project, const model::Volume& volume) {
  Volume out{.key = volume.key, .spec = {}, .config_hash = {}, .external = volume.external};
  out.spec.name = volume.name;
  out.spec.project = volume.external ? "" : project.name;
  if (!volume.driver.empty()) out.spec.driver = volume.driver;
  out.spec.driver_opts = volume.driver_opts;
  out.spec.labels = volume.labels;
  out.config_hash = config_hash(out.spec);
  out.spec.labels[std::string(label::project)] = project.name;
  out.spec.labels[std::string(label::volume)] = volume.key;
  out.spec.labels[std::string(label::version)] = compatible_version;
  out.spec.labels[std::string(label::config_hash)] = out.config_hash;
  return out;
}

}  // namespace

std::string image_name(const model::Project& project, const model::Service& service, bool compatibility) {
  if (!service.image.empty()) return service.image;
  return project.name + (compatibility ? "_" : "-") + service.name;
}

Desired desired(const model::Project& project, const DesiredOptions& options, const ImageIds& images,
                std::vector<load::Diagnostic>& refusals) {
  refuse_unsupported(project, refusals);
  Desired result;
  result.project = project.name;
  result.separator = options.compatibility ? "_" : "-";
  std::set<std::string> networks, volumes;
  bool bridge = false;
  for (const auto& [name, service] : project.services) {
    result.known_services.insert(name);
    result.services.push_back(make_service(project, service, options, images));
    if (service.network_mode.empty()) {
      for (const auto& [key, wanted] : service.networks) networks.insert(key);
    }
    bridge = bridge || service.network_mode == "bridge" || service.network_mode == "default";
    for (const auto& volume : service.volumes) {
      if (volume.type == "volume" && !volume.source.empty()) volumes.insert(volume.source);
    }
  }
  for (const auto& [name, service] : project.disabled_services) result.known_services.insert(name);
  for (const auto& [key, network] : project.networks) {
    if (options.all_resources || networks.contains(key)) result.networks.push_back(make_network(project, network));
  }
  if (bridge) {
    model::Network network;
    network.key = "bridge";
    network.name = bridge_network(project);
    result.networks.push_back(make_network(project, network));
  }
  for (const auto& [key, volume] : project.volumes) {
    if (options.all_resources || volumes.contains(key)) result.volumes.push_back(make_volume(project, volume));
  }
  return result;
}

}  // namespace compose::reconcile
