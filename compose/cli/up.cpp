#include "compose/cli/up.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "compose/cli/execute.h"
#include "compose/cli/files_loader.h"
#include "compose/cli/globals.h"
#include "compose/cli/output.h"
#include "compose/cli/prompt.h"
#include "compose/cli/verbs.h"
#include "compose/load/config_output.h"
#include "compose/reconcile/text.h"
#include "engine/client/client.h"

namespace compose::cli {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

Result<> incompatible(const Parsed& parsed, std::string_view a, std::string_view b) {
  if (parsed.on(a) && parsed.on(b)) {
    return usage_error("--" + std::string(a) + " and --" + std::string(b) + " are incompatible");
  }
  return {};
}

Result<> check_pull(const std::string& pull, bool build_allowed) {
  for (const auto word : {"", "policy", "always", "missing", "never"}) {
    if (pull == word) return {};
  }
  if (build_allowed && pull == "build") return {};
  return usage_error("invalid --pull option \"" + pull + "\"");
}

Result<Request> request_from(const Parsed& parsed, reconcile::Verb verb) {
  TRY(incompatible(parsed, "force-recreate", "no-recreate"));
  TRY(incompatible(parsed, "build", "no-build"));
  if (parsed.on("always-recreate-deps") && parsed.on("no-recreate")) {
    return usage_error("--always-recreate-deps and --no-recreate are incompatible");
  }
  TRY(check_pull(parsed.text("pull"), verb == reconcile::Verb::create));
  Request request;
  request.services = parsed.arguments;
  request.scale = parsed.list("scale");
  request.no_deps = parsed.on("no-deps");
  request.yes = parsed.on("yes");
  request.images = {.pull = parsed.text("pull"), .build = parsed.on("build"), .no_build = parsed.on("no-build"),
                    .quiet_pull = parsed.on("quiet-pull"), .quiet_build = parsed.on("quiet-build")};
  auto& options = request.options;
  options.verb = parsed.on("no-start") ? reconcile::Verb::create : verb;
  options.services = {parsed.arguments.begin(), parsed.arguments.end()};
  options.recreate = parsed.on("no-recreate")      ? reconcile::Recreate::never
                     : parsed.on("force-recreate") ? reconcile::Recreate::force
                                                   : reconcile::Recreate::diverged;
  options.recreate_deps = parsed.on("no-recreate")            ? reconcile::Recreate::never
                          : parsed.on("always-recreate-deps") ? reconcile::Recreate::force
                                                              : reconcile::Recreate::diverged;
  options.remove_orphans = parsed.on("remove-orphans", switched_on("COMPOSE_REMOVE_ORPHANS"));
  options.ignore_orphans = switched_on("COMPOSE_IGNORE_ORPHANS");
  if (options.remove_orphans && options.ignore_orphans) {
    return usage_error("cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans");
  }
  options.renew_anonymous_volumes = parsed.on("renew-anon-volumes");
  options.stop_timeout = seconds(parsed.number("timeout"));
  options.wait = parsed.on("wait");
  options.wait_timeout = seconds(parsed.number("wait-timeout"));
  return request;
}

/// Asked once per volume; without a terminal the data stays, as Docker Compose's prompt answers itself.
Result<> settle_volumes(const Request& request, Prepared& prepared) {
  if (prepared.decision.changed_volumes.empty()) return {};
  bool all = true;
  for (const auto& name : prepared.decision.changed_volumes) {
    const std::string question = "Volume \"" + name + "\" exists but doesn't match configuration in compose file. Recreate (data will be lost)?";
    const bool yes = request.yes || (!globals().dry_run && confirm(question, false));
    if (!yes) warn("volume \"" + name + "\" does not match the Compose file and is kept as it is; recreate it with --yes (its data will be lost)");
    all = all && yes;
  }
  if (!all) return {};
  auto options = request.options;
  options.recreate_volumes = true;
  ASSIGN_OR_RETURN(prepared.decision, reconcile::reconcile(prepared.desired, prepared.observed, options));
  return {};
}

}  // namespace

Result<> apply_scale(model::Project& project, const std::vector<std::string>& scale) {
  for (const auto& entry : scale) {
    const auto equals = entry.find('=');
    const std::string name = entry.substr(0, equals);
    int count = -1;
    if (equals != std::string::npos) std::from_chars(entry.data() + equals + 1, entry.data() + entry.size(), count);
    if (count < 0) return usage_error("invalid --scale option \"" + entry + "\". Should be SERVICE=NUM");
    const auto service = project.services.find(name);
    if (service == project.services.end()) return make_error(ErrorKind::not_found, "no such service: " + name);
    service->second.scale = count;
  }
  return {};
}

std::string generation_of(const model::Project& project, const reconcile::ImageIds& images) {
  std::string ids;
  for (const auto& [name, id] : images) ids += (ids.empty() ? "" : ",") + json_string(name) + ":" + json_string(id);
  return "{\"images\":{" + ids + "},\"project\":" + load::to_generation_json(project) + "}";
}

Result<Prepared> prepare(Request request) {
  Prepared prepared;
  ASSIGN_OR_RETURN(prepared.project,
                   load_project({.services = request.services,
                                 .dependencies = request.no_deps ? load::Dependencies::ignore : load::Dependencies::include}));
  TRY(apply_scale(prepared.project, request.scale));
  if (prepared.project.services.empty()) return usage_error("no service selected");
  // Refusals come before an image is fetched for nothing.
  ASSIGN_OR_RETURN(prepared.desired, make_desired(prepared.project, {}));
  reconcile::ImageIds images;
  if (request.ensure_images) {
    ASSIGN_OR_RETURN(images, ensure_images(prepared.project, request.images));
  } else {
    ASSIGN_OR_RETURN(images, known_images(prepared.project));
  }
  for (auto& service : prepared.desired.services) {
    const auto id = images.find(service.spec.image);
    if (id == images.end()) continue;
    service.spec.image_id = id->second;
    service.spec.labels["com.docker.compose.image"] = id->second;
  }
  ASSIGN_OR_RETURN(prepared.observed, observe(prepared.desired));
  ASSIGN_OR_RETURN(prepared.decision, reconcile::reconcile(prepared.desired, prepared.observed, request.options));
  TRY(settle_volumes(request, prepared));
  if (!prepared.decision.plan.steps.empty()) prepared.decision.plan.generation_json = generation_of(prepared.project, images);
  return prepared;
}

Result<int> run_up(const Parsed& parsed) {
  const bool wait = parsed.on("wait");
  const bool detach = parsed.on("detach") || wait;
  AttachedOptions attached{.attach = parsed.list("attach"), .no_attach = {}, .attach_dependencies = parsed.on("attach-dependencies"),
                           .no_prefix = parsed.on("no-log-prefix"), .no_colour = parsed.on("no-color"), .timestamps = parsed.on("timestamps"),
                           .abort_on_exit = parsed.on("abort-on-container-exit"), .abort_on_failure = parsed.on("abort-on-container-failure"),
                           .exit_code_from = parsed.text("exit-code-from"), .stop_timeout = seconds(parsed.number("timeout")),
                           .watch = parsed.on("watch"), .watched = parsed.arguments};
  for (const auto& name : parsed.list("no-attach")) attached.no_attach.insert(name);
  if (!attached.exit_code_from.empty() && !attached.abort_on_failure) attached.abort_on_exit = true;
  if (wait && (attached.abort_on_exit || attached.abort_on_failure)) {
    return usage_error("--wait cannot be combined with --abort-on-container-exit or --abort-on-container-failure");
  }
  if (detach && (attached.abort_on_exit || attached.abort_on_failure || !attached.attach.empty() || attached.attach_dependencies || attached.watch)) {
    return usage_error("--detach cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --attach, --attach-dependencies or --watch");
  }
  if (attached.abort_on_exit && attached.abort_on_failure) {
    return usage_error("--abort-on-container-failure cannot be combined with --abort-on-container-exit");
  }
  if (!attached.attach.empty() && attached.attach_dependencies) return usage_error("cannot combine --attach and --attach-dependencies");
  if (parsed.on("no-start") && (parsed.on("detach") || wait)) return usage_error("--no-start and --detach or --wait are incompatible");
  if (attached.watch && std::find(globals().files.begin(), globals().files.end(), "-") != globals().files.end())
    return usage_error("--watch reads the Compose file again and again, which standard input does not offer");
  ASSIGN_OR_RETURN(auto request, request_from(parsed, reconcile::Verb::up));
  const auto named = request.options.services;
  ASSIGN_OR_RETURN(const auto prepared, prepare(std::move(request)));
  if (!attached.exit_code_from.empty() && !prepared.project.services.contains(attached.exit_code_from)) {
    return make_error(ErrorKind::not_found, "no such service: " + attached.exit_code_from);
  }
  if (attached.watch) TRY(can_watch(prepared.project, attached.watched));
  if (detach || parsed.on("no-start") || globals().dry_run) return carry_out(prepared.project.name, prepared.decision, {});
  return run_attached(prepared, named, attached);
}

Result<int> run_create(const Parsed& parsed) {
  ASSIGN_OR_RETURN(auto request, request_from(parsed, reconcile::Verb::create));
  ASSIGN_OR_RETURN(const auto prepared, prepare(std::move(request)));
  return carry_out(prepared.project.name, prepared.decision, {});
}

Result<int> run_scale(const Parsed& parsed) {
  Request request;
  request.scale = parsed.arguments;
  request.no_deps = parsed.on("no-deps");
  for (const auto& entry : parsed.arguments) request.services.push_back(entry.substr(0, entry.find('=')));
  request.options.services = {request.services.begin(), request.services.end()};
  request.options.ignore_orphans = true;
  ASSIGN_OR_RETURN(const auto prepared, prepare(std::move(request)));
  return carry_out(prepared.project.name, prepared.decision, {});
}

Result<int> run_plan(const Parsed& parsed) {
  const std::string format = parsed.text("format", "text");
  if (format != "text" && format != "json") return usage_error("unsupported --format value \"" + format + "\"");
  ASSIGN_OR_RETURN(auto request, request_from(parsed, reconcile::Verb::up));
  request.ensure_images = false;
  ASSIGN_OR_RETURN(const auto prepared, prepare(std::move(request)));
  for (const auto& warning : prepared.decision.warnings) warn(warning);
  const auto& steps = prepared.decision.plan.steps;
  if (format == "json") {
    std::string list;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      std::string after;
      for (const auto index : steps[i].after) after += (after.empty() ? "" : ",") + std::to_string(index);
      const std::string_view hazard = steps[i].hazard == engine::Hazard::none ? "none" : steps[i].hazard == engine::Hazard::downtime ? "downtime" : "data_loss";
      list += std::string(i == 0 ? "" : ",") + "{\"step\":" + std::to_string(i) + ",\"after\":[" + after + "],\"action\":" +
              json_string(reconcile::to_text(steps[i].action)) + ",\"reason\":" + json_string(steps[i].reason) + ",\"hazard\":" + json_string(hazard) + "}";
    }
    out("[" + list + "]\n");
  } else {
    out(steps.empty() ? "nothing to do\n" : reconcile::to_text(prepared.decision.plan));
  }
  return parsed.on("detailed-exitcode") && !steps.empty() ? 2 : 0;
}

Result<int> run_history(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto source, project_or_name({.services = {}, .environment = false}));
  ASSIGN_OR_RETURN(const auto generations, engine::client::generations(source.name));
  const std::string format = parsed.text("format", "table");
  std::vector<std::vector<std::string>> rows{{"GENERATION", "CREATED"}};
  std::string json;
  for (const auto& generation : generations) {
    if (parsed.on("quiet")) out(std::to_string(generation.number) + "\n");
    rows.push_back({std::to_string(generation.number), human_duration(wall_now() - generation.created) + " ago"});
    json += std::string(json.empty() ? "" : ",") + "{\"Generation\":" + std::to_string(generation.number) + ",\"CreatedAt\":" + json_string(rfc3339(generation.created)) + "}";
  }
  if (parsed.on("quiet")) return 0;
  out(format == "json" ? "[" + json + "]\n" : table(rows));
  return 0;
}

}  // namespace compose::cli
