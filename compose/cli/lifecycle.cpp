// start stop restart kill rm pause unpause down wait: plans over what exists.
#include <unistd.h>

#include <algorithm>

#include "compose/cli/context.h"
#include "compose/cli/execute.h"
#include "compose/cli/files_loader.h"
#include "compose/cli/globals.h"
#include "compose/cli/images_ready.h"
#include "compose/cli/interrupts.h"
#include "compose/cli/output.h"
#include "compose/cli/prompt.h"
#include "compose/cli/verbs.h"
#include "engine/client/client.h"

namespace compose::cli {

using base::ErrorKind;
using base::make_error;
using base::Result;
using reconcile::Options;
using Goal = reconcile::Verb;

namespace {

Options options_for(Goal verb, const Parsed& parsed) {
  Options options;
  options.verb = verb;
  options.services = {parsed.arguments.begin(), parsed.arguments.end()};
  options.stop_timeout = seconds(parsed.number("timeout"));
  return options;
}

Result<int> plan_and_run(const View& view, const Options& options, const std::string& heading) {
  ASSIGN_OR_RETURN(const auto decision, reconcile::reconcile(view.desired, view.observed, options));
  return carry_out(view.source.name, decision, {.heading = heading, .show = {}});
}

/// Docker Compose's sentence when a verb on existing containers finds none.
Result<> need_services(const View& view, const std::vector<std::string>& services) {
  for (const auto& name : services) {
    if (find_service(view.desired, name) == nullptr) return make_error(ErrorKind::not_found, "no such service: " + name);
  }
  return {};
}

}  // namespace

Result<int> run_start(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto v, view({.services = parsed.arguments}));
  return plan_and_run(v, options_for(Goal::start, parsed), "Running");
}

Result<int> run_stop(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto v, view({.services = parsed.arguments, .dependencies = load::Dependencies::ignore}));
  return plan_and_run(v, options_for(Goal::stop, parsed), "Stopping");
}

Result<int> run_restart(const Parsed& parsed) {
  ASSIGN_OR_RETURN(auto v, view({}));
  TRY(need_services(v, parsed.arguments));
  auto options = options_for(Goal::restart, parsed);
  options.no_deps = parsed.on("no-deps");
  return plan_and_run(v, options, "Restarting");
}

Result<int> run_kill(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto v, view({.services = parsed.arguments, .dependencies = load::Dependencies::ignore}));
  auto options = options_for(Goal::kill, parsed);
  options.signal = parsed.text("signal", "SIGKILL");
  options.remove_orphans = parsed.on("remove-orphans", switched_on("COMPOSE_REMOVE_ORPHANS"));
  ASSIGN_OR_RETURN(const auto decision, reconcile::reconcile(v.desired, v.observed, options));
  if (decision.plan.steps.empty()) {
    err("no container to kill");
    return 0;
  }
  return carry_out(v.source.name, decision, {.heading = "Killing", .show = {}});
}

Result<int> run_pause(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto v, view({.services = parsed.arguments, .dependencies = load::Dependencies::ignore}));
  return plan_and_run(v, options_for(Goal::pause, parsed), "Pausing");
}

Result<int> run_unpause(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto v, view({.services = parsed.arguments, .dependencies = load::Dependencies::ignore}));
  return plan_and_run(v, options_for(Goal::unpause, parsed), "Unpausing");
}

Result<int> run_rm(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto v, view({.services = parsed.arguments, .dependencies = load::Dependencies::ignore}));
  auto options = options_for(Goal::remove, parsed);
  options.stop_first = parsed.on("stop");
  options.volumes = parsed.on("volumes");
  options.one_offs = true;
  ASSIGN_OR_RETURN(const auto decision, reconcile::reconcile(v.desired, v.observed, options));
  std::string names;
  for (const auto& step : decision.plan.steps) {
    const auto* remove = std::get_if<engine::action::RemoveContainer>(&step.action);
    if (remove != nullptr) names += (names.empty() ? "" : ", ") + remove->name;
  }
  if (names.empty()) {
    err("No stopped containers\n");
    return 0;
  }
  out("Going to remove " + names + "\n");
  if (!parsed.on("force") && !globals().dry_run && !confirm("Are you sure?", !is_terminal(STDIN_FILENO))) return 0;
  return carry_out(v.source.name, decision, {.heading = "Removing", .show = {}});
}

Result<int> run_down(const Parsed& parsed) {
  const std::string rmi = parsed.text("rmi");
  if (!rmi.empty() && rmi != "all" && rmi != "local") return usage_error("invalid value for --rmi: \"" + rmi + "\"");
  ASSIGN_OR_RETURN(auto v, view({.services = parsed.arguments, .dependencies = load::Dependencies::ignore}));
  auto options = options_for(Goal::down, parsed);
  options.remove_orphans = parsed.on("remove-orphans", switched_on("COMPOSE_REMOVE_ORPHANS"));
  options.volumes = parsed.on("volumes");
  if (!rmi.empty()) options.remove_images = rmi == "all" ? reconcile::RemoveImages::all : reconcile::RemoveImages::local;
  if (!rmi.empty() && v.source.project) {
    // Only images that are here are removed; their ids say so.
    ASSIGN_OR_RETURN(const auto images, known_images(*v.source.project));
    for (auto& service : v.desired.services) {
      if (const auto id = images.find(service.spec.image); id != images.end()) service.spec.image_id = id->second;
    }
  }
  return plan_and_run(v, options, "Running");
}

Result<int> run_wait(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto v, view({}));
  TRY(need_services(v, parsed.arguments));
  std::vector<const reconcile::Found*> waiting;
  for (const auto& container : v.observed.containers) {
    const bool wanted = std::find(parsed.arguments.begin(), parsed.arguments.end(), container.service) != parsed.arguments.end();
    const auto state = container.info->state;
    const bool runs = state == engine::ContainerState::running || state == engine::ContainerState::paused || state == engine::ContainerState::restarting;
    if (wanted && !container.one_off && runs) waiting.push_back(&container);
  }
  if (waiting.empty()) return make_error(ErrorKind::not_found, "no containers for project \"" + v.source.name + "\"");
  int code = 0;
  ASSIGN_OR_RETURN(auto interrupts, Interrupts::make(0));
  for (const auto* container : waiting) {
    ASSIGN_OR_RETURN(const auto ended, engine::client::wait(v.source.name, container->name(), interrupts.fd()));
    code = ended.value_or(1);
    out("container \"" + container->name() + "\" exited with status code " + std::to_string(code) + "\n");
    if (parsed.on("down-project")) break;
  }
  if (parsed.on("down-project")) {
    ASSIGN_OR_RETURN(const int down, run_down(Parsed{}));
    if (down != 0) return down;
  }
  return code;
}

}  // namespace compose::cli
