#include "compose/cli/context.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "compose/cli/files_loader.h"
#include "compose/cli/globals.h"
#include "compose/cli/output.h"
#include "engine/api/docker_config.h"
#include "engine/client/client.h"

namespace compose::cli {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

constexpr std::string_view shown_mark = "\x01shown";

}  // namespace

base::Error shown() { return make_error(ErrorKind::cancelled, std::string(shown_mark)); }
bool was_shown(const base::Error& error) { return error.message == shown_mark; }
base::Error usage_error(std::string message) { return make_error(ErrorKind::invalid, std::move(message)); }

Result<model::Project> load_project(const ProjectNeeds& needs) {
  ASSIGN_OR_RETURN(auto project, load_files({.resolve_environment = needs.environment}));
  ASSIGN_OR_RETURN(auto selected, select_services(std::move(project), needs.services, needs.dependencies));
  TRY(refuse_shared_container_names(selected));
  return selected;
}

Result<ProjectOrName> project_or_name(const ProjectNeeds& needs) {
  const Globals& g = globals();
  if (g.files.empty() && !g.project_name.empty()) return ProjectOrName{std::nullopt, load::normalize_project_name(g.project_name)};
  const std::string name = setting("COMPOSE_PROJECT_NAME").value_or("");
  const bool has_name = !name.empty();
  auto project = load_files({.resolve_environment = needs.environment, .quiet = has_name});
  if (!project) {
    if (has_name) return ProjectOrName{std::nullopt, name};
    return std::move(project).error();
  }
  std::string project_name = project->name;
  return ProjectOrName{*std::move(project), std::move(project_name)};
}

reconcile::DesiredOptions desired_options(const model::Project& project) {
  const Globals& g = globals();
  reconcile::DesiredOptions options;
  options.compatibility = g.compatibility;
  options.all_resources = g.all_resources;
  options.config_files = project.compose_files;
  for (const auto& file : g.env_files) options.environment_files.push_back(std::filesystem::absolute(file).lexically_normal().string());
  if (auto proxies = engine::docker_proxies()) options.proxies = *std::move(proxies);
  else warn("Error loading config file: " + proxies.error().text());
  return options;
}

Result<reconcile::Desired> make_desired(const model::Project& project, const reconcile::ImageIds& images) {
  std::vector<load::Diagnostic> refusals;
  auto result = reconcile::desired(project, desired_options(project), images, refusals);
  if (refusals.empty()) return result;
  err(load::print(refusals, project.sources ? *project.sources : model::Sources{}, {.colour = colour_on(STDERR_FILENO), .time = {}}));
  return shown();
}

Result<reconcile::Observed> observe(const reconcile::Desired& desired) {
  std::vector<std::string> also;
  for (const auto& network : desired.networks) also.push_back(network.spec.name);
  for (const auto& volume : desired.volumes) also.push_back(volume.spec.name);
  ASSIGN_OR_RETURN(auto snapshot, engine::client::snapshot(desired.project, also));
  return reconcile::observed(std::move(snapshot), desired.project);
}

namespace {

/// What the files say about order and names; specs stay empty, since verbs on what exists need none.
reconcile::Desired outline(const model::Project& project) {
  reconcile::Desired result;
  result.project = project.name;
  result.separator = globals().compatibility ? "_" : "-";
  for (const auto& [name, service] : project.services) {
    reconcile::Service out;
    out.name = name;
    out.replicas = static_cast<int>(service.replicas());
    for (const auto& dependency : service.dependencies()) out.depends_on.push_back({.service = dependency});
    for (auto& edge : out.depends_on) {
      const auto written = service.depends_on.find(edge.service);
      if (written == service.depends_on.end()) continue;
      edge.restart = written->second.restart;
      edge.required = written->second.required;
      if (written->second.condition == model::DependencyCondition::healthy) edge.condition = reconcile::Condition::healthy;
      if (written->second.condition == model::DependencyCondition::completed_successfully) edge.condition = reconcile::Condition::completed;
    }
    out.spec.image = reconcile::image_name(project, service, globals().compatibility);
    out.generated_image = service.image.empty();
    result.services.push_back(std::move(out));
    result.known_services.insert(name);
  }
  for (const auto& [name, service] : project.disabled_services) result.known_services.insert(name);
  for (const auto& [key, volume] : project.volumes) {
    reconcile::Volume out;
    out.key = key;
    out.spec.name = volume.name;
    out.external = volume.external;
    result.volumes.push_back(std::move(out));
  }
  return result;
}

}  // namespace

Result<View> view(const ProjectNeeds& needs) {
  View result;
  ASSIGN_OR_RETURN(result.source, project_or_name({.services = {}, .dependencies = needs.dependencies, .environment = false}));
  // Verbs on what exists also bring a stack back under supervision after both of its processes were killed.
  const auto revived = engine::client::revive(result.source.name);
  ASSIGN_OR_RETURN(auto snapshot, engine::client::snapshot(result.source.name));
  if (!revived) warn(revived.error().text());
  result.observed = reconcile::observed(std::move(snapshot), result.source.name);
  if (result.source.project) {
    ASSIGN_OR_RETURN(result.source.project, select_services(*std::move(result.source.project), needs.services, needs.dependencies));
    result.desired = outline(*result.source.project);
    return result;
  }
  result.desired = reconcile::desired_from(result.observed);
  if (!needs.services.empty()) {
    for (const auto& name : needs.services) {
      if (find_service(result.desired, name) == nullptr) return make_error(ErrorKind::not_found, "no such service: " + name);
    }
    std::erase_if(result.desired.services, [&](const reconcile::Service& service) {
      return std::find(needs.services.begin(), needs.services.end(), service.name) == needs.services.end();
    });
  }
  return result;
}

Result<const engine::ContainerInfo*> container_of(const View& view, const std::string& service, std::optional<long> index, bool running) {
  const auto found = view.observed.by_service.find(service);
  const auto none = [&] {
    return make_error(ErrorKind::not_found, index && *index > 0 ? "service \"" + service + "\" is not running container #" + std::to_string(*index)
                                                                : "service \"" + service + "\" is not running");
  };
  if (found == view.observed.by_service.end()) return none();
  for (const std::size_t at : found->second) {
    const auto& container = view.observed.containers[at];
    if (index && *index > 0 && container.number != *index) continue;
    const auto state = container.info->state;
    if (running && state != engine::ContainerState::running && state != engine::ContainerState::paused) continue;
    return container.info;
  }
  return none();
}

std::optional<engine::Nanoseconds> seconds(std::optional<long> value) {
  if (!value) return std::nullopt;
  return std::chrono::seconds(*value < 0 ? 1'000'000'000 : *value);
}

}  // namespace compose::cli
