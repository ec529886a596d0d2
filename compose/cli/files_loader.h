#pragma once
// From the command line to the loader and back: the files found, the diagnostics shown.
#include <string>
#include <vector>

#include "base/result.h"
#include "compose/load/load.h"

namespace compose::cli {

struct FileOptions {
  bool interpolate = true, normalize = true, resolve_paths = true, check_consistency = true, resolve_environment = true;
  bool quiet = false;                  ///< do not say that there are no files: the caller has another way
};

/// The machine's files and a way to fetch remote ones; one for the whole run.
const load::FileReader& program_files();
/// What was said on the command line and in the environment.
load::CommandLine command_line();

/// A COMPOSE_… setting: of the environment, else of the project's env files. Asks for the globals, so set them first.
std::optional<std::string> setting(const std::string& name);
/// A setting that is a switch.
bool switched_on(const std::string& name);

/// Which files and which environment; prints what is wrong.
base::Result<load::LoadOptions> find_files(const FileOptions& options);
/// The whole project; prints what is wrong.
base::Result<model::Project> load_files(const FileOptions& options);
base::Result<model::Project> select_services(model::Project project, const std::vector<std::string>& services,
                                             load::Dependencies dependencies);
/// For verbs that start containers, and `config`: shows services with the same container_name and fails.
base::Result<> refuse_shared_container_names(const model::Project& project);
void show(const std::vector<load::Diagnostic>& diagnostics, const model::Sources& sources);

}  // namespace compose::cli
