#pragma once
// When to probe a container and what the answers mean, as a pure state machine: no clock, no timer, no process in here.
// The caller feeds events and carries out the commands.
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace healthcheck {

using Time = std::chrono::steady_clock::time_point;
using Duration = std::chrono::nanoseconds;

/// What to probe and how often. Defaults are Docker's.
struct Spec {
  std::vector<std::string> command;  ///< argv of the probe (a CMD-SHELL line is already wrapped); empty = no health check
  Duration interval = std::chrono::seconds(30);
  Duration timeout = std::chrono::seconds(30);  ///< then the probe is killed and has failed
  Duration start_period{0};
  Duration start_interval = std::chrono::seconds(5);
  int retries = 3;                   ///< this many counted failures in a row make it unhealthy
  /// While starting, probes repeat after 50 ms, 100 ms, 200 ms… up to the interval that applies, so that a service that
  /// is ready after 80 ms does not look unready for 30 s. 0 = keep to the intervals.
  Duration first_delay = std::chrono::milliseconds(50);
  bool operator==(const Spec&) const = default;
};

enum class Status : std::uint8_t { none, starting, healthy, unhealthy };
std::string_view to_string(Status status);  ///< "none", "starting" …

/// Plain data: copy it, compare it, store it.
struct State {
  Status status = Status::none;
  int failing_streak = 0;
  bool active = false;     ///< running and not paused: probes are due
  bool probing = false;    ///< a probe runs
  unsigned probe = 0;      ///< number of the last probe asked for
  int starting_probes = 0; ///< probes ended while starting: the exponent of the back-off
  Time started{};          ///< when the container started
  Time probe_started{};
  bool operator==(const State&) const = default;
};

namespace event {
/// The container runs now. A restarted container starts from scratch.
struct Started { Time at; };
/// A new supervisor took over a running container: `status` and streak are what was recorded last.
struct Adopted { Time at; Time started; Status status = Status::starting; int failing_streak = 0; };
/// The timer asked for by ArmTimer fired. Late or superfluous ones do no harm.
struct TimerFired { Time at; };
/// Probe `number` ended (0: whichever runs). A probe that could not be started counts as exit code -1. The answer of a probe that was
/// killed, or belongs to an earlier life of the container, is ignored.
struct ProbeEnded { Time at; int exit_code = 0; unsigned number = 0; };
struct Paused { Time at; };
struct Resumed { Time at; };
struct Stopped { Time at; };
}  // namespace event
using Event = std::variant<event::Started, event::Adopted, event::TimerFired, event::ProbeEnded, event::Paused,
                           event::Resumed, event::Stopped>;

namespace command {
/// Run Spec::command in the container; answer with ProbeEnded of the same number.
struct RunProbe { unsigned number = 0; };
/// Kill the running probe (SIGKILL). After a timeout, do answer ProbeEnded with its exit code; it counts as failed whatever it is
/// (the machine has recorded the failure already and ignores the answer). After Paused/Stopped the answer is ignored too.
struct KillProbe { bool timed_out = false; };
/// One timer a container: replaces the one before. TimerFired is due at `at`.
struct ArmTimer { Time at; };
struct CancelTimer {};
/// The status changed: publish "health_status: healthy", release waiters.
struct Changed { Status status; };
}  // namespace command
using Command = std::variant<command::RunProbe, command::KillProbe, command::ArmTimer, command::CancelTimer,
                             command::Changed>;

struct Step {
  State state;
  std::vector<Command> commands;  ///< in order
};

/// The one function. Docker's rules: exit code 0 is success, anything else failure; a success makes it healthy at once, also within
/// start_period, and ends the start period; failures of probes begun within start_period (while starting) do not count; `retries`
/// counted failures in a row make it unhealthy; the next probe is due an interval after the last one *ended*.
/// Ours: the first probe runs at once, not after an interval; so failures before the first `interval` has passed do not count either
/// (Docker would not have probed yet).
Step advance(const State& state, const Event& event, const Spec& spec);

/// Keeps what a probe printed: the first 4096 bytes, then "..." when there was more (as Docker does).
class OutputBuffer {
 public:
  static constexpr std::size_t limit_bytes = 4096;
  void append(std::string_view bytes);
  [[nodiscard]] std::string text() const;

 private:
  std::string kept_;
  bool truncated_ = false;
};

}  // namespace healthcheck
