#pragma once
#include <string>

#include "base/result.h"

namespace engine::supervisor {
/// 64 hex digits from the kernel's random numbers.
base::Result<std::string> random_id();
}  // namespace engine::supervisor
