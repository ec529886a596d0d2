#pragma once
// `compose-image compose-file REFERENCE`: a Compose file from a git repository or a registry, for the loader.
#include <string>
#include <vector>

namespace engine::build {

/// Fetches "oci://NAME" or a git URL ("URL#ref:path", path a file or a folder) and prints the path of the local copy, which
/// stays in the state directory under its commit or digest. Exit code 0, 1 (failed; the reason on standard error), 2 (usage).
int run_compose_file(const std::vector<std::string>& arguments);

}  // namespace engine::build
