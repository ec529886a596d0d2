#pragma once
// Stage: what Compose implies is written down: the default network, resource names, dependencies by links and modes.
#include "compose/load/stage.h"

namespace compose::load {

void normalize(Context& context, Node& document, const std::string& project, const model::StringMap& environment);

}  // namespace compose::load
