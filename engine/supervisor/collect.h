#pragma once
// Waiting for a command in a container, without a thread. Only .cpp files of this room include it.
#include "engine/supervisor/async.h"
#include "engine/supervisor/backend.h"

namespace engine::supervisor {

struct Collected {
  base::ExitStatus status;
  std::string output;   ///< the first 4096 bytes
};

/// Until the process has ended; what it prints beyond the limit is read and dropped. `exec` must outlive the task; killing its process
/// ends it. Its children may keep the pipe open: nobody waits for them.
Task<Collected> collect(asio::io_context& io, Exec& exec);

}  // namespace engine::supervisor
