#pragma once
// What config.json's "process" means for the process itself.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/linux/capabilities.h"
#include "runtime/linux/memory_policy.h"
#include "runtime/linux/seccomp.h"
#include "runtime/spec/spec.h"

namespace runtime {

/// Everything about a process that is checked and computed before a child exists.
struct PreparedProcess {
  const spec::Process* process = nullptr;
  std::optional<CapabilityMasks> capabilities;   ///< absent = keep what the runtime has
  std::optional<SeccompFilter> seccomp;
  std::optional<std::uint32_t> personality;
  std::optional<MemoryPolicyCall> memory_policy;
  unsigned preserve_fds = 0;                     ///< descriptors 3 … 2+N reach the program
  bool tiny_init = false;
  std::vector<std::string> warnings;             ///< what was asked for and can't be given, although it is no error
  bool user_namespace = false;
  bool keep_groups = false;                      ///< annotation run.oci.keep_original_groups
};

/// Error naming what is unknown, contradictory or beyond our own rights.
base::Result<PreparedProcess> prepare_process(const spec::Process& process, const spec::Linux& config,
                                              const std::string& seccomp_cache);

/// RLIMIT_… number; nothing for an unknown name.
std::optional<int> rlimit_number(std::string_view name);
std::vector<std::string> known_rlimits();

/// Steps that need the host's procfs or full rights: oom score, limits, scheduler, io priority, personality.
/// `proc` is the host's /proc, opened before any foreign mount was in reach.
base::Result<> apply_limits(base::Fd proc, const PreparedProcess& prepared);

/// The file to execute for args[0], searched in env's PATH inside the current root.
/// Errors carry the exit code 127 or 126 and read as Docker's: exec: "foo": executable file not found in $PATH.
base::Result<std::string> find_executable(const spec::Process& process);

/// The environment for execve: config's, the last of duplicates, with HOME from /etc/passwd of the current root when absent.
std::vector<std::string> final_environment(const spec::Process& process);

/// Gives the user the descriptors 0 to 2, where they are pipes or terminals: else /dev/stdout could not be opened by him.
base::Result<> own_stdio(std::uint32_t uid, std::uint32_t gid);

/// Labels, cwd, user, capabilities, no_new_privs and seccomp, in the only order that works; nothing privileged works afterwards.
/// Gives the seccomp listener when there is one.
struct FinalStep {
  base::Fd proc;                ///< host's /proc
  bool make_cwd = true;         ///< create the working directory when missing
};
base::Result<> become_user(const PreparedProcess& prepared, const FinalStep& step,
                           const std::function<base::Result<>(base::UniqueFd)>& on_listener);

/// execve; returns only its error, with the exit code 126 or 127.
base::Error execute(const std::string& path, const spec::Process& process, const std::vector<std::string>& environment);

/// Default signal dispositions and an empty mask, whatever our caller had.
void reset_signals();

/// Remembers where our command line is in memory, so that a process that stays can hide it. Call once at the start of main.
void remember_command_line(int count, char** arguments);

/// Serves as PID 1 for `child`: forwards signals, reaps everything, ends with the child's code.
[[noreturn]] void serve_as_init(pid_t child);

}  // namespace runtime
