#pragma once
// The pipeline up to the normalised tree, for output that wants no model. Internal to the room.
#include <optional>

#include "compose/load/load.h"
#include "compose/load/stage.h"

namespace compose::load {

/// The merged, canonical and (unless told otherwise) normalised tree; diagnostics and sources go into `result`.
std::optional<Node> load_raw_tree(const LoadOptions& options, const FileReader& files, LoadResult& result);

}  // namespace compose::load
