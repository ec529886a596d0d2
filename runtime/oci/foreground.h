#pragma once
#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/oci/notify.h"

namespace runtime::oci {

/// Blocks all signals and gives the descriptor they arrive at. The child undoes it before its execve.
base::Result<base::UniqueFd> block_signals();

struct Foreground {
  pid_t pid = -1;              ///< our own child
  base::Fd pidfd, signals;
  base::UniqueFd terminal;     ///< master of its terminal; none = it uses our streams
  NotifyRelay* notify = nullptr;  ///< `run`: its readiness goes on to our caller's manager
};
/// Passes our signals on and copies the terminal until the process ends; its exit code, or 128 + signal.
base::Result<int> wait_in_foreground(Foreground foreground);

/// Copies what is in a terminal nobody serves to our standard output: what a hook said before it failed. Does not block.
void print_terminal(base::Fd master);

}  // namespace runtime::oci
