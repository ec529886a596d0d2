#pragma once
// A further process in a running container (`exec`).
#include "runtime/linux/process.h"
#include "runtime/linux/sync.h"

namespace runtime {

struct JoinContext {
  std::string id;
  const spec::Process* process = nullptr;
  PreparedProcess prepared;
  base::UniqueFd init;                    ///< pidfd of the container's init
  std::uint64_t namespaces = 0;           ///< CLONE_NEW… of those the container does not share with the host; pid was joined by our parent
  base::UniqueFd root;                    ///< only for a container started without pivot_root: its /proc/PID/root
  const std::vector<base::UniqueFd>* tasks = nullptr;
  base::UniqueFd console_socket, seccomp_listener_socket;
  std::string seccomp_state;              ///< what the seccomp agent is told
  SyncSocket sync;
  bool new_keyring = true;
  bool user_joined = false;               ///< the user namespace was entered before the clone
};

/// Never returns: becomes the program, or reports the error over the sync socket and exits.
[[noreturn]] void run_join(JoinContext& context);

/// A session keyring of its own, so that the caller's keys are not the container's.
base::Result<> join_keyring(const std::string& id);

}  // namespace runtime
