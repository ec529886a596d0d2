#pragma once
// The verbs of compose-image beside `build`.
#include <optional>
#include <string>
#include <vector>

namespace engine::registry {

/// Runs `compose-image VERB ARGUMENTS…`; absent when there is no such verb. The result is the exit code: 0, 1 (failed), 2 (usage).
/// Every verb with its options: command_usage().
/// With --progress=json every line of stdout is one object: {"id":…,"status":…,"current":…,"total":…}, and the last one
/// {"result":{"id":…,"reference":…}} or {"error":{"kind":…,"message":…}}.
/// What `compose image --help` prints.
std::string command_usage();
std::optional<int> run_command(const std::string& verb, const std::vector<std::string>& arguments);

}  // namespace engine::registry
