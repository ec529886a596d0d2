#include <algorithm>
#include <unordered_set>

#include "compose/load/checks.h"

namespace compose::load {
namespace {

using model::Project;
using model::Service;

class ProjectChecks {
 public:
  ProjectChecks(Context& context, const Project& project) : context_(context), project_(project) {}

  void run() {
    for (const auto& [name, service] : project_.services) {
      at_ = "services." + name;
      source(service);
      networks(service);
      health(service);
      dependencies(service);
      mounts(service);
      files(service);
      replicas(service);
      limits(service);
      watch(service);
    }
    for (const auto& [name, secret] : project_.secrets)
      if (!secret.external && secret.file.empty() && secret.environment.empty())
        report("secrets." + name, "one of file and environment must be given");
    cycles();
  }

 private:
  void report(const std::string& path, std::string message, std::string hint = {}) {
    context_.error(project_.position_of(path), path, std::move(message), std::move(hint));
  }

  template <class Map>
  static std::string suggestion(const std::string& name, const Map& map) {
    std::vector<std::string_view> known;
    for (const auto& [key, value] : map) known.push_back(key);
    return did_you_mean(name, known);
  }

  void source(const Service& service) {
    if (!service.build) {
      if (service.image.empty() && !service.provider) report(at_, "has neither an image nor a build");
      return;
    }
    const auto& build = *service.build;
    if (!build.dockerfile.empty() && !build.dockerfile_inline.empty() && context_.options.normalize)
      report(at_ + ".build", "only one of dockerfile and dockerfile_inline may be given");
    if (!build.platforms.empty() && !service.platform.empty() &&
        std::find(build.platforms.begin(), build.platforms.end(), service.platform) == build.platforms.end())
      report(at_ + ".build.platforms", "must include the service's platform '" + service.platform + "'");
    for (const auto& [name, context] : build.additional_contexts) {
      if (!context.starts_with("service:")) continue;
      const std::string target = context.substr(8);
      const Service* found = project_.find_service(target);
      const std::string path = at_ + ".build.additional_contexts." + name;
      if (found == nullptr) report(path, "service '" + target + "' is not defined", suggestion(target, project_.services));
      else if (!found->build) report(path, "service '" + target + "' is not built here");
    }
    for (const auto& secret : build.secrets) defined(secret.source, project_.secrets, "secret", at_ + ".build.secrets");
  }

  template <class Map>
  void defined(const std::string& name, const Map& map, const std::string& kind, const std::string& path) {
    if (map.contains(name)) return;
    std::string hint = suggestion(name, map);
    if (hint.empty() && !name.empty()) hint = "define it under '" + kind + "s:' at the top level";
    report(path, kind + " '" + name + "' is not defined", std::move(hint));
  }

  void networks(const Service& service) {
    if (!service.network_mode.empty() && !service.networks.empty())
      report(at_ + ".network_mode", "network_mode and networks exclude each other");
    for (const auto& [name, network] : service.networks)
      defined(name, project_.networks, "network", at_ + ".networks." + name);
  }

  void health(const Service& service) {
    if (!service.healthcheck || service.healthcheck->test.empty()) return;
    const std::string& first = service.healthcheck->test.front();
    if (first != "CMD" && first != "CMD-SHELL" && first != "NONE")
      report(at_ + ".healthcheck.test", "a list must begin with CMD, CMD-SHELL or NONE, not '" + first + "'");
  }

  void dependencies(const Service& service) {
    for (const auto& [name, dependency] : service.depends_on) {
      if (project_.services.contains(name)) continue;
      std::string path = at_ + ".depends_on." + name;
      if (const auto disabled = project_.disabled_services.find(name); disabled != project_.disabled_services.end()) {
        if (!dependency.required) continue;
        std::string profiles;
        for (const auto& profile : disabled->second.profiles) profiles += (profiles.empty() ? "" : ", ") + profile;
        report(path, "service '" + name + "' is not enabled", "activate one of its profiles: " + profiles);
      } else {
        report(path, "service '" + name + "' is not defined", suggestion(name, project_.services));
      }
    }
  }

  void mounts(const Service& service) {
    std::map<std::string, std::string> taken;
    for (std::size_t i = 0; i < service.tmpfs.size(); ++i) {
      const std::string target = service.tmpfs[i].substr(0, service.tmpfs[i].find(':'));
      const std::string path = at_ + ".tmpfs[" + std::to_string(i) + "]";
      const auto [other, added] = taken.emplace(target, path);
      if (!added) report(path, "'" + target + "' is already mounted by " + other->second);
    }
    for (std::size_t i = 0; i < service.volumes.size(); ++i) {
      const auto& mount = service.volumes[i];
      const std::string path = at_ + ".volumes[" + std::to_string(i) + "]";
      if (const auto other = taken.find(mount.target); other != taken.end())
        report(path, "'" + mount.target + "' is already mounted by " + other->second);
      if (mount.type == "volume" && !mount.source.empty()) defined(mount.source, project_.volumes, "volume", path);
    }
  }

  void files(const Service& service) {
    for (std::size_t i = 0; i < service.configs.size(); ++i)
      defined(service.configs[i].source, project_.configs, "config", at_ + ".configs[" + std::to_string(i) + "]");
    for (std::size_t i = 0; i < service.secrets.size(); ++i)
      defined(service.secrets[i].source, project_.secrets, "secret", at_ + ".secrets[" + std::to_string(i) + "]");
    for (const auto& [name, model] : service.models) defined(name, project_.models, "model", at_ + ".models." + name);
  }

  void replicas(const Service& service) {
    if (service.scale && service.deploy && service.deploy->replicas && *service.scale != *service.deploy->replicas)
      report(at_ + ".scale", "differs from deploy.replicas");
    if (service.replicas() > 1 && !service.container_name.empty())
      report(at_ + ".container_name", "a service of " + std::to_string(service.replicas()) +
                                          " containers cannot have a container_name: it must be unique");
  }

  void limits(const Service& service) {
    if (!service.deploy) return;
    // As Docker Compose: limits that say nothing about it differ from what the service says.
    const auto differ = [&](std::int64_t mine, std::int64_t theirs, const char* attribute, const char* other) {
      if (mine != 0 && mine != theirs)
        report(at_ + "." + attribute, std::string("differs from deploy.resources.") + other, "write both, with the same value, or one");
    };
    if (service.deploy->limits) {
      differ(service.pids_limit, service.deploy->limits->pids, "pids_limit", "limits.pids");
      differ(service.mem_limit_bytes, service.deploy->limits->memory_bytes, "mem_limit", "limits.memory");
      const double cpus = service.deploy->limits->cpus.empty() ? 0 : std::stod(service.deploy->limits->cpus);
      if (service.cpus > 0 && static_cast<float>(service.cpus) != static_cast<float>(cpus))
        report(at_ + ".cpus", "differs from deploy.resources.limits.cpus", "write both, with the same value, or one");
    }
    if (service.deploy->reservations)
      differ(service.mem_reservation_bytes, service.deploy->reservations->memory_bytes, "mem_reservation",
             "reservations.memory");
  }

  void watch(const Service& service) {
    for (std::size_t i = 0; i < service.develop_watch.size(); ++i) {
      const auto& rule = service.develop_watch[i];
      if (rule.target.empty() && rule.action != "rebuild" && rule.action != "restart")
        report(at_ + ".develop.watch[" + std::to_string(i) + "]", "action " + rule.action + " needs a target");
    }
  }

  void cycles() {
    for (const auto& [name, service] : project_.services)
      if (!done_.contains(name)) visit(name);
  }

  void visit(const std::string& name) {
    trail_.push_back(name);
    on_trail_.insert(name);
    for (const auto& [next, dependency] : project_.services.at(name).depends_on) {
      if (!project_.services.contains(next) || done_.contains(next)) continue;
      if (!on_trail_.contains(next)) {
        if (trail_.size() < 10'000) visit(next);
        continue;
      }
      const auto begin = std::find(trail_.begin(), trail_.end(), next);
      std::string chain;
      for (auto link = begin; link != trail_.end(); ++link) chain.append(*link).append(" -> ");
      report("services." + name + ".depends_on." + next, "dependency cycle: " + chain + next);
    }
    trail_.pop_back();
    on_trail_.erase(name);
    done_.insert(name);
  }

  Context& context_;
  const Project& project_;
  std::string at_;
  // Names live in the project.
  std::unordered_set<std::string_view> done_, on_trail_;
  std::vector<std::string_view> trail_;
};

}  // namespace

std::vector<Diagnostic> container_name_conflicts(const model::Project& project) {
  std::vector<Diagnostic> found;
  std::map<std::string, std::string> users;
  for (const auto& [name, service] : project.services) {
    if (service.container_name.empty()) continue;
    const auto [user, added] = users.emplace(service.container_name, name);
    if (added) continue;
    const std::string path = "services." + name + ".container_name";
    const Position at = project.position_of(path), other = project.position_of("services." + user->second + ".container_name");
    std::string hint;
    if (other.known() && project.sources != nullptr && other.file < project.sources->files.size())
      hint = "the other is at " + project.sources->files[other.file].path + ":" + std::to_string(other.line);
    found.push_back({Severity::error, at, path,
                     "'" + service.container_name + "' is already the container_name of service '" + user->second + "'",
                     std::move(hint), false});
  }
  return found;
}

void check_project(Context& context, const model::Project& project) { ProjectChecks(context, project).run(); }

}  // namespace compose::load
