#pragma once
#include "base/result.h"
#include "runtime/spec/spec.h"

namespace runtime {

/// Error naming an unknown policy, flag, class or a bad cpu list. Pure.
base::Result<> check_scheduling(const spec::Process& process);
/// Scheduler, io priority and the final cpu affinity of the calling process.
base::Result<> apply_scheduling(const spec::Process& process);
/// Sets the affinity of the calling process to a cpu list "0-3,7"; "" changes nothing.
base::Result<> set_affinity(const std::string& cpus);

/// Gives the calling process all cpus its cgroup allows: what our caller was pinned to is not the container's (runc does the same).
/// No error: where it is refused the process keeps what it has.
void reset_affinity();

std::vector<std::string> known_policies();

}  // namespace runtime
