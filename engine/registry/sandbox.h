#pragma once
// A second wall around the code that parses bytes from outside. Private to the room.
#include "base/unique_fd.h"

namespace engine::registry {

/// From here on this thread (only it) gains no privileges, keeps the capabilities that making files needs, and writes
/// nowhere but below `directory` (Landlock, where the kernel has it). With an invalid fd: writes nowhere.
/// Never fails: an older kernel has fewer walls, and the first one (openat2) does not depend on them.
void confine_thread(base::Fd directory);

}  // namespace engine::registry
