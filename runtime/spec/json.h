#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "runtime/spec/spec.h"

namespace runtime::spec {

/// Parses config.json. Errors (invalid) name the place: "linux.resources.memory.limit: expected an integer".
/// Unknown keys are accepted, as runtime-spec "Extensibility" demands. Pure.
base::Result<Config> parse_config(std::string_view text);
/// Parses the text of `exec --process`.
base::Result<Process> parse_process(std::string_view text);
/// Parses the text of `update --resources`.
base::Result<Resources> parse_resources(std::string_view text);
/// Parses a bare OCI seccomp object.
base::Result<Seccomp> parse_seccomp(std::string_view text);

/// config.json for `config`, compact; parse_config(to_json(c)) gives c back.
std::string to_json(const Config& config);
std::string to_json(const Process& process);

}  // namespace runtime::spec
