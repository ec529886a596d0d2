#include "engine/supervisor/schedule.h"

namespace engine::supervisor {

Schedule::Schedule(const Plan& plan) : steps_(plan.steps.size()) {
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    steps_[i].optional = plan.steps[i].optional;
    auto after = plan.steps[i].after;
    std::sort(after.begin(), after.end());
    after.erase(std::unique(after.begin(), after.end()), after.end());
    for (const auto earlier : after) {
      if (earlier >= i) {
        valid_ = false;
        return;
      }
      steps_[earlier].releases.push_back(i);
    }
    steps_[i].waits_for = after.size();
    if (after.empty()) ready_.push_back(i);
  }
}

std::vector<std::size_t> Schedule::take_ready() {
  auto out = std::exchange(ready_, {});
  std::sort(out.begin(), out.end());
  running_ += out.size();
  handed_out_ += out.size();
  return out;
}

void Schedule::finished(std::size_t step, bool success) {
  --running_;
  if (!success && !steps_[step].optional) return;
  ++succeeded_;
  for (const auto next : steps_[step].releases)
    if (--steps_[next].waits_for == 0 && !cancelled_) ready_.push_back(next);
}

void Schedule::cancel() {
  cancelled_ = true;
  ready_.clear();
}

}  // namespace engine::supervisor
