#pragma once
#include <filesystem>

#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::supervisor {

/// An exclusive flock on `path`, which is made when missing. The file may be deleted by its last holder: the lock is only good while the
/// path still leads to it. Error unavailable (EWOULDBLOCK): another process holds it.
base::Result<base::UniqueFd> take_lock(const std::filesystem::path& path);

}  // namespace engine::supervisor
