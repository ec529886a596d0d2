#include "compose/cli/digests.h"

#include "compose/cli/globals.h"
#include "compose/cli/json_line.h"
#include "compose/cli/workers.h"
#include "engine/images/reference.h"

namespace compose::cli {

using base::ErrorKind;
using base::Result;

Result<std::map<std::string, std::string>> pinned_images(const std::set<std::string>& images) {
  std::map<std::string, std::string> pinned;
  std::string failure;
  std::vector<Job> jobs;
  for (const std::string& image : images) {
    ASSIGN_OR_RETURN(const auto reference, engine::images::parse_reference(image));
    if (!reference.digest.empty()) {
      pinned[image] = reference.full();
      continue;
    }
    Job job;
    job.arguments = {"digest", reference.full()};
    job.on_line = [&pinned, image, full = reference.full()](const std::string& line) { pinned[image] = full + "@" + line; };
    job.on_end = [&failure, full = reference.full()](int code, const std::string& errors) {
      if (code != 0 && failure.empty()) failure = "failed to resolve digest for " + full + ": " + (errors.empty() ? "the worker failed" : errors);
    };
    jobs.push_back(std::move(job));
  }
  ASSIGN_OR_RETURN(const bool done, run_workers(std::move(jobs), {.parallel = globals().parallel, .on_tick = {}}));
  if (!done || !failure.empty()) return base::make_error(ErrorKind::unavailable, failure);
  return pinned;
}

Result<> pin_digests(model::Project& project) {
  std::set<std::string> images;
  for (const auto& [name, service] : project.services)
    if (!service.image.empty()) images.insert(service.image);
  ASSIGN_OR_RETURN(const auto pinned, pinned_images(images));
  for (auto& [name, service] : project.services)
    if (!service.image.empty()) service.image = pinned.at(service.image);
  return {};
}

}  // namespace compose::cli
