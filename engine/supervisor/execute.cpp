// The executor: runs the steps of a plan as the schedule releases them, and tells what happens. It takes no decisions.
#include "engine/api/types_json.h"
#include "engine/supervisor/project.h"
#include "engine/supervisor/schedule.h"

namespace engine::supervisor {
namespace {

/// What is said about a step: its object, and Docker Compose's words before and after.
struct Words {
  std::string object, name, before, after;
};

Words words_of(const Action& action) {
  using namespace engine::action;
  struct Visitor {
    Words operator()(const CreateNetwork& a) { return {"Network", a.spec.name, "Creating", "Created"}; }
    Words operator()(const RemoveNetwork& a) { return {"Network", a.name, "Removing", "Removed"}; }
    Words operator()(const CreateVolume& a) { return {"Volume", a.spec.name, "Creating", "Created"}; }
    Words operator()(const RemoveVolume& a) { return {"Volume", a.name, "Removing", "Removed"}; }
    Words operator()(const CreateContainer& a) { return {"Container", a.spec.name, "Creating", "Created"}; }
    Words operator()(const RecreateContainer& a) { return {"Container", a.spec.name, "Recreate", "Recreated"}; }
    Words operator()(const StartContainer& a) { return {"Container", a.name, "Starting", "Started"}; }
    Words operator()(const StopContainer& a) { return {"Container", a.name, "Stopping", "Stopped"}; }
    Words operator()(const RestartContainer& a) { return {"Container", a.name, "Restarting", "Started"}; }
    Words operator()(const KillContainer& a) { return {"Container", a.name, "Killing", "Killed"}; }
    Words operator()(const PauseContainer& a) { return {"Container", a.name, "", "Paused"}; }
    Words operator()(const UnpauseContainer& a) { return {"Container", a.name, "", "Unpaused"}; }
    Words operator()(const RemoveContainer& a) { return {"Container", a.name, "Removing", "Removed"}; }
    Words operator()(const WaitContainer& a) { return {"Container", a.name, "Waiting", "Healthy"}; }
    Words operator()(const ConnectNetwork&) { return {"Container", "", "", ""}; }
    Words operator()(const DisconnectNetwork&) { return {"Container", "", "", ""}; }
    Words operator()(const RemoveImage& a) { return {"Image", a.reference, "Removing", "Removed"}; }
  };
  return std::visit(Visitor{}, action);
}

}  // namespace

/// One plan under way. Its steps run as coroutines of their own.
class PlanRun : public std::enable_shared_from_this<PlanRun> {
 public:
  PlanRun(Project& project, Plan plan, OnProgress say, std::shared_ptr<Cancel> cancel)
      : project_(project), plan_(std::move(plan)), say_(std::move(say)), cancel_(std::move(cancel)), schedule_(plan_),
        progressed_(project.io_) {}

  Task<Outcome> run() {
    Outcome outcome;
    if (!schedule_.valid()) {
      outcome.errors.push_back({0, "", "", base::make_error(base::ErrorKind::invalid, "plan: a step comes after a later one")});
      co_return outcome;
    }
    while (true) {
      if (cancel_->requested) schedule_.cancel();
      const auto ready = schedule_.take_ready();
      for (const auto step : ready)
        spawn(project_.io_, [](std::shared_ptr<PlanRun> self, std::size_t index) -> Task<> { co_await self->step(index); }(
                                shared_from_this(), step));
      if (!ready.empty()) continue;
      if (schedule_.done()) break;
      co_await progressed_.wait();
    }
    outcome = std::move(outcome_);
    outcome.done = schedule_.succeeded();
    outcome.skipped = schedule_.skipped();
    outcome.cancelled = cancel_->requested && outcome.skipped > 0;
    co_return outcome;
  }
  void wake() { progressed_.notify(); }

 private:
  Task<> step(std::size_t index) {
    const Step& step = plan_.steps[index];
    Words words = words_of(step.action);
    tell(index, words, words.before, "");
    auto result = co_await act(step.action, words);
    if (result) {
      tell(index, words, words.after, "");
    } else {
      tell(index, words, "Error", result.error().text());
      auto& list = step.optional ? outcome_.warnings : outcome_.errors;
      list.push_back({index, words.object, words.name, result.error()});
    }
    schedule_.finished(index, result.has_value());
    progressed_.notify();
  }

  void tell(std::size_t index, const Words& words, const std::string& status, const std::string& error) {
    if (status.empty() || !say_) return;
    say_({.object = words.object, .name = words.name, .status = status, .error = error, .step = index});
  }

  template <class Work>
  Task<Result<>> on_backend(Work work, const char* type, const char* event, std::string name) {
    auto done_work = project_.on_worker(std::move(work));
    auto done = co_await std::move(done_work);
    if (done) project_.events_.object(type, event, name);
    co_return done;
  }

  /// The table of what each kind of step does. Not a coroutine itself: GCC 12 mishandles closures that live across a co_await.
  Task<Result<>> act(const Action& action, Words& words) {
    using namespace engine::action;
    Backend& backend = project_.backend_;
    if (const auto* a = std::get_if<CreateContainer>(&action)) return project_.create(a->spec);
    if (const auto* a = std::get_if<RecreateContainer>(&action)) return project_.recreate(*a);
    if (const auto* a = std::get_if<StartContainer>(&action)) {
      const auto found = project_.find(a->name);
      if (found && (*found)->runs()) words.after = "Running";
      return project_.start(a->name);
    }
    if (const auto* a = std::get_if<StopContainer>(&action)) return project_.stop(a->name, a->timeout);
    if (const auto* a = std::get_if<RestartContainer>(&action)) return restart(*a);
    if (const auto* a = std::get_if<KillContainer>(&action)) return project_.kill(a->name, a->signal, plan_.again);
    if (const auto* a = std::get_if<PauseContainer>(&action)) return project_.pause(a->name, true);
    if (const auto* a = std::get_if<UnpauseContainer>(&action)) return project_.pause(a->name, false);
    if (const auto* a = std::get_if<RemoveContainer>(&action)) return project_.remove(*a);
    if (const auto* a = std::get_if<WaitContainer>(&action)) return project_.wait(*a, cancel_, words.after);
    if (const auto* a = std::get_if<ConnectNetwork>(&action)) return project_.connect(*a);
    if (const auto* a = std::get_if<DisconnectNetwork>(&action)) return project_.disconnect(*a);
    if (const auto* a = std::get_if<CreateNetwork>(&action))
      return on_backend([&backend, spec = a->spec] { return backend.create_network(spec); }, "network", "create", a->spec.name);
    if (const auto* a = std::get_if<RemoveNetwork>(&action))
      return on_backend([&backend, name = a->name] { return backend.remove_network(name); }, "network", "destroy", a->name);
    if (const auto* a = std::get_if<CreateVolume>(&action))
      return on_backend([&backend, spec = a->spec] { return backend.create_volume(spec); }, "volume", "create", a->spec.name);
    if (const auto* a = std::get_if<RemoveVolume>(&action))
      return on_backend([&backend, name = a->name] { return backend.remove_volume(name); }, "volume", "destroy", a->name);
    const auto& image = std::get<RemoveImage>(action);
    return on_backend([&backend, name = image.reference] { return backend.remove_image(name); }, "image", "delete", image.reference);
  }

  Task<Result<>> restart(action::RestartContainer action) {
    auto stopped = co_await project_.stop(action.name, action.timeout);
    if (!stopped) co_return stopped;
    auto started = co_await project_.start(action.name);
    if (!started) co_return started;
    if (const auto found = project_.find(action.name)) project_.announce(**found, "restart");
    co_return Result<>();
  }

  Project& project_;
  Plan plan_;
  OnProgress say_;
  std::shared_ptr<Cancel> cancel_;
  Schedule schedule_;
  Notifier progressed_;
  Outcome outcome_;
};

Task<Outcome> Project::execute(Plan plan, OnProgress on_progress, std::shared_ptr<Cancel> cancel) {
  ++plans_;
  const std::string generation = plan.generation_json;
  const auto run = std::make_shared<PlanRun>(*this, std::move(plan), std::move(on_progress), cancel);
  runs_.push_back(run);
  auto outcome = co_await run->run();
  std::erase_if(runs_, [](const auto& weak) { return weak.expired(); });
  if (outcome.ok() && !generation.empty()) {
    const auto number = store_.add_generation(name_, store::now_ns(), generation);
    if (number) outcome.generation = *number;
    else outcome.warnings.push_back({0, "Project", name_, number.error()});
  }
  --plans_;
  rest_soon();
  quiet();
  co_return outcome;
}

void Project::cancel(Cancel& cancel) {
  cancel.requested = true;
  for (auto& weak : runs_)
    if (auto run = weak.lock()) run->wake();
  for (auto& [ignored, container] : containers_) container->changed.notify();
}

}  // namespace engine::supervisor
