#include "engine/supervisor/health_monitor.h"

#include <signal.h>

#include "engine/api/types_json.h"
#include "engine/supervisor/collect.h"

namespace engine::supervisor {
namespace {

constexpr std::size_t log_length = 5;

healthcheck::Status status_of(HealthState state) {
  return static_cast<healthcheck::Status>(state);
}
HealthState state_of(healthcheck::Status status) {
  return static_cast<HealthState>(status);
}
static_assert(static_cast<int>(HealthState::unhealthy) == static_cast<int>(healthcheck::Status::unhealthy));

}  // namespace

HealthMonitor::HealthMonitor(Project& project, const ContainerPtr& container, healthcheck::Spec spec)
    : project_(project), container_(container), spec_(std::move(spec)), timer_(project.io_) {}

void HealthMonitor::started() { feed(healthcheck::event::Started{Clock::now()}); }

void HealthMonitor::adopted() {
  const auto container = container_.lock();
  if (!container) return;
  const auto log = from_json<std::vector<HealthProbe>>(container->record.run.health_log_json);
  int streak = 0;
  if (log)
    for (const auto& probe : *log) streak = probe.exit_code == 0 ? 0 : streak + 1;
  feed(healthcheck::event::Adopted{Clock::now(), container->up_since, status_of(container->record.run.health), streak});
}

void HealthMonitor::paused() { feed(healthcheck::event::Paused{Clock::now()}); }
void HealthMonitor::resumed() { feed(healthcheck::event::Resumed{Clock::now()}); }
void HealthMonitor::stopped() { feed(healthcheck::event::Stopped{Clock::now()}); }

void HealthMonitor::feed(const healthcheck::Event& event) {
  auto step = healthcheck::advance(state_, event, spec_);
  state_ = step.state;
  for (const auto& command : step.commands) obey(command);
}

void HealthMonitor::obey(const healthcheck::Command& command) {
  using namespace healthcheck::command;
  const auto container = container_.lock();
  if (!container) return;
  if (const auto* run = std::get_if<RunProbe>(&command)) {
    kill_at_once_ = false;
    spawn(project_.io_, [](std::shared_ptr<HealthMonitor> self, unsigned number) -> Task<> { co_await self->probe(number); }(shared_from_this(), run->number));
  } else if (std::holds_alternative<KillProbe>(command)) {
    kill_at_once_ = running_ == nullptr;
    if (running_) (void)!running_->kill(SIGKILL).has_value();
  } else if (const auto* arm = std::get_if<ArmTimer>(&command)) {
    timer_.expires_at(arm->at);
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& failed) {
      if (auto self = weak.lock(); self && !failed) self->feed(healthcheck::event::TimerFired{Clock::now()});
    });
  } else if (std::holds_alternative<CancelTimer>(command)) {
    timer_.cancel();
  } else if (const auto* changed = std::get_if<Changed>(&command)) {
    container->record.run.health = state_of(changed->status);
    project_.save(*container);
    project_.announce(*container, "health_status: " + std::string(healthcheck::to_string(changed->status)));
    container->changed.notify();
  }
}

Task<> HealthMonitor::probe(unsigned number) {
  const auto container = container_.lock();
  if (!container) co_return;
  HealthProbe result;
  result.start = store::now_ns();
  ExecRequest request;
  request.command = spec_.command;
  auto exec_work = project_.on_worker(
      [&backend = project_.backend_, record = container->record, spec = container->spec, request] {
        return backend.exec(record, spec, request);
      });
  auto exec = co_await std::move(exec_work);
  if (!exec) {
    result.exit_code = -1;
    result.output = exec.error().text();
  } else {
    running_ = &exec->process;
    if (kill_at_once_) (void)!exec->process.kill(SIGKILL).has_value();
    auto collected = co_await collect(project_.io_, *exec);
    running_ = nullptr;
    result.exit_code = collected.status.code;
    result.output = std::move(collected.output);
  }
  result.end = store::now_ns();
  record(std::move(result), number);
  co_return;
}

void HealthMonitor::record(HealthProbe probe, unsigned number) {
  const auto container = container_.lock();
  if (!container || !state_.active || number != state_.probe) {  // of an earlier life: not for its log
    feed(healthcheck::event::ProbeEnded{Clock::now(), probe.exit_code, number});
    return;
  }
  auto log = from_json<std::vector<HealthProbe>>(container->record.run.health_log_json);
  std::vector<HealthProbe> entries = log ? *std::move(log) : std::vector<HealthProbe>{};
  const int exit_code = probe.exit_code;
  entries.push_back(std::move(probe));
  if (entries.size() > log_length) entries.erase(entries.begin());
  container->record.run.health_log_json = to_json(entries);
  project_.save(*container);
  feed(healthcheck::event::ProbeEnded{Clock::now(), exit_code, number});
}

}  // namespace engine::supervisor
