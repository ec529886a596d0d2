#include "compose/cli/files_loader.h"

#include <unistd.h>

#include "compose/cli/context.h"
#include "compose/cli/globals.h"
#include "compose/cli/output.h"

extern char** environ;  // NOLINT: POSIX

namespace compose::cli {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

model::StringMap process_environment() {
  model::StringMap result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto equals = text.find('=');
    if (equals != std::string_view::npos) result.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return result;
}

load::CommandLine command_line() {
  const Globals& g = globals();
  std::error_code ignored;
  return {.files = g.files,
          .project_directory = g.project_directory,
          .project_name = g.project_name,
          .env_files = g.env_files,
          .profiles = g.profiles,
          .environment = process_environment(),
          .current_dir = std::filesystem::current_path(ignored).string()};
}

}  // namespace

void show(const std::vector<load::Diagnostic>& diagnostics, const model::Sources& sources) {
  std::vector<load::Diagnostic> shown_ones;
  for (const auto& diagnostic : diagnostics) {
    if (diagnostic.severity == load::Severity::warning && globals().progress == "json") {
      warn(diagnostic.message);
    } else {
      shown_ones.push_back(diagnostic);
    }
  }
  if (!shown_ones.empty()) err(load::print(shown_ones, sources, {.colour = colour_on(STDERR_FILENO), .time = {}}));
}

Result<load::LoadOptions> find_files(const FileOptions& options) {
  auto found = load::discover(command_line(), *load::system_files());
  if (!found.options) {
    if (!options.quiet) show(found.diagnostics, found.sources);
    return shown();
  }
  show(found.diagnostics, found.sources);
  found.options->interpolate = options.interpolate;
  found.options->normalize = options.normalize;
  found.options->resolve_paths = options.resolve_paths;
  found.options->check_consistency = options.check_consistency;
  found.options->resolve_environment = options.resolve_environment;
  return *std::move(found.options);
}

Result<model::Project> load_files(const FileOptions& options) {
  ASSIGN_OR_RETURN(const auto found, find_files(options));
  auto loaded = load::load(found, *load::system_files());
  show(loaded.diagnostics, loaded.sources);
  if (!loaded.project) return shown();
  return *std::move(loaded.project);
}

Result<model::Project> select_services(const model::Project& project, const std::vector<std::string>& services,
                                       load::Dependencies dependencies) {
  auto selection = load::select(project, services, dependencies);
  if (!selection.project) return make_error(ErrorKind::not_found, selection.error);
  return *std::move(selection.project);
}

}  // namespace compose::cli
