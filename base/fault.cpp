#include "base/fault.h"

#ifdef COMPOSE_FAULTS
#include <atomic>
#include <cerrno>
#include <cstdlib>

namespace base {
namespace {
long from_environment(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtol(text, nullptr, 10) : otherwise;
}
std::atomic<long> calls{0};
std::atomic<long> target{from_environment("COMPOSE_FAULT_AT", 0)};
}  // namespace

int fault_due() {
  const long now = ++calls;
  if (now != target.load()) return 0;
  return static_cast<int>(from_environment("COMPOSE_FAULT_ERRNO", EIO));
}
void fault_reset(long at) {
  calls = 0;
  target = at;
}
long fault_count() { return calls.load(); }
}  // namespace base
#endif
