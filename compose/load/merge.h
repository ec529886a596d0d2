#pragma once
// Several files (or a service and the one it extends) become one tree.
#include "compose/load/stage.h"

namespace compose::load {

/// `over` joined into `base` as the rule says. A value marked !reset stays as the marker (strip_directives removes it)
/// and hides the base's; one marked !override replaces it.
void merge(Context& context, Node& base, Node over, const Rule* rule, const Path& path);

/// Removes values marked !reset and clears !override marks.
void strip_directives(Node& node);

/// "k=v" items of a mapping, sorted by key, or the items of a list; a scalar is a list of one.
Node as_sequence(Node node);
/// A list of names as a mapping of nulls; a mapping as it is.
Node names_as_mapping(Node node);
/// depends_on's list as a mapping with the default condition.
Node dependencies_as_mapping(Node node);

/// Enforces uniqueness in every list the rules give a key for: a later item replaces an earlier one in its place.
void enforce_unique(Node& node, const Rule* rule);

/// Deep equality of values; positions and quoting do not count.
bool same_value(const Node& a, const Node& b);

/// A scalar as Go's %v prints it: "1.5", "true", "" for null.
std::string scalar_text(const Node& node);

}  // namespace compose::load
