#pragma once
// Whether and when a container that ended is started again. Pure.
#include <optional>

#include "engine/api/types.h"

namespace engine::supervisor {

struct Ended {
  std::optional<int> exit_code;      ///< absent: ended unseen; counts as a failure
  Nanoseconds ran{0};                ///< how long it had been up
  int restarts = 0;                  ///< automatic restarts so far
  bool stopped_by_user = false;
  Nanoseconds last_delay{0};         ///< what the decision before gave; 0 = none yet
};

struct Restart {
  bool again = false;
  Nanoseconds delay{0};
};

/// Docker's rules: the delay starts at 100 ms, doubles up to a minute, and begins anew once a run lasted 10 s (the policy's window when
/// set). A policy's own `delay` is constant.
Restart decide_restart(const RestartPolicy& policy, const Ended& ended);
/// After a reboot of the machine, or when nobody saw the end: always and unless-stopped come back, on-failure does not (as with dockerd).
bool restarts_at_boot(const RestartPolicy& policy, bool stopped_by_user);

}  // namespace engine::supervisor
