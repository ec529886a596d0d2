// Stopping and killing.
#include <signal.h>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/log.h"
#include "base/sys.h"
#include "engine/containers/containers.h"
#include "engine/supervisor/deaf.h"
#include "engine/supervisor/health_monitor.h"
#include "engine/supervisor/project.h"

namespace engine::supervisor {
namespace {

using namespace std::chrono_literals;
using base::ErrorKind;
using base::make_error;

/// A shell loop as PID 1 starts a new child for each one that is ended; after so many rounds there is no point in going on.
constexpr int deaf_rounds_max = 5;
/// After the last child of a deaf process ended: time to say its last words before it is killed.
constexpr auto last_words = 100ms;

}  // namespace

Task<> Project::thaw(ContainerPtr container) {
  auto thawing = on_worker([&backend = backend_, record = container->record, spec = container->spec] {
    return backend.freeze(record, spec, false);
  });
  auto thawed = co_await std::move(thawing);
  if (!thawed) base::log::warning("supervisor", container->record.name + ": " + thawed.error().text());
}

Task<Result<>> Project::stop(std::string name, std::optional<Nanoseconds> timeout) {
  auto found = find(name);
  if (!found) co_return Result<>();
  const ContainerPtr container = *found;
  auto held = co_await hold(container);
  if (container->gone) co_return Result<>();
  co_return co_await stop_held(container, timeout);
}

Task<Result<>> Project::stop_held(ContainerPtr container, std::optional<Nanoseconds> timeout) {
  auto& run = container->record.run;
  if (run.state == ContainerState::restarting && !container->runs()) {
    ++container->life;  // the restart that is due is void
    run.state = ContainerState::exited;
    run.stopped_by_user = true;
    save(*container);
    announce(*container, "stop");
    container->changed.notify();
    co_return Result<>();
  }
  if (!container->runs()) {
    if (container->ending) {  // it has just ended by itself, and its restart policy has not been asked yet
      run.stopped_by_user = true;
      save(*container);
    }
    while (container->ending) co_await container->changed.wait();
    co_return Result<>();
  }
  run.stopped_by_user = true;  // recorded first: a restart policy must not act on what follows, whoever sees the end
  save(*container);
  for (std::size_t i = 0; i < container->spec.pre_stop.size() && container->runs(); ++i) {
    auto done = co_await run_hook(container, container->spec.pre_stop[i]);
    if (!done) base::log::warning("supervisor", "pre_stop hook of " + container->record.name + ": " + done.error().text());
  }
  const Nanoseconds grace = timeout.value_or(container->spec.stop_grace.value_or(10s));
  const int signal = container->traits.stop_signal;
  if (container->runs() && grace != 0ns) {
    announce(*container, "kill", {{"signal", std::to_string(signal)}});
    const bool deaf = is_deaf(run.pid, signal);
    if (auto sent = base::sys::pidfd_send_signal(container->pidfd.borrow(), signal); !sent && sent.error().number != ESRCH)
      co_return sent;
    if (run.state == ContainerState::paused) {
      // A frozen process sees no signal before it is thawed.
      co_await thaw(container);
    }
    if (deaf) spawn(io_, signal_deaf(container, signal));
    // A negative grace waits for ever, as `stop -t -1` does with Docker.
    std::optional<Clock::time_point> deadline;
    if (grace > 0ns) deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(grace);
    while (container->runs() && !(deadline && Clock::now() >= *deadline)) co_await container->changed.wait(deadline);
  }
  if (container->runs()) {
    announce(*container, "kill", {{"signal", "9"}});
    (void)!base::sys::pidfd_send_signal(container->pidfd.borrow(), SIGKILL).has_value();
    if (run.state == ContainerState::paused) co_await thaw(container);
  }
  while (container->runs() || container->ending) co_await container->changed.wait();
  announce(*container, "stop");
  co_return Result<>();
}

/// PID 1 would not hear `signal` (deaf.h): its descendants get it instead, and it is killed once none of them is left.
Task<> Project::signal_deaf(ContainerPtr container, int signal) {
  const unsigned life = container->life;
  for (int round = 0; round < deaf_rounds_max && container->life == life; ++round) {
    std::vector<base::UniqueFd> told;
    for (const pid_t pid : descendants(container->record.run.pid)) {
      auto pidfd = base::sys::pidfd_open(pid);
      if (!pidfd) continue;
      (void)!base::sys::pidfd_send_signal(pidfd->borrow(), signal).has_value();
      told.push_back(*std::move(pidfd));
    }
    if (told.empty()) {
      // Its last child just ended: a shell now runs its next command or exits with a code of its own. Let it.
      const auto deadline = Clock::now() + last_words;
      while (round > 0 && container->life == life && container->runs() && Clock::now() < deadline)
        co_await container->changed.wait(deadline);
      break;
    }
    for (auto& pidfd : told) {
      asio::posix::stream_descriptor process(io_, pidfd.number());
      // The end of the container ends them all, so this wait ends at the latest with it.
      boost::system::error_code ignored;
      co_await process.async_wait(asio::posix::stream_descriptor::wait_read, asio::redirect_error(use_task, ignored));
      (void)process.release();
    }
  }
  if (container->life == life && container->runs())
    (void)!base::sys::pidfd_send_signal(container->pidfd.borrow(), SIGKILL).has_value();
}

Task<Result<>> Project::kill(std::string name, std::string signal, bool again) {
  auto found = find(name);
  if (!found) co_return std::move(found).error();
  const ContainerPtr container = *found;
  auto number = containers::parse_signal(signal.empty() ? "SIGKILL" : signal);
  if (!number) co_return std::move(number).error();
  auto held = co_await hold(container);
  if (!container->runs()) {
    if (again) co_return Result<>();  // the first telling ended it
    co_return make_error(ErrorKind::unavailable, "container " + name + " is not running");
  }
  auto& run = container->record.run;
  // What is meant to end it also ends its restarts; a signal for its own use (SIGHUP) does not.
  if (*number == SIGKILL || *number == container->traits.stop_signal) {
    run.stopped_by_user = true;
    save(*container);
  }
  announce(*container, "kill", {{"signal", std::to_string(*number)}});
  auto sent = base::sys::pidfd_send_signal(container->pidfd.borrow(), *number);
  if (!sent && sent.error().number != ESRCH) co_return sent;
  if (*number != SIGKILL) co_return Result<>();
  if (run.state == ContainerState::paused) co_await thaw(container);
  while (container->runs() || container->ending) co_await container->changed.wait();
  co_return Result<>();
}

}  // namespace engine::supervisor
