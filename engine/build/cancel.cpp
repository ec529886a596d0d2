#include "engine/build/cancel.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>

#include "engine/build/build.h"

namespace engine::build {
namespace {
std::atomic<bool> cancelled = false;
std::atomic<int> event = -1;
}  // namespace

bool builds_cancelled() { return cancelled; }

base::Fd cancel_event() {
  if (event < 0) event = ::eventfd(cancelled ? 1 : 0, EFD_CLOEXEC);
  return base::Fd(event);
}

void cancel_builds() {
  cancelled = true;
  const std::uint64_t one = 1;
  if (event >= 0) [[maybe_unused]] const ssize_t written = ::write(event, &one, sizeof one);
}

}  // namespace engine::build
