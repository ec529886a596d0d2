// pull and push: images through compose-image, one worker an image.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "compose/cli/context.h"
#include "compose/cli/globals.h"
#include "compose/cli/images_ready.h"
#include "compose/cli/json_line.h"
#include "compose/cli/output.h"
#include "compose/cli/progress.h"
#include "compose/cli/verbs.h"
#include "compose/cli/workers.h"
#include "engine/images/image_store.h"

namespace compose::cli {

using base::Result;

namespace {

/// Bytes of all layers of one image, for the live view.
class Bytes {
 public:
  std::string line(const std::string& text) {
    const auto id = json_text(text, "id").value_or("");
    const auto total = json_number(text, "total").value_or(0);
    if (id.empty() || total <= 0) return detail_;
    layers_[id] = {json_number(text, "current").value_or(0), total};
    double done = 0, all = 0;
    for (const auto& [layer, part] : layers_) {
      done += part.first;
      all += part.second;
    }
    detail_ = human_size(done) + "/" + human_size(all);
    return detail_;
  }

 private:
  std::map<std::string, std::pair<double, double>> layers_;
  std::string detail_;
};

std::string platform_of(const model::Service& service) {
  if (!service.platform.empty()) return service.platform;
  const char* platform = std::getenv("DOCKER_DEFAULT_PLATFORM");
  return platform != nullptr ? platform : "";
}

struct Transfer {
  std::string verb, begun, done;      ///< "pull", "Pulling", "Pulled"
  bool quiet = false, ignore_failures = false;
  const std::map<std::string, bool>* buildable = nullptr;
};

/// What the worker said went wrong: {"error":{"kind":"…","message":"…"}}.
std::optional<std::string> failure_in(std::string_view line) {
  constexpr std::string_view head = "{\"error\":";
  return line.starts_with(head) ? json_text(line.substr(head.size()), "message") : std::nullopt;
}

Job make_job(const std::string& name, const std::string& image, const std::string& platform, const Transfer& transfer,
             ProgressWriter& writer, std::vector<std::string>& failures) {
  Job job;
  job.arguments = {transfer.verb, "--progress", "json"};
  if (!platform.empty()) job.arguments.insert(job.arguments.end(), {"--platform", platform});
  job.arguments.push_back(image);
  job.on_start = [&writer, name, &transfer] { writer.change({name, transfer.begun, ""}); };
  const bool live = (globals().progress == "tty" || is_terminal(2)) && !transfer.quiet;
  const auto failure = std::make_shared<std::string>();
  job.on_line = [&writer, name, &transfer, live, failure, bytes = std::make_shared<Bytes>()](const std::string& line) {
    if (auto said = failure_in(line)) *failure = *std::move(said);
    else if (live) writer.change({name, transfer.begun, bytes->line(line)});
  };
  job.on_end = [&writer, &failures, name, &transfer, failure](int code, const std::string& errors) {
    if (code == 0) {
      writer.change({name, transfer.done, ""});
      return;
    }
    const std::string& why = failure->empty() ? errors : *failure;
    const bool built_instead = transfer.buildable != nullptr && transfer.buildable->contains(name);
    writer.change({name, built_instead || transfer.ignore_failures ? "Warning" : "Error", why});
    if (!built_instead && !transfer.ignore_failures) failures.push_back(why);
  };
  return job;
}

Result<bool> transfer_images(const model::Project& project, const std::vector<std::string>& services, const Transfer& transfer) {
  const auto writer = make_progress(transfer.begun);
  std::vector<Job> jobs;
  std::map<std::string, std::string> taken;
  std::vector<std::string> failures;
  const auto add = [&](const std::string& name, const std::string& image, const std::string& platform) {
    const auto [first, fresh] = taken.try_emplace(image, name);
    if (fresh) {
      jobs.push_back(make_job(name, image, platform, transfer, *writer, failures));
    } else if (first->second != name && transfer.verb == "pull") {
      writer->change({name, "Skipped", "- Image is already being pulled by " + first->second});
    }
  };
  for (const auto& name : services) {
    const model::Service& service = *project.find_service(name);
    add(name, reconcile::image_name(project, service, globals().compatibility), platform_of(service));
    if (transfer.verb != "pull") continue;
    for (const auto& volume : service.volumes) {
      if (volume.type == "image") add(volume.source, volume.source, platform_of(service));
    }
  }
  ASSIGN_OR_RETURN(const bool all, run_workers(std::move(jobs), {.parallel = globals().parallel, .on_tick = [&] { writer->tick(); }, .keep_going = true}));
  writer->finish();
  for (const auto& failure : failures) err("Error response from daemon: " + failure + "\n");
  return all || failures.empty();
}

}  // namespace

Result<bool> pull_services(const model::Project& project, const std::vector<std::string>& services, const PullOptions& options) {
  const Transfer transfer{.verb = "pull", .begun = "Pulling", .done = "Pulled", .quiet = options.quiet,
                          .ignore_failures = options.ignore_failures, .buildable = &options.buildable};
  return transfer_images(project, services, transfer);
}

Result<bool> push_services(const model::Project& project, const std::vector<std::string>& services, bool quiet, bool ignore_failures) {
  return transfer_images(project, services, {.verb = "push", .begun = "Pushing", .done = "Pushed", .quiet = quiet, .ignore_failures = ignore_failures});
}

Result<int> run_pull(const Parsed& parsed) {
  const std::string policy = parsed.text("policy");
  if (!policy.empty() && policy != "missing" && policy != "always") {
    return usage_error("invalid argument \"" + policy + "\" for \"--policy\" flag: expected missing or always");
  }
  ASSIGN_OR_RETURN(const auto project, load_project({.services = parsed.arguments,
                                                     .dependencies = parsed.on("include-deps") || parsed.arguments.empty()
                                                                         ? load::Dependencies::include : load::Dependencies::ignore}));
  ASSIGN_OR_RETURN(const auto known, known_images(project));
  const auto writer = make_progress("Pulling");
  std::vector<std::string> services;
  PullOptions options{.quiet = parsed.on("quiet"), .ignore_failures = parsed.on("ignore-pull-failures"), .buildable = {}};
  for (const auto& [name, service] : project.services) {
    const std::string wanted = policy.empty() ? service.pull_policy : policy;
    if (service.image.empty()) {
      writer->change({name, "Skipped", "- No image to be pulled"});
    } else if (service.build && (parsed.on("ignore-buildable") || wanted == "build")) {
      writer->change({name, "Skipped", "- Image can be built"});
    } else if (wanted == "never") {
      writer->change({name, "Skipped", "- Image is not to be pulled"});
    } else if ((wanted == "missing" || wanted == "if_not_present") && known.contains(service.image)) {
      writer->change({name, "Skipped", "- Image is already present locally"});
    } else {
      services.push_back(name);
      if (service.build) options.buildable[name] = true;
    }
  }
  if (globals().dry_run) {
    for (const auto& name : services) writer->change({name, "Pulled", ""});
    return 0;
  }
  writer->finish();
  ASSIGN_OR_RETURN(const bool all, pull_services(project, services, options));
  return all ? 0 : 1;
}

Result<int> run_push(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto project, load_project({.services = parsed.arguments,
                                                     .dependencies = parsed.on("include-deps") || parsed.arguments.empty()
                                                                         ? load::Dependencies::include : load::Dependencies::ignore}));
  std::vector<std::string> services;
  for (const auto& [name, service] : project.services) {
    // Only what is built here is ours to publish.
    if (service.build && !service.image.empty()) services.push_back(name);
  }
  if (globals().dry_run) {
    const auto writer = make_progress("Pushing");
    for (const auto& name : services) writer->change({name, "Pushed", ""});
    return 0;
  }
  ASSIGN_OR_RETURN(const bool all, push_services(project, services, parsed.on("quiet"), parsed.on("ignore-push-failures")));
  return all ? 0 : 1;
}

}  // namespace compose::cli
