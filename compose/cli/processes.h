#pragma once
// A process as `ps -ef` shows it, and a container's use of the machine; both from /proc and the cgroup file system.
#include <sys/types.h>

#include <optional>
#include <string>

#include "engine/api/types.h"

namespace compose::cli {

struct ProcessRow {
  std::string user, pid, parent, cpu, started, terminal, time, command;
};
/// Nothing when it has ended meanwhile.
std::optional<ProcessRow> process_row(pid_t pid);

/// Counters of a running container at one moment.
struct Usage {
  std::int64_t cpu_ns = 0;           ///< since its start
  std::int64_t memory = 0, memory_limit = 0;
  std::int64_t received = 0, sent = 0;
  std::int64_t read = 0, written = 0;
  std::int64_t pids = 0;
};
/// Zeros for what this kernel or cgroup layout does not tell.
Usage usage_of(const engine::ContainerInfo& info);

}  // namespace compose::cli
