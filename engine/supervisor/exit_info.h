#pragma once
// How a process ended that may or may not be our child.
#include <optional>

#include "base/process.h"
#include "base/unique_fd.h"

namespace engine::supervisor {

/// Reaps the child behind `pidfd` if it has ended and is ours; none otherwise.
std::optional<base::ExitStatus> reap(base::Fd pidfd);
/// What the kernel remembers about a process somebody else has reaped (PIDFD_GET_INFO with PIDFD_INFO_EXIT, Linux 6.15); none before that
/// kernel, and while it is not reaped yet.
std::optional<base::ExitStatus> remembered_exit(base::Fd pidfd);

}  // namespace engine::supervisor
