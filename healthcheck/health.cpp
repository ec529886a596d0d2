#include "healthcheck/health.h"

#include <algorithm>

namespace healthcheck {
namespace {

/// Failures before this time do not count: Docker would be in its start period, or would not have probed yet.
Time grace_end(const State& state, const Spec& spec) {
  return state.started + std::max(spec.start_period, spec.interval);
}

/// When the next probe is due after one that ended at `now`.
Time next_probe(const State& state, const Spec& spec, Time now) {
  const bool in_start_period = now - state.started < spec.start_period;
  if (state.status != Status::starting) return now + spec.interval;
  Duration wait = in_start_period ? spec.start_interval : spec.interval;
  if (spec.first_delay > Duration::zero() && now < grace_end(state, spec)) {
    // Doubling, until the ordinary interval is reached; 2^30 × 50 ms is beyond any sensible interval.
    const int doublings = std::clamp(state.starting_probes - 1, 0, 30);
    wait = std::min(wait, spec.first_delay * (std::int64_t{1} << doublings));
  }
  return now + wait;
}

struct Machine {
  State state;
  const Spec& spec;
  std::vector<Command> commands;

  void become(Status status) {
    if (state.status == status) return;
    state.status = status;
    commands.emplace_back(command::Changed{status});
  }

  void probe(Time now) {
    state.probing = true;
    state.probe_started = now;
    if (++state.probe == 0) ++state.probe;
    commands.emplace_back(command::RunProbe{state.probe});
    commands.emplace_back(command::ArmTimer{now + spec.timeout});
  }

  void failed(Time now) {
    const bool graced = state.status == Status::starting && state.probe_started < grace_end(state, spec);
    if (!graced && ++state.failing_streak >= spec.retries) become(Status::unhealthy);
    finished(now);
  }

  void finished(Time now) {
    state.probing = false;
    if (state.status == Status::starting) ++state.starting_probes;
    commands.emplace_back(command::ArmTimer{next_probe(state, spec, now)});
  }

  void halt() {
    if (state.probing) commands.emplace_back(command::KillProbe{});
    if (state.active) commands.emplace_back(command::CancelTimer{});
    state.active = state.probing = false;
  }

  void on(const event::Started& started) {
    halt();
    state = State{.active = true, .probe = state.probe, .started = started.at};
    become(Status::starting);
    probe(started.at);
  }

  void on(const event::Adopted& adopted) {
    halt();
    const bool known = adopted.status != Status::none;
    state = State{.status = known ? adopted.status : Status::starting,
                  .failing_streak = adopted.failing_streak,
                  .active = true,
                  .probe = state.probe,
                  .started = adopted.started};
    probe(adopted.at);
  }

  void on(const event::TimerFired& fired) {
    if (!state.active) return;
    if (!state.probing) return probe(fired.at);
    if (fired.at - state.probe_started < spec.timeout) return;
    commands.emplace_back(command::KillProbe{.timed_out = true});
    failed(fired.at);
  }

  void on(const event::ProbeEnded& ended) {
    if (!state.active || !state.probing) return;                    // killed, or of a time before a pause
    if (ended.number != 0 && ended.number != state.probe) return;  // of an earlier one
    if (ended.exit_code != 0) return failed(ended.at);
    state.failing_streak = 0;
    become(Status::healthy);
    finished(ended.at);
  }

  void on(const event::Paused&) { halt(); }

  void on(const event::Resumed& resumed) {
    if (state.active || state.status == Status::none) return;
    state.active = true;
    commands.emplace_back(command::ArmTimer{next_probe(state, spec, resumed.at)});
  }

  void on(const event::Stopped&) {
    halt();
    state.status = Status::none;  // not published: a stopped container's last health stays visible, as in Docker
  }
};

}  // namespace

std::string_view to_string(Status status) {
  switch (status) {
    case Status::none: return "none";
    case Status::starting: return "starting";
    case Status::healthy: return "healthy";
    case Status::unhealthy: return "unhealthy";
  }
  return "none";
}

Step advance(const State& state, const Event& event, const Spec& spec) {
  if (spec.command.empty()) return {state, {}};
  Machine machine{state, spec, {}};
  std::visit([&](const auto& happened) { machine.on(happened); }, event);
  return {machine.state, std::move(machine.commands)};
}

void OutputBuffer::append(std::string_view bytes) {
  const std::size_t room = limit_bytes - kept_.size();
  truncated_ = truncated_ || bytes.size() > room;
  kept_.append(bytes.substr(0, room));
}

std::string OutputBuffer::text() const { return truncated_ ? kept_ + "..." : kept_; }

}  // namespace healthcheck
