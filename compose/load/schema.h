#pragma once
// Stage: is the tree what the Compose Specification's schema says?
#include "compose/load/stage.h"

namespace compose::load {

/// Reports unknown keys, wrong types, values outside their choices, missing and duplicate items.
void validate_schema(Context& context, const Node& document);

}  // namespace compose::load
