// Life and death of containers: watching processes, what follows from an end, taking over from a killed supervisor.
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/log.h"
#include "base/memory.h"
#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/api/types_json.h"
#include "engine/store/info.h"
#include "engine/supervisor/exit_info.h"
#include "engine/supervisor/health_monitor.h"
#include "engine/supervisor/notes.h"
#include "engine/supervisor/project.h"
#include "engine/supervisor/restart_policy.h"

namespace engine::supervisor {
namespace {

void complain(const Container& container, const base::Error& error) {
  base::log::warning("supervisor", container.record.name + ": " + error.text());
}

}  // namespace

Project::Project(asio::io_context& io, asio::thread_pool& workers, std::string name, Backend& backend, store::Store store,
                 KeeperLink keeper)
    : io_(io), workers_(workers), name_(std::move(name)), backend_(backend), store_(std::move(store)), keeper_(std::move(keeper)),
      events_(name_) {}

Project::Hold::~Hold() {
  if (!container_) return;
  container_->busy = false;
  container_->changed.notify();
  project_->quiet();
}

Task<Project::Hold> Project::hold(ContainerPtr container) {
  while (container->busy) co_await container->changed.wait();
  container->busy = true;
  co_return Hold(*this, std::move(container));
}

Result<ContainerPtr> Project::find(const std::string& name) const {
  if (const auto found = containers_.find(name); found != containers_.end()) return found->second;
  for (const auto& [ignored, container] : containers_)
    if (container->record.id == name) return container;
  return base::make_error(base::ErrorKind::not_found, "no such container: " + name);
}

Result<> Project::open_logs(Container& container) {
  if (container.logs) return {};
  // Its folder is going: a log opened now would be all that is left of it.
  if (container.gone || notes::is_removal(container.record.run.engine_json))
    return base::make_error(base::ErrorKind::not_found, "no such container: " + container.record.name);
  ASSIGN_OR_RETURN(auto settings, logs::parse_settings(container.spec.log_driver, container.spec.log_options));
  ASSIGN_OR_RETURN(container.logs, LogPump::open(io_, keeper_,
                                                 {.project = name_, .id = container.record.id, .settings = settings,
                                                  .tty = container.spec.tty, .stdin_open = container.spec.stdin_open}));
  return {};
}

void Project::save(Container& container) {
  if (container.gone) return;
  if (auto saved = store_.update_run(container.record.id, container.record.run); !saved) complain(container, saved.error());
}

void Project::announce(Container& container, std::string action, std::map<std::string, std::string> more) {
  events_.container(container.record, container.spec, std::move(action), std::move(more));
}

void Project::forget(const ContainerPtr& container) {
  container->gone = true;
  ++container->life;
  if (container->logs) container->logs->end_listeners(container->record.run.exit_code);
  container->logs.reset();
  container->health.reset();
  const auto found = containers_.find(container->record.name);
  if (found != containers_.end() && found->second == container) containers_.erase(found);
  container->changed.notify();
}

void Project::quiet() {
  if (on_quiet && idle()) on_quiet();
}

void Project::rest_soon() {
  resting_.expires_after(std::chrono::milliseconds(5));
  resting_.async_wait([this](const boost::system::error_code& failed) {
    if (failed || plans_ > 0 || adopting_ > 0) return;
    backend_.rest();
    store_.release_memory();
    base::release_memory();
  });
}

bool Project::idle() const {
  if (plans_ > 0 || adopting_ > 0) return false;
  return std::all_of(containers_.begin(), containers_.end(), [](const auto& entry) {
    const Container& container = *entry.second;
    return !container.pidfd.valid() && !container.ending && !container.busy &&
           container.record.run.state != ContainerState::restarting;
  });
}

Result<> Project::keeper_news() {
  ASSIGN_OR_RETURN(auto exits, keeper_.exits());
  for (const auto& exit : exits) {
    const auto status = base::ExitStatus::from_wait(exit.wait_status);
    bool ours = false;
    for (auto& [ignored, container] : containers_) {
      if (container->record.run.pid != exit.pid || !container->pidfd.valid()) continue;
      container->reported = status;
      container->changed.notify();
      ours = true;
    }
    // During adoption the records are not all looked at yet; otherwise it was a helper of a killed supervisor.
    if (!ours && adopting_ > 0) unclaimed_.push_back(exit);
    else if (!ours) TRY(keeper_.acknowledge(exit.pid));
  }
  return {};
}

void Project::watch(const ContainerPtr& container) {
  if (auto copy = base::sys::dup(container->pidfd.borrow())) spawn(io_, watch_process(container, *std::move(copy)));
  else complain(*container, copy.error());
}

Task<> Project::watch_process(ContainerPtr container, base::UniqueFd pidfd) {
  {
    asio::posix::stream_descriptor watched(io_, pidfd.number());
    boost::system::error_code failed;
    co_await watched.async_wait(asio::posix::stream_descriptor::wait_read, asio::redirect_error(use_task, failed));
    (void)watched.release();
  }
  auto status = co_await learn_exit(container, pidfd.borrow());
  co_await ended(container, status);
}

Task<std::optional<base::ExitStatus>> Project::learn_exit(ContainerPtr container, base::Fd pidfd) {
  if (auto status = reap(pidfd)) co_return status;
  // Not our child: the keeper's, or after its end somebody else's. Whoever reaps it, the keeper tells or the kernel remembers.
  const auto deadline = Clock::now() + std::chrono::seconds(2);
  while (Clock::now() < deadline) {
    if (container->reported) co_return container->reported;
    if (auto status = zombie_exit(container->record.run.pid, container->record.run.pid_start)) co_return status;
    if (auto status = remembered_exit(pidfd)) co_return status;
    co_await container->changed.wait(std::min(deadline, Clock::now() + std::chrono::milliseconds(20)));
  }
  co_return std::nullopt;
}

Task<> Project::ended(ContainerPtr container, std::optional<base::ExitStatus> status) {
  auto& run = container->record.run;
  const pid_t pid = run.pid;
  const auto ran = Clock::now() - container->up_since;
  ++container->life;
  container->ending = true;
  container->pidfd.reset();
  if (container->health) container->health->stopped();
  while (container->logs && container->logs->expects_listener()) co_await container->changed.wait(Clock::now() + std::chrono::milliseconds(5));
  if (container->logs) container->logs->drain();

  auto oom_work = on_worker([&backend = backend_, record = container->record, spec = container->spec] {
    return backend.oom_killed(record, spec);
  });
  auto oom = co_await std::move(oom_work);
  run.oom_killed = oom;
  run.exit_code = status ? std::optional(status->code) : std::nullopt;
  run.state = ContainerState::exited;
  run.pid = 0;
  run.finished = store::now_ns();
  run.engine_json = notes::ending;
  save(*container);  // the exit code first: what comes now may be cut short
  (void)!keeper_.acknowledge(pid).has_value();
  if (oom) announce(*container, "oom");
  announce(*container, "die", {{"exitCode", run.exit_code ? std::to_string(*run.exit_code) : "unknown"},
                               {"execDuration", std::to_string(std::chrono::duration_cast<std::chrono::seconds>(ran).count())}});
  co_await finish_removals(container);
  plan_restart(container, ran);
}

Task<> Project::cut_links(ContainerPtr container) {
  if (container->spec.networks.empty()) co_return;
  bool cut = false;
  cutting_.waiting.emplace_back(container, &cut);
  while (cutting_.busy && !cut) co_await cutting_.done.wait();
  if (cut) co_return;
  cutting_.busy = true;
  const auto round = std::exchange(cutting_.waiting, {});
  std::vector<std::pair<store::ContainerRecord, ContainerSpec>> items;
  for (const auto& [member, ignored] : round) items.emplace_back(member->record, member->spec);
  auto cut_work = on_worker([&backend = backend_, items = std::move(items)] {
    backend.cut_links(items);
    return true;
  });
  (void)co_await std::move(cut_work);
  for (const auto& [member, flag] : round) *flag = true;
  cutting_.busy = false;
  cutting_.done.notify();
}

/// The second half of an end: gives back what the container had.
Task<> Project::finish_removals(ContainerPtr container) {
  co_await cut_links(container);
  auto released_work = on_worker([&backend = backend_, record = container->record, spec = container->spec] {
    return backend.release(record, spec);
  });
  auto released = co_await std::move(released_work);
  if (!released) complain(*container, released.error());
  if (container->logs) {
    container->logs->drain();
    container->logs->end_listeners(container->record.run.exit_code);
    container->logs->close();
    container->logs.reset();
  }
  auto& run = container->record.run;
  run.endpoints_json.clear();
  run.ports_json.clear();
  run.engine_json.clear();
  save(*container);
  container->reported.reset();
  container->ending = false;
  container->changed.notify();
  quiet();
}

void Project::plan_restart(const ContainerPtr& container, Nanoseconds ran) {
  auto& run = container->record.run;
  if (container->gone) return;
  if (container->spec.auto_remove) {
    spawn(io_, [](Project& self, ContainerPtr target) -> Task<> {
      auto held = co_await self.hold(target);
      if (target->gone || target->runs()) co_return;
      auto removed = co_await self.remove_held(target, true);
      if (!removed) complain(*target, removed.error());
    }(*this, container));
    return;
  }
  if (container->rebooted && !restarts_at_boot(container->spec.restart, run.stopped_by_user)) return;
  const auto decision = decide_restart(container->spec.restart, {.exit_code = run.exit_code, .ran = ran, .restarts = run.restart_count,
                                                                  .stopped_by_user = run.stopped_by_user,
                                                                  .last_delay = container->restart_delay});
  if (!decision.again) return;
  container->restart_delay = decision.delay;
  run.state = ContainerState::restarting;
  save(*container);
  container->changed.notify();
  spawn(io_, restart_later(container, container->life, decision.delay));
}

Task<> Project::restart_later(ContainerPtr container, unsigned life, Nanoseconds delay) {
  const auto due = Clock::now() + std::chrono::duration_cast<Clock::duration>(delay);
  while (Clock::now() < due && container->life == life) co_await container->changed.wait(due);
  if (container->life != life) co_return;
  auto held = co_await hold(container);
  if (container->life != life || container->gone || container->runs()) co_return;
  ++container->record.run.restart_count;
  auto started = co_await start_held(container);
  if (started) co_return;
  complain(*container, started.error());
  plan_restart(container, Nanoseconds(0));
}

Result<> Project::adopt() {
  ASSIGN_OR_RETURN(auto rows, store_.containers(name_));
  for (auto& row : rows) {
    auto spec = from_json<ContainerSpec>(row.spec_json);
    if (!spec) {
      base::log::error("supervisor", row.name + ": " + spec.error().text());
      continue;
    }
    auto container = std::make_shared<Container>(io_, std::move(row), *std::move(spec));
    containers_[container->record.name] = container;
    container->busy = true;  // actions wait until it is taken over
    ++adopting_;
  }
  TRY(keeper_news());  // exits from before are claimed by pid as each is taken over
  // A copy: taking over may remove containers.
  const auto all = containers_;
  for (const auto& [ignored, container] : all) spawn(io_, adopt_one(container));
  return {};
}

Task<> Project::adopt_one(ContainerPtr container) {
  {
    Hold held(*this, container);
    co_await take_over(container);
  }
  if (--adopting_ > 0) co_return;
  for (const auto& exit : std::exchange(unclaimed_, {})) (void)!keeper_.acknowledge(exit.pid).has_value();
  for (const auto& name : keeper_.names()) (void)!keeper_.drop(name).has_value();
  rest_soon();
  quiet();
}

Task<> Project::take_over(ContainerPtr container) {
  auto& run = container->record.run;
  const bool same_boot = run.boot_id.empty() || run.boot_id == store::boot_id();
  container->rebooted = !same_boot;
  if (notes::is_removal(run.engine_json)) {
    auto removed = co_await remove_held(container, run.engine_json == notes::removing_volumes);
    if (!removed) complain(*container, removed.error());
    co_return;
  }
  if (run.engine_json == notes::starting && same_boot) {
    // A start cut short. If the process is there, it counts as started.
    auto pid_work = on_worker([&backend = backend_, id = container->record.id] { return backend.find(id); });
    auto pid = co_await std::move(pid_work);
    if (pid && *pid) {
      run.pid = **pid;
      run.pid_start = store::process_start(run.pid);
      run.boot_id = store::boot_id();
      run.state = ContainerState::running;
      run.started = store::now_ns();
    }
  }
  const bool recorded_alive = run.state == ContainerState::running || run.state == ContainerState::paused;
  if (recorded_alive && same_boot) {
    auto pidfd = base::sys::pidfd_open(run.pid);
    if (pidfd && store::process_runs(run)) {
      container->pidfd = *std::move(pidfd);
      run.engine_json.clear();
      save(*container);
      const auto lived = std::chrono::nanoseconds(std::max<WallNs>(store::now_ns() - run.started, 0));
      container->up_since = Clock::now() - std::chrono::duration_cast<Clock::duration>(lived);
      if (auto opened = open_logs(*container); !opened) complain(*container, opened.error());
      watch(container);
      auto adopted_work = on_worker([&backend = backend_, record = container->record, spec = container->spec] {
        return backend.adopt(record, spec);
      });
      auto adopted = co_await std::move(adopted_work);
      if (!adopted) complain(*container, adopted.error());
      auto traits_work = on_worker([&backend = backend_, spec = container->spec] { return backend.traits(spec); });
      auto traits = co_await std::move(traits_work);
      if (!traits) complain(*container, traits.error());
      else container->traits = *std::move(traits);
      if (container->traits.health && container->runs()) {
        container->health = std::make_shared<HealthMonitor>(*this, container, *container->traits.health);
        container->health->adopted();
        if (run.state == ContainerState::paused) container->health->paused();
      }
      co_return;
    }
  }
  if (recorded_alive) {
    std::optional<base::ExitStatus> status;
    for (const auto& exit : unclaimed_)
      if (exit.pid == run.pid && same_boot) status = base::ExitStatus::from_wait(exit.wait_status);
    if (!status && same_boot) status = zombie_exit(run.pid, run.pid_start);
    // What it printed last is in the FIFOs the keeper held.
    if (same_boot)
      if (auto opened = open_logs(*container); !opened) complain(*container, opened.error());
    co_await ended(container, status);
    co_return;
  }
  if (!run.engine_json.empty()) {
    if (same_boot)
      if (auto opened = open_logs(*container); !opened) complain(*container, opened.error());
    const bool was_ending = run.engine_json == notes::ending;
    container->ending = true;
    co_await finish_removals(container);
    if (was_ending) plan_restart(container, Nanoseconds(0));
    co_return;
  }
  if (run.state == ContainerState::restarting) {
    container->restart_delay = Nanoseconds(0);
    spawn(io_, restart_later(container, container->life, std::chrono::milliseconds(100)));
  }
}

Task<Result<std::optional<int>>> Project::wait_end(std::string name, std::shared_ptr<Cancel> cancel) {
  auto found = find(name);
  if (!found) co_return std::move(found).error();
  const ContainerPtr container = *found;
  // One that was never started is waited for as well: `run` attaches and waits before it starts.
  const auto over = [&] {
    const auto state = container->record.run.state;
    return container->gone || (!container->busy && !container->pidfd.valid() && !container->ending &&
                               (state == ContainerState::exited || state == ContainerState::dead));
  };
  while (!over()) {
    if (cancel->requested) co_return base::make_error(base::ErrorKind::cancelled, "cancelled");
    co_await container->changed.wait();
  }
  co_return container->record.run.exit_code;
}

}  // namespace engine::supervisor
