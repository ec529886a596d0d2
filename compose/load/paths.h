#pragma once
// Stage: relative paths become absolute.
#include <string>

#include "compose/load/stage.h"

namespace compose::load {

/// Joins and cleans, lexically; an absolute `path` stays as it is.
std::string absolute_path(std::string_view base, std::string_view path);
std::string parent_of(std::string_view path);
/// `path` as seen from `base`, lexically; "." for `base` itself.
std::string relative_path(const std::string& base, const std::string& path);
/// "~" and "~/x" → the home directory of `environment`.
std::string expand_home(std::string_view path, const model::StringMap& environment);

/// Resolves every path attribute of the tree against `base`.
void resolve_paths(Context& context, Node& document, const std::string& base);

}  // namespace compose::load
