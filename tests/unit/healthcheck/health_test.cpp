#include "healthcheck/health.h"

#include <catch2/catch.hpp>

using namespace healthcheck;
using namespace std::chrono_literals;

namespace {

const Time zero{};

Spec probe_spec() {
  Spec spec;
  spec.command = {"true"};
  spec.interval = 10s;
  spec.timeout = 3s;
  spec.retries = 3;
  return spec;
}

std::string ms(Time at) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(at - zero).count());
}

std::string text(const Command& command) {
  struct Words {
    std::string operator()(const command::RunProbe&) const { return "probe"; }
    std::string operator()(const command::KillProbe& kill) const { return kill.timed_out ? "kill(timeout)" : "kill"; }
    std::string operator()(const command::ArmTimer& timer) const { return "timer@" + ms(timer.at); }
    std::string operator()(const command::CancelTimer&) const { return "cancel"; }
    std::string operator()(const command::Changed& changed) const { return std::string(to_string(changed.status)); }
  };
  return std::visit(Words{}, command);
}

/// Feeds events and shows the commands of each, and the instant the timer is set to.
struct Run {
  Spec spec;
  State state;
  Time timer{};
  std::string send(const Event& event) {
    auto step = advance(state, event, spec);
    state = step.state;
    std::string out;
    for (const auto& command : step.commands) {
      if (const auto* armed = std::get_if<command::ArmTimer>(&command)) timer = armed->at;
      out += (out.empty() ? "" : " ") + text(command);
    }
    return out;
  }
  /// Lets the timer fire and the probe end `lasting` later with `code`; returns when the next probe is due, in ms.
  std::string probe(int code, Duration lasting = 0s) {
    if (!state.probing) send(event::TimerFired{timer});
    send(event::ProbeEnded{state.probe_started + lasting, code});
    return ms(timer);
  }
};

}  // namespace

TEST_CASE("the first probe runs at once and a success makes the container healthy", "[health]") {
  Run run{probe_spec(), {}, {}};
  CHECK(run.send(event::Started{zero}) == "starting probe timer@3000");
  CHECK(run.send(event::ProbeEnded{zero + 20ms, 0}) == "healthy timer@10020");
  CHECK(run.state.status == Status::healthy);
}

TEST_CASE("while starting, probes back off from 50 ms and failures within the first interval do not count", "[health]") {
  Run run{probe_spec(), {}, {}};
  run.send(event::Started{zero});
  CHECK(run.probe(1) == "50");
  CHECK(run.probe(1) == "150");
  CHECK(run.probe(1) == "350");
  CHECK(run.probe(1) == "750");
  CHECK(run.state.failing_streak == 0);
  for (int i = 0; i < 4; ++i) run.probe(1);
  CHECK(ms(run.timer) == "12750");
  CHECK(run.state.failing_streak == 0);
  run.probe(1);
  run.probe(1);
  CHECK(run.state.status == Status::starting);
  run.probe(1);
  CHECK(run.state.status == Status::unhealthy);
}

TEST_CASE("start_interval bounds the cadence within start_period, interval after it", "[health]") {
  auto spec = probe_spec();
  spec.start_period = 30s;
  spec.start_interval = 2s;
  spec.first_delay = 0s;
  Run run{spec, {}, {}};
  run.send(event::Started{zero});
  CHECK(run.probe(1) == "2000");
  CHECK(run.probe(1, 500ms) == "4500");
  while (run.timer < zero + 30s) run.probe(1);
  CHECK(run.state.failing_streak == 0);
  CHECK(run.state.status == Status::starting);
  const auto before = run.timer;
  run.probe(1);
  CHECK(run.timer - before == 10s);
  CHECK(run.state.failing_streak == 1);
}

TEST_CASE("after a success failures count even within start_period", "[health]") {
  auto spec = probe_spec();
  spec.start_period = 1h;
  spec.retries = 2;
  Run run{spec, {}, {}};
  run.send(event::Started{zero});
  run.probe(0);
  run.probe(1);
  CHECK(run.state.status == Status::healthy);
  run.probe(1);
  CHECK(run.state.status == Status::unhealthy);
  run.probe(0);
  CHECK(run.state.status == Status::healthy);
  CHECK(run.state.failing_streak == 0);
}

TEST_CASE("a probe past its timeout is killed and has failed whatever it answers later", "[health]") {
  auto spec = probe_spec();
  spec.retries = 1;
  Run run{spec, {}, {}};
  run.send(event::Started{zero});
  run.probe(0);
  run.send(event::TimerFired{zero + 10s});
  CHECK(run.send(event::TimerFired{zero + 12s}).empty());
  CHECK(run.send(event::TimerFired{zero + 13s}) == "kill(timeout) unhealthy timer@23000");
  CHECK(run.send(event::ProbeEnded{zero + 13s, 0}).empty());
  CHECK(run.state.status == Status::unhealthy);
}

TEST_CASE("a paused container is not probed and goes on as it was", "[health]") {
  Run run{probe_spec(), {}, {}};
  run.send(event::Started{zero});
  run.probe(0);
  run.send(event::TimerFired{zero + 10s});
  CHECK(run.send(event::Paused{zero + 11s}) == "kill cancel");
  CHECK(run.send(event::ProbeEnded{zero + 11s, 137}).empty());
  CHECK(run.send(event::TimerFired{zero + 13s}).empty());
  CHECK(run.send(event::Resumed{zero + 60s}) == "timer@70000");
  CHECK(run.state.status == Status::healthy);
}

TEST_CASE("an adopted container keeps its status and streak and is probed at once", "[health]") {
  Run run{probe_spec(), {}, {}};
  CHECK(run.send(event::Adopted{zero + 100s, zero, Status::healthy, 2}) == "probe timer@103000");
  CHECK(run.send(event::ProbeEnded{zero + 101s, 1}) == "unhealthy timer@111000");
}

TEST_CASE("a stopped container runs no probe", "[health]") {
  Run run{probe_spec(), {}, {}};
  run.send(event::Started{zero});
  CHECK(run.send(event::Stopped{zero + 1s}) == "kill cancel");
  CHECK(run.send(event::TimerFired{zero + 3s}).empty());
  CHECK(run.send(event::Resumed{zero + 3s}).empty());
  CHECK(run.send(event::Started{zero + 5s}) == "starting probe timer@8000");
}

TEST_CASE("without a command nothing ever happens", "[health]") {
  Run run{Spec{}, {}, {}};
  CHECK(run.send(event::Started{zero}).empty());
  CHECK(run.state == State{});
}

TEST_CASE("probe output is cut after 4096 bytes", "[health]") {
  OutputBuffer buffer;
  buffer.append(std::string(4000, 'a'));
  CHECK(buffer.text().size() == 4000);
  buffer.append(std::string(200, 'b'));
  CHECK(buffer.text().size() == 4099);
  CHECK(buffer.text().ends_with("b..."));
}

TEST_CASE("the answer of an earlier life's probe does not count for the present one", "[health]") {
  Run run{probe_spec(), {}, {}};
  run.send(event::Started{zero});
  const auto old = run.state.probe;
  CHECK(run.send(event::Started{zero + 1s}) == "kill cancel starting probe timer@4000");
  CHECK(run.send(event::ProbeEnded{zero + 1s, 0, old}).empty());
  CHECK(run.state.status == Status::starting);
  CHECK(run.send(event::ProbeEnded{zero + 2s, 0, run.state.probe}) == "healthy timer@12000");
}
