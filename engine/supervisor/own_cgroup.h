#pragma once
#include <sys/types.h>

#include <string>

namespace engine::supervisor {

/// fork(2) with the child in the project's engine cgroup (paths::engine_cgroups), by CLONE_INTO_CGROUP (clone3(2)), which unlike a
/// move waits for nothing. So the end of the unit or session that a command was typed in is not the end of what it started
/// (systemd.kill(5) KillMode=, logind.conf(5) KillUserProcesses=). Where a cgroup cannot be had, a plain fork. For a process of one
/// thread. As fork(2): 0 in the child, -1 on failure.
pid_t fork_into_own_cgroup(const std::string& project);

}  // namespace engine::supervisor
