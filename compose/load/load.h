#pragma once
// The loader: Compose files, environment and options in; a Project, or everything that is wrong with them, out.
// Stages (DESIGN "Load"): parse → interpolate → include → reset/override → extends → merge → unique → schema → canonical,
// then defaults → cross-check → paths → environment → normalise → bind, then select.
#include <optional>
#include <string>
#include <vector>

#include "compose/load/diagnostics.h"
#include "compose/load/files.h"
#include "compose/model/project.h"

namespace compose::load {

/// What the command line and the environment say; input of discover().
struct CommandLine {
  std::vector<std::string> files = {};           ///< -f, in order; "-" = standard input
  std::string project_directory = {};            ///< --project-directory
  std::string project_name = {};                 ///< -p
  std::vector<std::string> env_files = {};       ///< --env-file
  std::vector<std::string> profiles = {};        ///< --profile
  model::StringMap environment = {};             ///< of the process
  std::string current_dir = {};                  ///< absolute
};

/// Input of load(): discover() fills it; tests may fill it by hand (environment is then final: no .env is read).
struct LoadOptions {
  std::vector<std::string> files = {};           ///< absolute paths or "-", in order
  std::string working_dir = {};                  ///< absolute: base of relative paths, source of the default name
  std::string project_name = {};                 ///< "" = from `name:`, else the working directory
  std::vector<std::string> profiles = {};        ///< "*" = all
  model::StringMap environment = {};             ///< shell over env files
  std::string current_dir = {};             ///< diagnostics show files below it relative to it; "" = all absolute
  bool interpolate = true;
  bool normalize = true;
  bool resolve_paths = true;
  bool check_consistency = true;
  bool resolve_environment = true;          ///< read env_file and label_file
  bool schema_validation = true;
};

struct LoadResult {
  std::optional<model::Project> project;    ///< present when no diagnostic is an error
  std::vector<Diagnostic> diagnostics;
  model::Sources sources;
};

struct DiscoverResult {
  std::optional<LoadOptions> options;       ///< present when no diagnostic is an error
  std::vector<Diagnostic> diagnostics;
  model::Sources sources;                   ///< env files the diagnostics point into
  std::vector<std::string> env_files;       ///< absolute, as read: later ones win over earlier ones
};

/// Finds the files (-f, COMPOSE_FILE with COMPOSE_PATH_SEPARATOR, else compose.yaml, compose.yml, docker-compose.yml,
/// docker-compose.yaml here or in a parent directory, with its override file), the project directory, the environment
/// (--env-file, COMPOSE_ENV_FILES, .env unless COMPOSE_DISABLE_ENV_FILE), the name (-p, COMPOSE_PROJECT_NAME) and the
/// profiles (--profile, COMPOSE_PROFILES).
DiscoverResult discover(const CommandLine& line, const FileReader& files);

/// The COMPOSE_… variables of the env files (those named, else the .env beside the first -f file): settings of the program,
/// where the process environment does not say them. Nothing when an env file cannot be read; discover() then says so.
model::StringMap program_settings(const CommandLine& line, const FileReader& files);

/// The whole pipeline. Never throws; never opens a file except through `files`; bounded in time and memory.
LoadResult load(const LoadOptions& options, const FileReader& files);

/// discover + load.
LoadResult load_project(const CommandLine& line, const FileReader& files);

/// "my_App!" → "my_app": the name Docker Compose makes from a directory.
std::string normalize_project_name(std::string_view name);

enum class Dependencies : std::uint8_t { include, ignore };

struct Selection {
  std::optional<model::Project> project;
  std::string error;                        ///< "no such service: x"
};

/// Keep what no enabled service uses?
enum class Resources : std::uint8_t { used, all };

/// The project with only the named services enabled (all when empty), with what they depend on. Naming a service activates
/// its profiles, as Docker Compose does. Others move to disabled_services. Networks, volumes, configs, secrets and models
/// no enabled service needs are dropped (prune_unused()), also without names, unless `resources` is all.
Selection select(model::Project project, const std::vector<std::string>& services,
                 Dependencies dependencies = Dependencies::include, Resources resources = Resources::used);

/// Every enabled service behind those it depends on; by name otherwise.
std::vector<std::string> dependency_order(const model::Project& project);

/// What check_consistency leaves to those who start containers: an error for each container_name of two enabled services.
std::vector<Diagnostic> container_name_conflicts(const model::Project& project);

/// Drops the networks, volumes, configs, secrets and models no enabled service uses.
model::Project prune_unused(model::Project project);

}  // namespace compose::load
