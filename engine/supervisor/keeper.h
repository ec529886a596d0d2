#pragma once
// The parent of a project's processes. It does as little as possible, so that it has no reason to die:
//   - PR_SET_CHILD_SUBREAPER: containers of a killed supervisor become its children, and it keeps their wait status;
//   - a store of named descriptors (log FIFOs, terminals, listening sockets) that survive the supervisor;
//   - it starts the supervisor again whenever it dies, and ends itself when the supervisor says that nothing runs.
//
// Messages on the SOCK_SEQPACKET pair, one a packet:
//   keeper → supervisor   "fd NAME" + descriptor, one for each stored;  "exit PID STATUS" (wait status);  "ready" ends the first batch
//   supervisor → keeper   "put NAME" + descriptor (replaces);  "drop NAME";  "ack PID" (the exit is in the store: forget it)
//   end of the supervisor: exit status 0 = nothing runs any more; anything else = start another.
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace engine::supervisor {

struct KeeperOptions {
  std::string project;
  int ready_fd = -1;   ///< the supervisor tells there how its start went (-1: nobody waits)
  bool adopt = false;  ///< this process was the supervisor and outlived its keeper: its children and descriptors are kept
  int lock_fd = -1;    ///< with adopt: the keeper's lock, already held
  std::vector<std::pair<std::string, int>> fds;  ///< with adopt: the store, by name
};

/// Exit statuses of the supervisor that mean something to the keeper.
inline constexpr int exit_done = 0;       ///< nothing runs: the keeper ends too
inline constexpr int exit_not_mine = 3;   ///< another supervisor holds the project: the keeper ends too
inline constexpr int exit_again = 75;     ///< start the program again at once (upgrade)

/// Where the supervisor finds its end of the pair and the ready pipe.
inline constexpr int link_fd_number = 3;
inline constexpr int ready_fd_number = 4;

/// Runs until nothing is left to keep; the exit status of the program.
int keep(const KeeperOptions& options);

}  // namespace engine::supervisor
