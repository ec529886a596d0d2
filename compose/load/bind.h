#pragma once
// Stage: the typed tree becomes the model.
#include "compose/load/stage.h"
#include "compose/model/project.h"

namespace compose::load {

/// The members of `project` that come from the tree; its name, environment and sources are the caller's.
void bind_project(const Node& tree, model::Project& project);
model::Service bind_service(const std::string& name, const Node& node);

// Readers shared by the bind files: absent or null gives the zero value.
std::string text_of(const Node& map, std::string_view key);
bool flag_of(const Node& map, std::string_view key, bool absent = false);
std::int64_t integer_of(const Node& map, std::string_view key, std::int64_t absent = 0);
double real_of(const Node& map, std::string_view key);
std::optional<std::int64_t> optional_integer(const Node& map, std::string_view key);
std::optional<model::Duration> optional_duration(const Node& map, std::string_view key);
model::Strings texts_of(const Node& map, std::string_view key);
model::StringMap string_map_of(const Node& map, std::string_view key);
model::Environment environment_of(const Node& map, std::string_view key);
std::vector<model::FileReference> file_references(const Node& map, std::string_view key);
std::map<std::string, model::Ulimit> ulimits_of(const Node& map);
model::Hook hook_of(const Node& map);

}  // namespace compose::load
