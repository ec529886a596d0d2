#pragma once
// What `compose config` prints, byte for byte as Docker Compose 2.40.3 prints it.
#include <functional>
#include <string>
#include <vector>

#include "compose/load/load.h"

namespace compose::load {

/// The canonical project; only services, networks… present in `project` (so a selection prints its part).
/// Image names come from project.services (a caller may have put digests there).
std::string to_yaml(const model::Project& project);
std::string to_json(const model::Project& project);   ///< indented by two; ends without newline as Docker Compose's

/// Why there is no JSON of it: infinity or not-a-number in an x-… attribute. "" = there is.
std::string json_obstacle(const model::Project& project);

/// A tree as it is, keys sorted: `config --no-interpolate`. Loads with `options.interpolate` false.
struct RawConfig {
  std::optional<std::string> text;
  std::vector<std::string> services;   ///< all of them, whatever their profiles
  LoadResult load;
};
/// `edit` may change the tree before it is printed; nothing is printed when it returns false.
RawConfig raw_config(const LoadOptions& options, const FileReader& files, bool json,
                     const std::function<bool(model::Node&)>& edit = {});

/// The project without everything but the images of its services, and without a name: `config --lock-image-digests`.
model::Project images_only(const model::Project& project);
/// The same of a tree.
void keep_images_only(model::Node& tree);

/// One per line, as the option of the same name prints them.
std::vector<std::string> service_names(const model::Project& project);     ///< --services
std::vector<std::string> volume_names(const model::Project& project);      ///< --volumes
std::vector<std::string> network_names(const model::Project& project);     ///< --networks
/// --images; `separator` is between the project's and the service's name where there is no image.
std::vector<std::string> image_names(const model::Project& project, const std::string& separator = "-");
std::vector<std::string> profile_names(const model::Project& project);     ///< --profiles
std::vector<std::string> model_names(const model::Project& project);       ///< --models
std::vector<std::string> environment_lines(const model::Project& project); ///< --environment: NAME=value

enum class Format : std::uint8_t { table, json, yaml };

/// --variables: the variables the files mention, with defaults.
struct Variables {
  std::optional<std::string> text;
  LoadResult load;
};
Variables variables(const LoadOptions& options, const FileReader& files, Format format);

/// The label com.docker.compose.config-hash: SHA-256 over the service's canonical JSON without build, pull_policy,
/// scale, deploy.replicas, depends_on and profiles. 64 hex digits; equal to Docker Compose's.
std::string config_hash(const model::Project& project, const std::string& service);

/// The canonical project as compact JSON with every service, for the stored generation. Loads back with load().
std::string to_generation_json(const model::Project& project);

}  // namespace compose::load
