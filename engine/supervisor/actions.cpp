// What a plan can ask of a container, stopping apart (stop.cpp). Every action may be repeated after a crash half-way.
#include <signal.h>

#include "base/log.h"
#include "base/sys.h"
#include "engine/api/types_json.h"
#include "engine/store/info.h"
#include "engine/supervisor/collect.h"
#include "engine/supervisor/health_monitor.h"
#include "engine/supervisor/notes.h"
#include "engine/supervisor/project.h"

namespace engine::supervisor {

using base::ErrorKind;
using base::make_error;

Task<Result<>> Project::create(ContainerSpec spec) {
  const std::string name = spec.name;
  if (const auto existing = find(name)) {
    if ((*existing)->spec == spec) co_return Result<>();  // told again after a crash
    co_return make_error(ErrorKind::exists, "the container name " + name + " is already in use");
  }
  auto made_work = on_worker([&backend = backend_, spec] { return backend.make(spec, std::nullopt); });
  auto made = co_await std::move(made_work);
  if (!made) co_return std::move(made).error();
  auto inserted = store_.insert_container(*made);
  if (!inserted && inserted.error().kind == ErrorKind::exists) {
    auto other = store_.container_by_name(name);
    const std::string owner = other && *other ? " by project " + (**other).project : "";
    inserted = make_error(ErrorKind::exists, "the container name " + name + " is already in use" + owner);
  }
  if (!inserted) {
    co_await unmake(*std::move(made), std::move(spec), {});
    co_return inserted;
  }
  auto container = std::make_shared<Container>(io_, *std::move(made), std::move(spec));
  containers_[name] = container;
  announce(*container, "create");
  co_return Result<>();
}

/// Takes back what was made for a container that got no record, but not what the container it was to replace owns.
Task<> Project::unmake(store::ContainerRecord record, ContainerSpec spec, std::string kept_volumes_json) {
  using Volumes = std::map<std::string, std::string>;
  auto volumes = from_json<Volumes>(record.volumes_json);
  const auto kept = kept_volumes_json.empty() ? Result<Volumes>(Volumes{}) : from_json<Volumes>(kept_volumes_json);
  if (volumes && kept) {
    std::erase_if(*volumes, [&](const auto& volume) {
      return std::any_of(kept->begin(), kept->end(), [&](const auto& one) { return one.second == volume.second; });
    });
    record.volumes_json = to_json(*volumes);
    auto work = on_worker([&backend = backend_, record, spec] { return backend.remove(record, spec, true); });
    auto undone = co_await std::move(work);
    if (!undone) base::log::warning("supervisor", record.name + ": " + undone.error().text());
  }
}

Task<Result<>> Project::recreate(action::RecreateContainer action) {
  const std::string name = action.spec.name;
  auto current = find(name);
  auto old = find(action.old_id);
  if (current && (!old || *old != *current)) {
    // The new one is in place already: a plan told again. Only the old one may be left.
    if (!((*current)->spec == action.spec))
      co_return make_error(ErrorKind::exists, "the container name " + name + " is already in use");
    if (!old) co_return Result<>();
    const ContainerPtr rest = *old;
    auto held = co_await hold(rest);
    co_return co_await remove_held(rest, false);
  }
  if (!old) co_return co_await create(action.spec);

  const ContainerPtr before = *old;
  auto held = co_await hold(before);
  if (before->gone) co_return make_error(ErrorKind::not_found, "no such container: " + name);
  auto stopped = co_await stop_held(before, action.timeout);
  if (!stopped) co_return stopped;
  auto made_work = on_worker(
      [&backend = backend_, spec = action.spec, row = before->record] { return backend.make(spec, row); });
  auto made = co_await std::move(made_work);
  if (!made) co_return std::move(made).error();

  // One transaction moves the name: at any moment either the old or the new container owns it.
  auto swap = [&]() -> Result<> {
    ASSIGN_OR_RETURN(auto transaction, store_.begin());
    if (before->record.name == name) TRY(store_.rename_container(before->record.id, before->record.id.substr(0, 12) + "_" + name));
    auto run = before->record.run;
    run.engine_json = notes::removing;
    TRY(store_.update_run(before->record.id, run));
    TRY(store_.insert_container(*made));
    return transaction.commit();
  };
  auto swapped = swap();
  if (!swapped) {
    co_await unmake(*std::move(made), std::move(action.spec), before->record.volumes_json);
    co_return swapped;
  }
  containers_.erase(before->record.name);
  before->record.name = before->record.id.substr(0, 12) + "_" + name;
  containers_[before->record.name] = before;
  auto container = std::make_shared<Container>(io_, *std::move(made), std::move(action.spec));
  containers_[name] = container;
  announce(*container, "create");
  co_return co_await remove_held(before, false);
}

Task<Result<>> Project::start(std::string name) {
  auto found = find(name);
  if (!found) co_return std::move(found).error();
  const ContainerPtr container = *found;
  auto held = co_await hold(container);
  if (container->gone) co_return make_error(ErrorKind::not_found, "no such container: " + name);
  container->restart_delay = Nanoseconds(0);
  container->record.run.restart_count = 0;
  co_return co_await start_held(container);
}

Task<Result<>> Project::start_held(ContainerPtr container) {
  while (container->ending) co_await container->changed.wait();
  if (container->runs()) co_return Result<>();
  auto& run = container->record.run;
  ++container->life;
  const auto previous = run.state == ContainerState::restarting ? ContainerState::exited : run.state;
  run.engine_json = notes::starting;
  run.boot_id = store::boot_id();
  run.stopped_by_user = false;
  run.oom_killed = false;
  run.error.clear();
  run.health_log_json.clear();
  save(*container);

  auto failed = [&](base::Error error, int exit_code) {
    run.state = previous;
    run.error = error.text();
    run.exit_code = exit_code;
    run.finished = store::now_ns();
    run.engine_json.clear();
    save(*container);
    if (container->logs) {
      container->logs->end_listeners(exit_code);
      container->logs->close();
      container->logs.reset();
    }
    container->changed.notify();
    return error;
  };
  if (auto opened = open_logs(*container); !opened) co_return failed(opened.error(), 128);
  auto ends = container->logs->container_ends();
  if (!ends) co_return failed(ends.error(), 128);
  auto streams = std::make_shared<Streams>(Streams{std::move(ends->input), std::move(ends->output), std::move(ends->error)});
  auto traits_work = on_worker([&backend = backend_, spec = container->spec] { return backend.traits(spec); });
  auto traits = co_await std::move(traits_work);
  if (!traits) co_return failed(traits.error(), 128);
  container->traits = *std::move(traits);
  auto started_work = on_worker([&backend = backend_, record = container->record, spec = container->spec, streams] {
    return backend.start(record, spec, std::move(*streams));
  });
  auto started = co_await std::move(started_work);
  // Docker's exit codes for what could not be started.
  if (!started) {
    const auto kind = started.error().kind;
    co_return failed(started.error(), kind == ErrorKind::not_found ? 127 : kind == ErrorKind::permission ? 126 : 128);
  }

  run.state = ContainerState::running;
  run.pid = started->pid;
  run.pid_start = store::process_start(started->pid);
  run.started = store::now_ns();
  run.finished = 0;
  run.exit_code.reset();
  run.endpoints_json = to_json(started->endpoints);
  run.ports_json = to_json(started->ports);
  run.command_json = to_json(container->traits.command);
  run.health = container->traits.health ? HealthState::starting : HealthState::none;
  run.engine_json.clear();
  save(*container);
  container->rebooted = false;
  container->reported.reset();
  container->up_since = Clock::now();
  container->pidfd = std::move(started->pidfd);
  if (started->terminal.valid())
    if (auto set = container->logs->set_terminal(std::move(started->terminal)); !set)
      base::log::warning("supervisor", container->record.name + ": " + set.error().text());
  watch(container);
  announce(*container, "start");
  container->health.reset();
  if (container->traits.health) {
    container->health = std::make_shared<HealthMonitor>(*this, container, *container->traits.health);
    container->health->started();
  }
  container->changed.notify();
  for (std::size_t i = 0; i < container->spec.post_start.size() && container->runs(); ++i) {
    auto done = co_await run_hook(container, container->spec.post_start[i]);
    if (!done) co_return std::move(done).with("post_start hook of " + container->record.name);
  }
  co_return Result<>();
}

Task<Result<>> Project::run_hook(ContainerPtr container, Hook hook) {
  ExecRequest request{hook.command, hook.user, hook.working_dir, hook.env, hook.privileged};
  auto exec_work = on_worker([&backend = backend_, record = container->record, spec = container->spec, request] {
    return backend.exec(record, spec, request);
  });
  auto exec = co_await std::move(exec_work);
  if (!exec) co_return std::move(exec).error();
  auto collected = co_await collect(io_, *exec);
  if (collected.status.code == 0) co_return Result<>();
  while (collected.output.ends_with('\n')) collected.output.pop_back();
  co_return make_error(ErrorKind::io, "exit status " + std::to_string(collected.status.code) +
                                          (collected.output.empty() ? "" : ": " + collected.output));
}

Task<Result<>> Project::pause(std::string name, bool paused) {
  auto found = find(name);
  if (!found) co_return std::move(found).error();
  const ContainerPtr container = *found;
  auto held = co_await hold(container);
  const auto wanted = paused ? ContainerState::paused : ContainerState::running;
  if (container->record.run.state == wanted) co_return Result<>();
  if (!container->runs())
    co_return make_error(ErrorKind::unavailable, "container " + name + " is not running");
  auto frozen_work = on_worker([&backend = backend_, record = container->record, spec = container->spec, paused] {
    return backend.freeze(record, spec, paused);
  });
  auto frozen = co_await std::move(frozen_work);
  if (!frozen) co_return frozen;
  if (!container->runs()) co_return Result<>();
  container->record.run.state = wanted;
  save(*container);
  if (container->health) paused ? container->health->paused() : container->health->resumed();
  announce(*container, paused ? "pause" : "unpause");
  container->changed.notify();
  co_return Result<>();
}

Task<Result<>> Project::remove(action::RemoveContainer action) {
  auto found = find(action.name);
  if (!found) co_return Result<>();
  const ContainerPtr container = *found;
  auto held = co_await hold(container);
  if (container->gone) co_return Result<>();
  if (container->runs()) {
    if (!action.force)
      co_return make_error(ErrorKind::invalid, "container " + action.name + " is running: stop it first, or force its removal");
    auto stopped = co_await stop_held(container, Nanoseconds(0));
    if (!stopped) co_return stopped;
  }
  co_return co_await remove_held(container, action.volumes);
}

Task<Result<>> Project::remove_held(ContainerPtr container, bool volumes) {
  while (container->ending) co_await container->changed.wait();
  ++container->life;
  container->record.run.engine_json = volumes ? notes::removing_volumes : notes::removing;
  save(*container);
  if (container->logs) {
    container->logs->end_listeners(container->record.run.exit_code);
    container->logs->close();
    container->logs.reset();
  }
  auto removed_work = on_worker([&backend = backend_, record = container->record, spec = container->spec, volumes] {
    return backend.remove(record, spec, volumes);
  });
  auto removed = co_await std::move(removed_work);
  if (!removed) co_return removed;
  auto deleted = store_.remove_container(container->record.id);
  if (!deleted) co_return deleted;
  announce(*container, "destroy");
  forget(container);
  co_return Result<>();
}

Task<Result<>> Project::connect(action::ConnectNetwork action) {
  auto found = find(action.container);
  if (!found) co_return std::move(found).error();
  const ContainerPtr container = *found;
  auto held = co_await hold(container);
  auto& networks = container->spec.networks;
  std::erase_if(networks, [&](const auto& attachment) { return attachment.network == action.attachment.network; });
  if (container->runs()) {
    auto endpoints_work = on_worker([&backend = backend_, record = container->record, spec = container->spec,
                                         attachment = action.attachment] { return backend.connect(record, spec, attachment); });
    auto endpoints = co_await std::move(endpoints_work);
    if (!endpoints) co_return std::move(endpoints).error();
    container->record.run.endpoints_json = to_json(*endpoints);
  }
  networks.push_back(action.attachment);
  container->record.spec_json = to_json(container->spec);
  auto saved = store_.update_container(container->record);
  if (saved) events_.object("network", "connect", action.attachment.network);
  co_return saved;
}

Task<Result<>> Project::disconnect(action::DisconnectNetwork action) {
  auto found = find(action.container);
  if (!found) co_return Result<>();
  const ContainerPtr container = *found;
  auto held = co_await hold(container);
  if (container->runs()) {
    auto endpoints_work = on_worker([&backend = backend_, record = container->record, spec = container->spec,
                                         network = action.network] { return backend.disconnect(record, spec, network); });
    auto endpoints = co_await std::move(endpoints_work);
    if (!endpoints) co_return std::move(endpoints).error();
    container->record.run.endpoints_json = to_json(*endpoints);
  }
  std::erase_if(container->spec.networks, [&](const auto& attachment) { return attachment.network == action.network; });
  container->record.spec_json = to_json(container->spec);
  auto saved = store_.update_container(container->record);
  if (saved) events_.object("network", "disconnect", action.network);
  co_return saved;
}

Task<Result<>> Project::wait(action::WaitContainer action, std::shared_ptr<Cancel> cancel, std::string& word) {
  using Condition = action::WaitContainer::Condition;
  auto found = find(action.name);
  if (!found) co_return std::move(found).error();
  const ContainerPtr container = *found;
  const std::string who = "container " + action.name;
  std::optional<Clock::time_point> deadline;
  if (action.timeout) deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(*action.timeout);
  while (true) {
    const auto& run = container->record.run;
    const bool up = container->runs();
    const bool over = !up && !container->ending && !container->busy && run.state == ContainerState::exited;
    const std::string code = run.exit_code ? std::to_string(*run.exit_code) : "unknown";
    if (cancel->requested) co_return make_error(ErrorKind::cancelled, "cancelled");
    if (container->gone) co_return make_error(ErrorKind::not_found, who + " was removed");
    if (action.condition == Condition::completed) {
      word = "Exited";
      if (over && run.exit_code == 0) co_return Result<>();
      if (over) co_return make_error(ErrorKind::unavailable, who + " exited (" + code + ")");
    } else {
      const bool health = action.condition != Condition::started && container->traits.health.has_value();
      word = action.condition == Condition::started ? "Started" : "Healthy";
      if (up && health && run.health == HealthState::healthy) co_return Result<>();
      if (up && health && run.health == HealthState::unhealthy) co_return make_error(ErrorKind::unavailable, who + " is unhealthy");
      if (up && !health && action.condition == Condition::healthy)
        co_return make_error(ErrorKind::invalid, who + " has no healthcheck configured");
      if (up && !health) co_return Result<>();
      if (over && action.condition == Condition::started && run.started > 0) co_return Result<>();
      if (over) co_return make_error(ErrorKind::unavailable, who + " exited (" + code + ")");
    }
    const bool notified = co_await container->changed.wait(deadline);
    if (!notified && deadline && Clock::now() >= *deadline)
      co_return make_error(ErrorKind::timeout, who + ": " + (action.condition == Condition::completed ? "did not end" : "is not healthy") +
                                                   " within the time limit");
  }
}

}  // namespace engine::supervisor
