#pragma once
// Stage: env_file and label_file of services are read into environment and labels.
#include "compose/load/stage.h"

namespace compose::load {

/// True when the service's profiles allow it to run with the active ones ("*" = all).
bool profile_active(const Node& service, const std::vector<std::string>& active);

/// Adds to every service of `typed` what the files its `raw` form names hold; values written in the service win.
/// A missing file matters only where the service is enabled. Labels' files are read also where env files are not wanted.
void resolve_service_files(Context& context, const Node& raw, Node& typed);

}  // namespace compose::load
