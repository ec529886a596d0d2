#include <functional>
#include <set>

#include "compose/load/load.h"

namespace compose::load {
namespace {

template <class Map>
void keep_only(Map& map, const std::set<std::string>& used) {
  std::erase_if(map, [&](const auto& entry) { return !used.contains(entry.first); });
}

/// `root` and everything it depends on into `wanted`; the first undefined name otherwise.
std::string collect(const model::Project& project, const std::string& root, Dependencies dependencies,
                    std::set<std::string>& wanted) {
  std::vector<std::string> open{root};
  while (!open.empty()) {
    const std::string name = std::move(open.back());
    open.pop_back();
    const model::Service* service = project.find_service(name);
    if (service == nullptr) return name;
    if (!wanted.insert(name).second || dependencies == Dependencies::ignore) continue;
    for (const auto& [next, dependency] : service->depends_on)
      if (dependency.required || project.find_service(next) != nullptr) open.push_back(next);
  }
  return "";
}

}  // namespace

model::Project prune_unused(const model::Project& project) {
  model::Project pruned = project;
  std::set<std::string> networks, volumes, configs, secrets, models;
  for (const auto& [name, service] : project.services) {
    for (const auto& [network, attachment] : service.networks) networks.insert(network);
    for (const auto& mount : service.volumes)
      if (mount.type == "volume") volumes.insert(mount.source);
    for (const auto& config : service.configs) configs.insert(config.source);
    for (const auto& secret : service.secrets) secrets.insert(secret.source);
    if (service.build)
      for (const auto& secret : service.build->secrets) secrets.insert(secret.source);
    for (const auto& [model, binding] : service.models) models.insert(model);
  }
  keep_only(pruned.networks, networks);
  keep_only(pruned.volumes, volumes);
  keep_only(pruned.configs, configs);
  keep_only(pruned.secrets, secrets);
  keep_only(pruned.models, models);
  return pruned;
}

Selection select(const model::Project& project, const std::vector<std::string>& services, Dependencies dependencies) {
  Selection selection;
  if (services.empty()) {
    selection.project = prune_unused(project);
    return selection;
  }
  std::set<std::string> wanted;
  for (const std::string& name : services) {
    const std::string missing = collect(project, name, dependencies, wanted);
    if (!missing.empty()) {
      selection.error = "no such service: " + missing;
      return selection;
    }
  }
  model::Project chosen = project;
  for (const auto& [name, service] : project.services)
    if (!wanted.contains(name)) chosen.disabled_services.insert(chosen.services.extract(name));
  for (const auto& [name, service] : project.disabled_services)
    if (wanted.contains(name)) chosen.services.insert(chosen.disabled_services.extract(name));
  if (dependencies == Dependencies::ignore)
    for (auto& [name, service] : chosen.services)
      std::erase_if(service.depends_on, [&](const auto& entry) { return !wanted.contains(entry.first); });
  selection.project = prune_unused(chosen);
  return selection;
}

}  // namespace compose::load
