#pragma once
// Rows of the store as the vocabulary's values, and back.
#include "engine/store/store.h"

namespace engine::store {

/// The row as it was last written; whether it still runs is for the caller to ask the kernel. Error invalid: damaged JSON.
Result<ContainerInfo> to_info(const ContainerRecord& record);
Result<NetworkInfo> to_info(const NetworkRecord& record);
Result<VolumeInfo> to_info(const VolumeRecord& record);

/// Field 22 of /proc/PID/stat: when the process started, in clock ticks since boot; 0 when there is no such process (or it is a zombie).
std::uint64_t process_start(pid_t pid);
/// True while the process the record names runs: same boot, same pid, same start time.
bool process_runs(const RunState& run);

}  // namespace engine::store
