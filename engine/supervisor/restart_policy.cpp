#include "engine/supervisor/restart_policy.h"

namespace engine::supervisor {
using namespace std::chrono_literals;

Restart decide_restart(const RestartPolicy& policy, const Ended& ended) {
  using Mode = RestartPolicy::Mode;
  if (ended.stopped_by_user || policy.mode == Mode::no) return {};
  if (policy.mode == Mode::on_failure) {
    if (ended.exit_code == 0) return {};
    if (policy.max_retries > 0 && ended.restarts >= policy.max_retries) return {};
  }
  if (policy.delay) return {true, *policy.delay};
  const bool settled = ended.ran >= policy.window.value_or(10s);
  if (settled || ended.last_delay == 0ns) return {true, 100ms};
  return {true, std::min<Nanoseconds>(ended.last_delay * 2, 1min)};
}

bool restarts_at_boot(const RestartPolicy& policy, bool stopped_by_user) {
  return !stopped_by_user && (policy.mode == RestartPolicy::Mode::always || policy.mode == RestartPolicy::Mode::unless_stopped);
}

}  // namespace engine::supervisor
