#pragma once
// Fault sweep: in builds with COMPOSE_FAULTS every call through base/sys first asks whether it must fail.
// COMPOSE_FAULT_AT=k makes the k-th wrapped call of the process fail with EIO (or COMPOSE_FAULT_ERRNO).

namespace base {
#ifdef COMPOSE_FAULTS
/// 0, or the errno this call must fail with. Counts calls from process start (or the last fault_reset).
int fault_due();
/// Restarts the count: the k-th wrapped call from now on fails; 0 disarms.
void fault_reset(long at);
/// How many wrapped calls were made since the last reset.
long fault_count();
#else
constexpr int fault_due() { return 0; }
#endif
}  // namespace base
