#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/spec/spec.h"

namespace runtime {

/// Runs `hooks` one after the other with `state` (the JSON of `compose-runtime state`) on standard input; stops at the first that
/// fails or passes its timeout, which is killed. A hook gets exactly its own environment. Output goes to our stderr.
/// `kind` ("createRuntime") is for the message. Source: runtime-spec config.md "POSIX-platform Hooks".
base::Result<> run_hooks(const std::vector<spec::Hook>& hooks, const std::string& state, const char* kind);

}  // namespace runtime
