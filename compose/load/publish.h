#pragma once
// What `publish` sends: the project's Compose files as they are written, and the files they need beside them.
// Source: github.com/docker/compose internal/oci (the artifact), pkg/compose/publish.go (which files, under which names).
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "compose/load/load.h"

namespace compose::load {

struct PublishedFile {
  std::string name;        ///< in the artifact, where all files lie in one folder
  std::string text;        ///< as written, but for the names of other files of the artifact
  bool extended = false;   ///< another file extends its services; else it is one of the project's own
};

struct PublishedFiles {
  std::vector<PublishedFile> compose_files;
  std::vector<std::pair<std::string, std::string>> env_files;   ///< path here, name in the artifact; those that exist
  std::set<std::string> services_with_env_files;
  bool local_include = false;                                   ///< which the artifact has no room for
  LoadResult load;                                              ///< without a project; errors: nothing else counts then
};

/// For a project that load() accepted. Error at a name that cannot be replaced where it stands (a text over several lines).
PublishedFiles published_files(const LoadOptions& options, const FileReader& files);

}  // namespace compose::load
