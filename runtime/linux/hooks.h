#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/spec/spec.h"

namespace runtime {

struct HookRun {
  std::string state;            ///< JSON of `compose-runtime state`, their standard input
  std::string working_dir;      ///< the bundle; "" = ours
  const std::vector<std::string>* environment = nullptr;  ///< of hooks that have none of their own; absent = ours
  const std::map<std::string, std::string>* annotations = nullptr;  ///< crun's run.oci.hooks.stdout and .stderr: files for the output
};

/// Runs `hooks` one after the other; stops at the first that fails or passes its timeout, which is killed. A hook gets exactly
/// its own environment, or when it has none the one of `run`. Output goes to our stderr unless an annotation says otherwise.
/// `kind` ("createRuntime") is for the message. Source: runtime-spec config.md "POSIX-platform Hooks".
base::Result<> run_hooks(const std::vector<spec::Hook>& hooks, const HookRun& run, const char* kind);
/// The same for hooks whose failure is worth no more than a warning: all run, the errors are returned.
std::vector<base::Error> run_all_hooks(const std::vector<spec::Hook>& hooks, const HookRun& run, const char* kind);

}  // namespace runtime
