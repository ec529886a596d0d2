#pragma once
// Stage 1: bytes → trees.
#include <string>
#include <vector>

#include "compose/load/stage.h"

namespace compose::load {

/// The documents of source file number `file` (its text is in context.sources). Aliases and merge keys are expanded,
/// plain scalars resolved, duplicate keys, unknown anchors and excessive sizes reported.
std::vector<Node> parse_documents(Context& context, std::uint32_t file);

}  // namespace compose::load
