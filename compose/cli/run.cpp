// run: a one-off container of a service, attached to this terminal.
#include "compose/reconcile/run.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>

#include "compose/cli/execute.h"
#include "compose/cli/globals.h"
#include "compose/cli/output.h"
#include "compose/cli/run_flags.h"
#include "compose/cli/session.h"
#include "compose/cli/up.h"
#include "compose/cli/verbs.h"
#include "engine/client/client.h"

namespace compose::cli {

using base::ErrorKind;
using base::make_error;
using base::Result;
using namespace engine;

namespace {

std::string random_slug() {
  std::array<unsigned char, 6> bytes{};
  (void)!::getrandom(bytes.data(), bytes.size(), 0);
  std::string slug;
  for (const unsigned char byte : bytes) {
    slug += "0123456789abcdef"[byte >> 4];
    slug += "0123456789abcdef"[byte & 15];
  }
  return slug;
}

Result<reconcile::RunOptions> run_options(const Parsed& parsed, const model::Project& project) {
  reconcile::RunOptions options;
  options.slug = random_slug();
  options.name = parsed.text("name");
  options.command.assign(parsed.arguments.begin() + 1, parsed.arguments.end());
  if (parsed.given("entrypoint")) options.entrypoint = parsed.text("entrypoint");
  for (const auto& file : parsed.list("env-from-file")) {
    ASSIGN_OR_RETURN(const auto entries, read_env_file(file));
    options.environment.insert(options.environment.end(), entries.begin(), entries.end());
  }
  for (const auto& entry : parsed.list("env")) options.environment.push_back(with_value(entry, project.environment));
  options.cap_add = parsed.list("cap-add");
  options.cap_drop = parsed.list("cap-drop");
  options.labels = parsed.list("label");
  options.user = parsed.text("user");
  options.working_dir = parsed.text("workdir");
  for (const auto& text : parsed.list("publish")) {
    ASSIGN_OR_RETURN(const auto ports, parse_publish(text));
    options.ports.insert(options.ports.end(), ports.begin(), ports.end());
  }
  for (const auto& text : parsed.list("volume")) {
    ASSIGN_OR_RETURN(auto mount, parse_volume(text, project));
    options.mounts.push_back(std::move(mount));
  }
  options.service_ports = parsed.on("service-ports");
  options.use_aliases = parsed.on("use-aliases");
  options.remove = parsed.on("rm");
  options.tty = !parsed.on("no-TTY") && !parsed.on("detach") && parsed.on("tty", true) && is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO);
  options.interactive = parsed.on("interactive", true) && !parsed.on("detach");
  return options;
}

Plan one_step(Action action, const char* reason) {
  Plan plan;
  plan.steps.push_back({.action = std::move(action), .reason = reason, .hazard = Hazard::none, .after = {}});
  return plan;
}

/// Removes what was created but could not be used.
void clean_up(const std::string& project, const std::string& name) {
  const auto plan = one_step(action::RemoveContainer{.name = name, .volumes = true, .force = true}, "run --rm");
  if (const auto removed = client::execute(project, plan, {}); !removed) err(removed.error().text() + "\n");
}

Result<int> start_and_attach(const std::string& project, const reconcile::Service& one_off, const reconcile::RunOptions& options, bool detach) {
  const std::string& name = one_off.fixed_name;
  std::optional<client::Attachment> attachment;
  if (!detach) {
    auto attached = client::attach(project, name);
    if (!attached) {
      if (options.remove) clean_up(project, name);
      return std::move(attached).error();
    }
    attachment.emplace(*std::move(attached));
  }
  auto started = client::execute(project, one_step(action::StartContainer{name}, "run"), {});
  if (!started || !started->ok()) {
    if (options.remove) clean_up(project, name);
    if (!started) return std::move(started).error();
    print_failures(*started);
    return started->cancelled ? 130 : failure_code(*started);
  }
  if (detach) {
    ASSIGN_OR_RETURN(const auto info, client::container(name));
    out(info.id + "\n");
    return 0;
  }
  auto code = run_session(*attachment, {.project = project, .container = name, .tty = options.tty, .input = options.interactive,
                                        .forward_signals = true, .detach_keys = {}});
  // The engine removes it by itself as well; who comes back from `run --rm` must find it gone.
  if (options.remove && code) {
    const auto left = client::container(name);
    if (left && left->state != ContainerState::running && left->state != ContainerState::paused) clean_up(project, name);
  }
  return code;
}

}  // namespace

Result<int> run_run(const Parsed& parsed) {
  const std::string& service_name = parsed.arguments.front();
  if (parsed.on("service-ports") && !parsed.list("publish").empty()) {
    return usage_error("--service-ports and --publish are incompatible");
  }
  if (parsed.on("quiet")) globals().progress = "quiet";
  const bool no_deps = parsed.on("no-deps");
  ASSIGN_OR_RETURN(const auto project, load_project({.services = {service_name},
                                                     .dependencies = no_deps ? load::Dependencies::ignore : load::Dependencies::include}));
  ASSIGN_OR_RETURN(const auto options, run_options(parsed, project));
  ASSIGN_OR_RETURN(auto desired, make_desired(project, {}));
  ASSIGN_OR_RETURN(const auto images, ensure_images(project, {.pull = parsed.text("pull"), .build = parsed.on("build"), .no_build = false,
                                                              .quiet_pull = parsed.on("quiet-pull"), .quiet_build = parsed.on("quiet-build")}));
  for (auto& service : desired.services) {
    if (const auto id = images.find(service.spec.image); id != images.end()) {
      service.spec.image_id = id->second;
      service.spec.labels["com.docker.compose.image"] = id->second;
    }
  }
  const auto* service = find_service(desired, service_name);
  if (service == nullptr) return make_error(ErrorKind::not_found, "no such service: " + service_name);
  const auto one_off = reconcile::one_off(desired, *service, options);
  std::erase_if(desired.services, [&](const reconcile::Service& other) { return other.name == service_name; });
  ASSIGN_OR_RETURN(const auto observed, observe(desired));
  reconcile::Options plan_options;
  plan_options.recreate = plan_options.recreate_deps = reconcile::Recreate::diverged;
  plan_options.remove_orphans = parsed.on("remove-orphans");
  plan_options.ignore_orphans = !plan_options.remove_orphans;
  ASSIGN_OR_RETURN(auto decision, reconcile::reconcile_run(desired, observed, plan_options, one_off));
  std::erase_if(decision.notes, [](const Progress& note) { return note.status == "Running"; });
  ASSIGN_OR_RETURN(const int code, carry_out(project.name, decision, {.heading = "Running", .show = [&](const Progress& progress) {
                                                                        return progress.name != one_off.fixed_name;
                                                                      }}));
  if (code != 0 || globals().dry_run) return code;
  return start_and_attach(project.name, one_off, options, parsed.on("detach"));
}

}  // namespace compose::cli
