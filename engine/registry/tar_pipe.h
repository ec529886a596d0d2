#pragma once
// One end writes bytes, the other reads them, on two threads: pack() and unpack() back to back make a copy and its digest agree by
// construction.
#include <functional>

#include "base/result.h"
#include "engine/registry/pack.h"
#include "engine/registry/unpack.h"

namespace engine::registry {

/// Runs `write` on a thread of its own and `read` on this one; a few MB travel between them. When `read` ends early `write` is told so by
/// its sink (cancelled). The error is the writer's own, else the reader's.
Result<> tar_pipe(const std::function<Result<>(const ByteSink&)>& write, const std::function<Result<>(const ByteSource&)>& read);

}  // namespace engine::registry
