#include <algorithm>
#include <functional>
#include <set>

#include "compose/load/load.h"

namespace compose::load {
namespace {

template <class Map>
void keep_only(Map& map, const std::set<std::string>& used) {
  std::erase_if(map, [&](const auto& entry) { return !used.contains(entry.first); });
}

bool any_active(const model::Strings& profiles, const std::vector<std::string>& active) {
  if (profiles.empty()) return true;
  return std::any_of(active.begin(), active.end(), [&](const std::string& name) {
    return name == "*" || std::find(profiles.begin(), profiles.end(), name) != profiles.end();
  });
}

/// Naming a service activates its profiles, for every service that has them.
void activate_profiles_of(const std::vector<std::string>& names, model::Project& project) {
  std::vector<std::string> active = project.profiles;
  for (const std::string& name : names)
    if (const auto found = project.disabled_services.find(name); found != project.disabled_services.end())
      active.insert(active.end(), found->second.profiles.begin(), found->second.profiles.end());
  if (active.size() == project.profiles.size()) return;
  for (auto next = project.disabled_services.begin(); next != project.disabled_services.end();) {
    const auto service = next++;
    if (any_active(service->second.profiles, active)) project.services.insert(project.disabled_services.extract(service));
  }
  project.profiles = std::move(active);
}

/// `root` and everything it depends on into `wanted`; the first name that no enabled service has otherwise.
std::string collect(const model::Project& project, const std::string& root, Dependencies dependencies,
                    std::set<std::string>& wanted) {
  std::vector<std::string> open{root};
  while (!open.empty()) {
    const std::string name = std::move(open.back());
    open.pop_back();
    const auto service = project.services.find(name);
    if (service == project.services.end()) return name;
    if (!wanted.insert(name).second || dependencies == Dependencies::ignore) continue;
    for (const auto& [next, dependency] : service->second.depends_on)
      if (dependency.required || project.services.contains(next)) open.push_back(next);
  }
  return "";
}

}  // namespace

model::Project prune_unused(model::Project pruned) {
  std::set<std::string> networks, volumes, configs, secrets, models;
  for (const auto& [name, service] : pruned.services) {
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

Selection select(model::Project chosen, const std::vector<std::string>& services, Dependencies dependencies,
                 Resources resources) {
  Selection selection;
  const auto done = [&]() -> Selection {
    return {.project = resources == Resources::used ? prune_unused(std::move(chosen)) : std::move(chosen), .error = {}};
  };
  if (services.empty()) return done();
  activate_profiles_of(services, chosen);
  std::set<std::string> wanted;
  for (const std::string& name : services) {
    const std::string missing = collect(chosen, name, dependencies, wanted);
    if (missing.empty()) continue;
    selection.error = "no such service: " + missing;
    if (const auto disabled = chosen.disabled_services.find(missing); disabled != chosen.disabled_services.end())
      selection.error += ", which " + name + " depends on: none of its profiles is active";
    return selection;
  }
  for (auto next = chosen.services.begin(); next != chosen.services.end();) {
    const auto service = next++;
    std::erase_if(service->second.depends_on, [&](const auto& entry) { return !wanted.contains(entry.first); });
    if (!wanted.contains(service->first)) chosen.disabled_services.insert(chosen.services.extract(service));
  }
  return done();
}

std::vector<std::string> dependency_order(const model::Project& project) {
  std::vector<std::string> order;
  std::set<std::string> seen;
  const std::function<void(const std::string&)> visit = [&](const std::string& name) {
    const auto service = project.services.find(name);
    if (service == project.services.end() || !seen.insert(name).second) return;
    for (const auto& [next, dependency] : service->second.depends_on) visit(next);
    order.push_back(name);
  };
  for (const auto& [name, service] : project.services) visit(name);
  return order;
}

}  // namespace compose::load
