#pragma once
// How a process ended that may or may not be our child.
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>

#include "base/process.h"
#include "base/unique_fd.h"

namespace engine::supervisor {

/// Reaps the child behind `pidfd` if it has ended and is ours; none otherwise.
std::optional<base::ExitStatus> reap(base::Fd pidfd);
/// What the kernel remembers about a process somebody else has reaped (PIDFD_GET_INFO with PIDFD_INFO_EXIT, Linux 6.15); none before that
/// kernel, and while it is not reaped yet.
std::optional<base::ExitStatus> remembered_exit(base::Fd pidfd);

/// The status of a process that has ended and that its parent has not reaped yet (field 52 of /proc/PID/stat); none for any other process,
/// `start` telling a reused pid apart.
std::optional<base::ExitStatus> zombie_exit(pid_t pid, std::uint64_t start, const std::filesystem::path& proc = "/proc");

}  // namespace engine::supervisor
