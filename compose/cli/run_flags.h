#pragma once
// Values of `run`'s flags: -e, -p, -v in their short forms.
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "compose/model/project.h"
#include "engine/api/types.h"

namespace compose::cli {

/// "KEY" gets its value from `environment` (and stays "KEY" when that has none: it is then unset); "KEY=VALUE" stays.
std::string with_value(const std::string& entry, const model::StringMap& environment);

/// A file of KEY=VALUE lines; # comments.
base::Result<std::vector<std::string>> read_env_file(const std::string& path);

/// "8080:80", "127.0.0.1:8080:80/udp", "80", "9000-9002:80-82".
base::Result<std::vector<engine::PortBinding>> parse_publish(const std::string& text);

/// "./dir:/target:ro", "name:/target", "/anonymous".
base::Result<engine::MountSpec> parse_volume(const std::string& text, const model::Project& project);

}  // namespace compose::cli
