#include "compose/cli/files_loader.h"

#include <unistd.h>

#include "compose/cli/context.h"
#include "compose/cli/globals.h"
#include "compose/cli/output.h"
#include "compose/cli/workers.h"

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

/// The machine's files; remote ones are fetched by the worker, which may parse what comes from outside.
class ProgramFiles final : public load::FileReader {
 public:
  Result<std::string> read(const std::string& path) const override { return files_->read(path); }
  bool exists(const std::string& path) const override { return files_->exists(path); }
  bool is_directory(const std::string& path) const override { return files_->is_directory(path); }
  std::optional<std::string> link_target(const std::string& path) const override { return files_->link_target(path); }
  Result<std::string> fetch(const std::string& reference) const override {
    const auto known = fetched_.find(reference);
    if (known != fetched_.end()) return known->second;
    std::string path, failure;
    Job job;
    job.arguments = {"compose-file", reference};
    job.on_line = [&](const std::string& line) { path = line; };
    job.on_end = [&](int code, const std::string& errors) { failure = code == 0 ? "" : errors.empty() ? "the worker failed" : errors; };
    std::vector<Job> jobs;
    jobs.push_back(std::move(job));
    ASSIGN_OR_RETURN(const bool done, run_workers(std::move(jobs), {}));
    if (!done || path.empty()) return make_error(ErrorKind::unavailable, failure);
    return fetched_[reference] = path;
  }

 private:
  std::unique_ptr<load::FileReader> files_ = load::system_files();
  mutable std::map<std::string, std::string> fetched_;
};

}  // namespace

const load::FileReader& program_files() {
  static const ProgramFiles files;
  return files;
}

load::CommandLine command_line() {
  const Globals& g = globals();
  std::error_code ignored;
  const std::string here = std::filesystem::current_path(ignored).string();
  model::StringMap environment = process_environment();
  environment.emplace("PWD", here);  // shells set it; Compose files count on it
  return {.files = g.files,
          .project_directory = g.project_directory,
          .project_name = g.project_name,
          .env_files = g.env_files,
          .profiles = g.profiles,
          .environment = std::move(environment),
          .current_dir = here};
}

std::optional<std::string> setting(const std::string& name) {
  static const model::StringMap known = load::program_settings(command_line(), program_files());
  const auto found = known.find(name);
  return found == known.end() ? std::nullopt : std::optional(found->second);
}

bool switched_on(const std::string& name) { return means_yes(setting(name).value_or("")); }

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
  auto found = load::discover(command_line(), program_files());
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
  auto loaded = load::load(found, program_files());
  show(loaded.diagnostics, loaded.sources);
  if (!loaded.project) return shown();
  return *std::move(loaded.project);
}

Result<model::Project> select_services(model::Project project, const std::vector<std::string>& services,
                                       load::Dependencies dependencies) {
  auto selection = load::select(std::move(project), services, dependencies, globals().all_resources ? load::Resources::all : load::Resources::used);
  if (!selection.project) return make_error(ErrorKind::not_found, selection.error);
  return *std::move(selection.project);
}

Result<> refuse_shared_container_names(const model::Project& project) {
  const auto conflicts = load::container_name_conflicts(project);
  if (conflicts.empty()) return {};
  show(conflicts, *project.sources);
  return shown();
}

}  // namespace compose::cli
