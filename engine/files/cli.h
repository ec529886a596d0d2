#pragma once
// The verbs of compose-image on a container's files. For programs: `compose cp`, `export` and `commit` are what people use.
#include <optional>
#include <string>
#include <vector>

namespace engine::files {

/// Runs `compose-image VERB ARGUMENTS…`; absent when there is no such verb. Exit codes and --progress as engine/registry/cli.h:
///   container-copy-in [--follow-link] [--as-user] CONTAINER SOURCE|- TARGET
///   container-copy-out [--follow-link] CONTAINER SOURCE TARGET|-
///   container-sync CONTAINER FILE TARGET [FILE TARGET]...
///   container-export [--output FILE] CONTAINER
///   container-commit [--author TEXT] [--message TEXT] [--change INSTRUCTION]... CONTAINER [NAME]
std::optional<int> run_command(const std::string& verb, const std::vector<std::string>& arguments);

}  // namespace engine::files
