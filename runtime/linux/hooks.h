#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/spec/spec.h"

namespace runtime {

struct HookRun {
  std::string state;            ///< JSON of `compose-runtime state`, their standard input
  std::string working_dir;      ///< the bundle; "" = ours
  const std::map<std::string, std::string>* annotations = nullptr;  ///< crun's run.oci.hooks.stdout and .stderr: files for the output
};

/// Runs `hooks` one after the other; stops at the first that fails or passes its timeout, which is killed. A hook gets exactly
/// its own environment, or when it has none ours. Output goes to our stderr unless an annotation says otherwise.
/// `kind` ("createRuntime") is for the message. Source: runtime-spec config.md "POSIX-platform Hooks".
base::Result<> run_hooks(const std::vector<spec::Hook>& hooks, const HookRun& run, const char* kind);

/// startContainer hooks, run as what the program will be: its user, its capabilities, under its filter, as under runc.
class ContainerHooks {
 public:
  /// Whatever a filter may forbid later. `state` as in HookRun; `environment`: of hooks that have none of their own.
  static base::Result<ContainerHooks> prepare(const std::vector<spec::Hook>& hooks, const std::string& state,
                                              const std::vector<std::string>& environment);
  /// One after the other, as run_hooks(). Needs fork, wait4, execve and, for a timeout, alarm and kill; single-threaded callers only.
  [[nodiscard]] base::Result<> run() const;

 private:
  const std::vector<spec::Hook>* hooks_ = nullptr;
  const std::vector<std::string>* environment_ = nullptr;
  std::vector<base::UniqueFd> inputs_;  ///< a standard input for each
};

/// The same for hooks whose failure is worth no more than a warning: all run, the errors are returned.
std::vector<base::Error> run_all_hooks(const std::vector<spec::Hook>& hooks, const HookRun& run, const char* kind);

}  // namespace runtime
