#pragma once
#include "base/unique_fd.h"

namespace engine::build {

/// True from cancel_builds() on.
bool builds_cancelled();
/// Readable from cancel_builds() on; made at the first call.
base::Fd cancel_event();

}  // namespace engine::build
