#pragma once
// `compose-image compose-file REFERENCE`: a Compose file from a git repository or a registry, for the loader.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace engine::build {

/// Fetches "oci://NAME" or a git URL ("URL#ref:path", path a file or a folder) and prints the path of the local copy, which
/// stays in the state directory under its commit or digest. Exit code 0, 1 (failed; the reason on standard error), 2 (usage).
int run_compose_file(const std::vector<std::string>& arguments);

/// Removes the folders of `root` whose modification time (their last use) is before `unused_since` and which are not
/// `needed`, and what an interrupted removal left. Best effort.
void prune_compose_files(const std::filesystem::path& root, std::filesystem::file_time_type unused_since,
                         const std::function<bool(const std::string& name)>& needed);

}  // namespace engine::build
