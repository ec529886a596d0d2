#pragma once
// Before a plan: every image a service runs is on the machine, built or pulled as its policy says.
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "compose/model/project.h"
#include "compose/reconcile/desired.h"

namespace compose::cli {

struct ImagePolicy {
  std::string pull;              ///< --pull: "" = the services' | always | missing | never | build
  bool build = false;            ///< --build
  bool no_build = false;
  bool quiet_pull = false, quiet_build = false;
};

/// Builds and pulls what is missing or asked for, shows it, and resolves every image.
/// Error: the worker's sentence, shown with Docker Compose's words.
base::Result<reconcile::ImageIds> ensure_images(const model::Project& project, const ImagePolicy& policy);

/// Only what is there already: no worker is started. Missing ones are left out.
base::Result<reconcile::ImageIds> known_images(const model::Project& project);

struct BuildOptions {
  std::vector<std::string> arguments;    ///< --build-arg
  std::vector<std::string> ssh;
  bool no_cache = false, pull = false, quiet = false, push = false;
  bool check = false;                    ///< --check: nothing is built
  std::int64_t memory_bytes = 0;         ///< of each command of a build; 0 = no limit
  std::string provenance, sbom;          ///< given here they win over the file
};
/// Builds the services that have `build:`. Shows BuildKit's plain output and " NAME  Built". False: one failed (and was shown).
base::Result<bool> build_services(const model::Project& project, const std::vector<std::string>& services, const BuildOptions& options);

struct PullOptions {
  bool quiet = false, ignore_failures = false;
  std::map<std::string, bool> buildable;  ///< services that can be built: a failure is not the end
};
/// Pulls the images of `services` (each image once). False: one failed (and was shown).
base::Result<bool> pull_services(const model::Project& project, const std::vector<std::string>& services, const PullOptions& options);
base::Result<bool> push_services(const model::Project& project, const std::vector<std::string>& services, bool quiet, bool ignore_failures);

/// build.args, then --build-arg; a name without a value takes it from our environment, as Docker does.
std::map<std::string, std::string> build_arguments(const model::Project& project, const model::Build& build, const BuildOptions& options);
/// build.labels and those that say whose image it is.
std::map<std::string, std::string> build_labels(const model::Project& project, const model::Service& service);
/// `build --print`: the targets as a bake file, with a final newline.
std::string bake_file(const model::Project& project, const std::vector<std::string>& services, const BuildOptions& options);

/// The JSON request for `compose-image build` (engine/build/build.h).
std::string build_request(const model::Project& project, const model::Service& service, const BuildOptions& options,
                          std::string_view progress);

}  // namespace compose::cli
