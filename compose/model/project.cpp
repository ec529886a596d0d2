#include "compose/model/project.h"

#include <algorithm>
#include <set>

namespace compose::model {

std::int64_t Service::replicas() const {
  if (scale) return *scale;
  if (deploy && deploy->replicas) return *deploy->replicas;
  return 1;
}

Strings Service::dependencies() const {
  std::set<std::string> names;
  for (const auto& [needed, dependency] : depends_on) names.insert(needed);
  const auto add_mode = [&](const std::string& mode) {
    if (mode.starts_with("service:")) names.insert(mode.substr(8));
  };
  add_mode(network_mode);
  add_mode(ipc);
  add_mode(pid);
  add_mode(uts);
  add_mode(cgroup);
  for (const auto& link : links) names.insert(link.substr(0, link.find(':')));
  for (const auto& from : volumes_from)
    if (!from.starts_with("container:")) names.insert(from.substr(0, from.find(':')));
  return {names.begin(), names.end()};
}

Position Project::position_of(std::string_view path) const {
  return tree ? model::position_of(*tree, path) : Position{};
}

std::string Project::place_of(std::string_view path) const {
  const Position at = position_of(path);
  if (!at.known() || !sources || at.file >= sources->files.size()) return "";
  return sources->files[at.file].path + ":" + std::to_string(at.line) + ":" + std::to_string(at.column);
}

const Service* Project::find_service(std::string_view service) const {
  const std::string key(service);
  if (const auto found = services.find(key); found != services.end()) return &found->second;
  const auto found = disabled_services.find(key);
  return found == disabled_services.end() ? nullptr : &found->second;
}

}  // namespace compose::model
