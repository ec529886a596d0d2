#pragma once
// Stage 2: variables in values are replaced, and strings take the type of their attribute.
#include "compose/load/stage.h"
#include "compose/load/template.h"

namespace compose::load {

/// Replaces variables in every string of the document (keys stay), then casts strings where the attribute is a number
/// or boolean. Unset variables are warned about, malformed ones reported.
void interpolate(Context& context, Node& document, const Lookup& lookup);

}  // namespace compose::load
