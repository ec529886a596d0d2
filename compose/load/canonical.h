#pragma once
// Stage: short forms become long ones.
#include "compose/load/stage.h"

namespace compose::load {

/// Expands every short form of the tree. A text that cannot be read is reported; without interpolation it stays, since
/// it may hold variables.
void canonicalise(Context& context, Node& document);

/// Adds what the specification says holds when nothing is written (ports' protocol, the build context, …).
void set_defaults(Node& document);

}  // namespace compose::load
