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

/// Which files and which environment; prints what is wrong.
base::Result<load::LoadOptions> find_files(const FileOptions& options);
/// The whole project; prints what is wrong.
base::Result<model::Project> load_files(const FileOptions& options);
base::Result<model::Project> select_services(const model::Project& project, const std::vector<std::string>& services,
                                             load::Dependencies dependencies);
void show(const std::vector<load::Diagnostic>& diagnostics, const model::Sources& sources);

}  // namespace compose::cli
