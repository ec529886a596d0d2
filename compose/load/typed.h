#pragma once
// Stage: every value takes the type and the one spelling of its attribute, in the order attributes are printed.
#include "compose/load/stage.h"

namespace compose::load {

/// The final tree: durations, sizes, commands, lists of k=v … in canonical form; what says nothing is left out.
/// Reports what cannot be read as its type. Frees `document` on the way, but for what resolve_service_files() needs:
/// both trees whole would be half of the memory a large project takes.
Node typed_tree(Context& context, Node& document);

/// True for a value left out when printed as YAML: "", 0, false, an empty list or map.
bool is_blank(const Node& node);

}  // namespace compose::load
