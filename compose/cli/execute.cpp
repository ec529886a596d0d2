#include "compose/cli/execute.h"

#include <algorithm>
#include <set>

#include "compose/cli/context.h"
#include "compose/cli/globals.h"
#include "compose/cli/interrupts.h"
#include "compose/cli/output.h"
#include "compose/cli/progress.h"
#include "compose/reconcile/text.h"
#include "engine/client/client.h"

namespace compose::cli {

using namespace engine;
using base::Result;

namespace {

constexpr int tick_ms = 100;
constexpr int interrupted = 130;  ///< 128 + SIGINT, what Docker Compose ends with

/// Docker Compose's words around each kind of step.
struct Rehearsal {
  std::vector<Progress>& out;
  void say(std::string object, const std::string& name, std::initializer_list<const char*> words) const {
    for (const char* word : words) out.push_back({.object = object, .name = name, .status = word, .error = {}, .step = 0});
  }
  void operator()(const action::CreateNetwork& a) const { say("Network", a.spec.name, {"Creating", "Created"}); }
  void operator()(const action::RemoveNetwork& a) const { say("Network", a.name, {"Removing", "Removed"}); }
  void operator()(const action::CreateVolume& a) const { say("Volume", a.spec.name, {"Creating", "Created"}); }
  void operator()(const action::RemoveVolume& a) const { say("Volume", a.name, {"Removing", "Removed"}); }
  void operator()(const action::CreateContainer& a) const { say("Container", a.spec.name, {"Creating", "Created"}); }
  void operator()(const action::RecreateContainer& a) const { say("Container", a.spec.name, {"Recreate", "Recreated"}); }
  void operator()(const action::StartContainer& a) const { say("Container", a.name, {"Starting", "Started"}); }
  void operator()(const action::StopContainer& a) const { say("Container", a.name, {"Stopping", "Stopped"}); }
  void operator()(const action::RestartContainer& a) const { say("Container", a.name, {"Restarting", "Started"}); }
  void operator()(const action::KillContainer& a) const { say("Container", a.name, {"Killing", "Killed"}); }
  void operator()(const action::PauseContainer& a) const { say("Container", a.name, {"Paused"}); }
  void operator()(const action::UnpauseContainer& a) const { say("Container", a.name, {"Unpaused"}); }
  void operator()(const action::RemoveContainer& a) const { say("Container", a.name, {"Removing", "Removed"}); }
  void operator()(const action::WaitContainer& a) const {
    using enum action::WaitContainer::Condition;
    say("Container", a.name, {"Waiting", a.condition == completed ? "Exited" : "Healthy"});
  }
  void operator()(const action::ConnectNetwork&) const {}
  void operator()(const action::DisconnectNetwork&) const {}
  void operator()(const action::RemoveImage& a) const { say("Image", a.reference, {"Removing", "Removed"}); }
};

int dry_run(const reconcile::Decision& decision, ProgressWriter& writer) {
  out(reconcile::to_text(decision.plan));
  for (const auto& progress : rehearse(decision.plan)) writer.change(to_change(progress));
  writer.finish();
  return 0;
}

}  // namespace

std::vector<Progress> rehearse(const Plan& plan) {
  std::vector<Progress> result;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const auto before = result.size();
    std::visit(Rehearsal{result}, plan.steps[i].action);
    for (std::size_t j = before; j < result.size(); ++j) result[j].step = i;
  }
  return result;
}

namespace {

/// Docker Compose's words when something else was waiting for this container; the bare reason for `up --wait` itself.
std::string told(const StepError& failure, const Plan* plan) {
  const std::string text = failure.error.text();
  if (!plan || failure.step >= plan->steps.size()) return text;
  if (!std::holds_alternative<action::WaitContainer>(plan->steps[failure.step].action)) return text;
  const bool awaited = std::any_of(plan->steps.begin(), plan->steps.end(), [&](const Step& step) {
    return std::find(step.after.begin(), step.after.end(), failure.step) != step.after.end();
  });
  return awaited ? "dependency failed to start: " + text : text;
}

}  // namespace

void print_failures(const Outcome& outcome, const Plan* plan) {
  std::set<std::string> said;
  for (const auto& warning : outcome.warnings) {
    if (said.insert(warning.error.text()).second) warn("optional dependency failed: " + warning.error.text());
  }
  for (const auto& failure : outcome.errors) {
    if (said.insert(failure.error.text()).second) err(told(failure, plan) + "\n");
  }
}

int failure_code(const Outcome& outcome) {
  for (const auto& failure : outcome.errors) {
    const std::string text = failure.error.text();
    if (text.find("executable file not found") != std::string::npos || text.find("exec: ") != std::string::npos) {
      if (text.find("not found") != std::string::npos || text.find("no such file") != std::string::npos) return 127;
      if (text.find("ermission denied") != std::string::npos) return 126;
    }
  }
  return 1;
}

Result<int> carry_out(const std::string& project, const reconcile::Decision& decision, const CarryOut& options) {
  for (const auto& warning : decision.warnings) warn(warning);
  const auto writer = make_progress(options.heading);
  const auto show = [&](const Progress& progress) {
    if (!options.show || options.show(progress)) writer->change(to_change(progress));
  };
  for (const auto& note : decision.notes) show(note);
  if (globals().dry_run) return dry_run(decision, *writer);
  if (decision.plan.steps.empty()) {
    writer->finish();
    return 0;
  }
  ASSIGN_OR_RETURN(auto interrupts, Interrupts::make(tick_ms));
  client::ExecuteOptions execute;
  execute.on_progress = show;
  execute.interrupt = interrupts.fd();
  bool cancelled = false;
  execute.on_interrupt = [&] {
    for (auto wake = interrupts.next(); wake != Wake::none; wake = interrupts.next()) {
      if (wake == Wake::tick) writer->tick();
      cancelled = cancelled || wake == Wake::interrupt || wake == Wake::terminate;
    }
    return cancelled ? client::OnInterrupt::cancel : client::OnInterrupt::go_on;
  };
  auto outcome = client::execute(project, decision.plan, execute);
  writer->finish();
  if (!outcome) return std::move(outcome).error();
  print_failures(*outcome, &decision.plan);
  if (outcome->cancelled || cancelled) return interrupted;
  return outcome->errors.empty() ? 0 : 1;
}

}  // namespace compose::cli
