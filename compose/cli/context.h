#pragma once
// What nearly every verb needs: the project from its files, its services, and what the engine holds of it.
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "compose/load/load.h"
#include "compose/reconcile/reconcile.h"

namespace compose::cli {

/// An error that has been shown already; the program ends with code 1 and says no more.
base::Error shown();
bool was_shown(const base::Error& error);

base::Error usage_error(std::string message);

struct ProjectNeeds {
  std::vector<std::string> services;                 ///< named by the user; empty = all
  load::Dependencies dependencies = load::Dependencies::include;
  bool environment = true;                           ///< read env_file and label_file: not for verbs that only look
};

/// Reads the files and prints what is wrong with them. The result is selected and normalised.
base::Result<model::Project> load_project(const ProjectNeeds& needs);

/// A project by its files or, with -p alone (or when there is no file but COMPOSE_PROJECT_NAME), by its name.
struct ProjectOrName {
  std::optional<model::Project> project;
  std::string name;
};
base::Result<ProjectOrName> project_or_name(const ProjectNeeds& needs);

/// For verbs on what exists: what the engine holds, and the services meant.
struct View {
  ProjectOrName source;
  reconcile::Observed observed;
  reconcile::Desired desired;        ///< from the files when there are any, else from labels; reduced to the named services
};
/// Error in Docker Compose's words when a named service exists neither in the files nor in the engine.
base::Result<View> view(const ProjectNeeds& needs);

/// Options for names and labels.
reconcile::DesiredOptions desired_options(const model::Project& project);

/// project → desired; prints refusals and fails when there are any.
base::Result<reconcile::Desired> make_desired(const model::Project& project, const reconcile::ImageIds& images);

/// The engine's state for a desired project, external networks and volumes included.
base::Result<reconcile::Observed> observe(const reconcile::Desired& desired);

/// The running container `service` means: the one with number `index`, else the lowest. Docker Compose's sentence when there is none.
base::Result<const engine::ContainerInfo*> container_of(const View& view, const std::string& service, std::optional<long> index,
                                                        bool running = true);

/// `-t` as nanoseconds.
std::optional<engine::Nanoseconds> seconds(std::optional<long> value);

}  // namespace compose::cli
