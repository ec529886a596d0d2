// publish: the project's Compose files as an artifact of a registry, for `-f oci://…`.
#include "base/sys.h"
#include "compose/cli/context.h"
#include "compose/cli/digests.h"
#include "compose/cli/files_loader.h"
#include "compose/cli/globals.h"
#include "compose/cli/images_ready.h"
#include "compose/cli/output.h"
#include "compose/cli/progress.h"
#include "compose/cli/prompt.h"
#include "compose/cli/sensitive.h"
#include "compose/cli/verbs.h"
#include "compose/cli/workers.h"
#include "compose/load/config_output.h"
#include "compose/load/publish.h"
#include "compose/reconcile/labels.h"

namespace compose::cli {

using base::Result;

namespace {

Result<> refuse_unbuilt(const model::Project& project) {
  std::string names;
  for (const auto& [name, service] : project.services)
    if (service.image.empty() && service.build) names += "- \"" + name + "\"\n";
  if (names.empty()) return {};
  return base::make_error(base::ErrorKind::invalid, "your Compose stack cannot be published as it only contains a build section for service(s):\n" + names);
}

std::string bind_mounts(const model::Project& project) {
  std::string text;
  for (const auto& [name, service] : project.services)
    for (const auto& mount : service.volumes)
      if (mount.type == "bind") text += name + ": " + mount.source + ":" + mount.target + (mount.read_only ? ":ro\n" : ":rw\n");
  return text;
}

std::string sensitive_data(const model::Project& project, const load::PublishedFiles& files) {
  std::string text;
  const auto look = [&](std::string_view content) {
    for (const auto& one : sensitive_in(content)) text += one.kind + "\n\"" + one.key + "\": " + one.value + "\n";
  };
  const auto look_into = [&](const std::string& path) {
    if (const auto content = path.empty() ? Result<std::string>(std::string()) : base::sys::read_file(path); content) look(*content);
  };
  for (const auto& file : files.compose_files) look(file.text);
  for (const auto& [path, name] : files.env_files) look_into(path);
  for (const auto& [name, config] : project.configs) look_into(config.file);
  for (const auto& [name, secret] : project.secrets) look_into(secret.file);
  return text;
}

struct Variables {
  std::string declared;  ///< a sentence for each service and config
  std::string values;
};

Variables variables_of(const model::Project& project, const load::PublishedFiles& files) {
  Variables found;
  for (const auto& [name, service] : project.services) {
    if (files.services_with_env_files.contains(name)) found.declared += "service \"" + name + "\" has env_file declared.\n";
    if (service.environment.empty()) continue;
    found.declared += "service \"" + name + "\" has environment variable(s) declared.\n";
    found.values += "Service/Config  " + name + "\n";
    for (const auto& [key, value] : service.environment) found.values += key + "=" + value.value_or("") + "\n";
  }
  for (const auto& [name, config] : project.configs) {
    if (config.environment.empty()) continue;
    found.declared += "config \"" + name + "\" is declare as an environment variable.\n";
    found.values += "Service/Config  " + name + "\n" + name + "=" + config.environment + "\n";
  }
  return found;
}

/// What somebody may not want to send, asked about in Docker Compose's words. False: he does not.
Result<bool> agreed(const model::Project& project, const load::PublishedFiles& files, bool with_environment) {
  if (const auto mounts = bind_mounts(project);
      !mounts.empty() && !confirm_from_input("you are about to publish bind mounts declaration within your OCI artifact.\n"
                                             "only the bind mount declarations will be added to the OCI artifact (not content)\n"
                                             "please double check that you are not mounting potential user's sensitive directories or data\n" +
                                             mounts + "Are you ok to publish these bind mount declarations?"))
    return false;
  if (const auto data = sensitive_data(project, files);
      !data.empty() && !confirm_from_input("you are about to publish sensitive data within your OCI artifact.\n"
                                           "please double check that you are not leaking sensitive data\n" +
                                           data + "Are you ok to publish these sensitive data?"))
    return false;
  const auto variables = variables_of(project, files);
  if (!with_environment && !variables.declared.empty())
    return base::make_error(base::ErrorKind::invalid,
                            variables.declared + "To avoid leaking sensitive data, you must either explicitly allow the sending of environment variables by using the --with-env flag,\n"
                                                 "or remove sensitive data from your Compose configuration");
  return variables.values.empty() || confirm_from_input("you are about to publish environment variables within your OCI artifact.\n"
                                                        "please double check that you are not leaking sensitive data\n" +
                                                        variables.values + "Are you ok to publish these environment variables?");
}

/// The worker's list of files.
Result<std::string> files_json(model::Project& project, const load::PublishedFiles& files, const Parsed& parsed) {
  std::string list;
  const auto add = [&](const char* kind, const std::string& name, const char* key, const std::string& value) {
    list += std::string(list.empty() ? "[" : ",") + R"({"kind":")" + kind + R"(","name":)" + json_string(name) + ",\"" + key + "\":" + json_string(value) + "}";
  };
  for (const auto& file : files.compose_files) add(file.extended ? "extended" : "compose", file.name, "text", file.text);
  if (parsed.on("with-env")) {
    for (const auto& [path, name] : files.env_files) add("environment", name, "path", path);
  } else if (!files.env_files.empty()) {
    warn("env files are not published without --with-env: whoever runs this cannot load it");
  }
  if (parsed.on("resolve-image-digests") || parsed.on("app")) {
    TRY(pin_digests(project));
    add("compose", "image-digests.yaml", "text", load::to_yaml(load::images_only(project)));
  }
  return list + "]";
}

Result<int> send(const model::Project& project, const std::string& files, const std::string& repository, const Parsed& parsed) {
  const auto writer = make_progress("Publishing");
  Job job;
  job.arguments = {"compose-publish", "--compose-version", std::string(reconcile::compatible_version)};
  if (const auto version = parsed.text("oci-version"); !version.empty()) job.arguments.insert(job.arguments.end(), {"--oci-version", version});
  if (parsed.on("app"))
    for (const auto& [name, service] : project.services) job.arguments.insert(job.arguments.end(), {"--image", service.image});
  job.arguments.push_back(repository);
  job.input = files;
  job.on_start = [&] { writer->change({repository, "publishing", ""}); };
  std::string failure;
  job.on_end = [&](int code, const std::string& errors) {
    if (code != 0) failure = errors.empty() ? "the worker failed" : errors;
    writer->change({repository, code == 0 ? "published" : "Error", failure});
  };
  std::vector<Job> jobs;
  jobs.push_back(std::move(job));
  ASSIGN_OR_RETURN(const bool done, run_workers(std::move(jobs), {.on_tick = [&] { writer->tick(); }}));
  writer->finish();
  if (!done) return base::make_error(base::ErrorKind::unavailable, failure);
  return 0;
}

}  // namespace

Result<int> run_publish(const Parsed& parsed) {
  const std::string& repository = parsed.arguments[0];
  if (const auto version = parsed.text("oci-version"); !version.empty() && version != "1.0" && version != "1.1")
    return base::make_error(base::ErrorKind::invalid, "unsupported OCI version: " + version);
  globals().profiles = {"*"};  // the artifact holds the files, so all of them
  ASSIGN_OR_RETURN(const auto options, find_files({}));
  auto loaded = load::load(options, program_files());
  show(loaded.diagnostics, loaded.sources);
  if (!loaded.project) return shown();
  model::Project project = *std::move(loaded.project);
  const auto files = load::published_files(options, program_files());
  const bool failed = std::any_of(files.load.diagnostics.begin(), files.load.diagnostics.end(), [](const auto& one) { return one.severity == load::Severity::error; });
  if (failed) {
    show(files.load.diagnostics, files.load.sources);
    return shown();
  }
  if (files.local_include) return base::make_error(base::ErrorKind::invalid, "cannot publish compose file with local includes");
  TRY(refuse_unbuilt(project));
  if (!parsed.on("yes")) {
    ASSIGN_OR_RETURN(const bool yes, agreed(project, files, parsed.on("with-env")));
    if (!yes) {
      err("nothing was published\n");
      return 0;
    }
  }
  std::vector<std::string> built;
  for (const auto& [name, service] : project.services)
    if (service.build) built.push_back(name);
  if (globals().dry_run) {
    const auto writer = make_progress("Publishing");
    for (const auto& name : built) writer->change({name, "Pushed", ""});
    writer->change({repository, "publishing", ""});
    writer->change({repository, "published", ""});
    return 0;
  }
  ASSIGN_OR_RETURN(const bool pushed, push_services(project, built, false, true));
  if (!pushed) return 1;
  ASSIGN_OR_RETURN(const auto text, files_json(project, files, parsed));
  return send(project, text, repository, parsed);
}

}  // namespace compose::cli
