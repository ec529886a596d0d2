#pragma once
// Stage: what the schema cannot say. Early checks look at the tree of the files, late ones at the resolved project.
#include "compose/load/stage.h"
#include "compose/model/project.h"

namespace compose::load {

/// Attributes that exclude each other, sources that are missing: checked before defaults are filled in.
void check_tree(Context& context, const Node& document);

/// References to things that are not defined, cycles, conflicting attributes of the enabled services.
void check_project(Context& context, const model::Project& project);

}  // namespace compose::load
