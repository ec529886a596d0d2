// build: services' images through compose-image, BuildKit's plain text on standard output.
#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "compose/cli/context.h"
#include "compose/cli/globals.h"
#include "compose/cli/images_ready.h"
#include "compose/cli/json_line.h"
#include "compose/cli/output.h"
#include "compose/cli/progress.h"
#include "compose/cli/verbs.h"
#include "compose/cli/workers.h"
#include "compose/load/units.h"

namespace compose::cli {

using base::Result;

namespace {

/// Several builds at once write one numbered stream: each vertex of each build gets a number of its own, as bake does.
class Numbering {
 public:
  explicit Numbering(std::string service) : service_(std::move(service)) {}

  void line(const std::string& text) {
    const auto vertex = json_number(text, "vertex");
    const auto event = json_text(text, "event");
    if (event && *event == "warning") out("[" + service_ + "] WARNING: " + json_text(text, "text").value_or("") + "\n");
    if (!vertex || !event) return;
    auto [at, fresh] = numbers_.try_emplace(static_cast<long>(*vertex), 0);
    if (fresh) {
      at->second = ++last_;
      const std::string name = json_text(text, "name").value_or("");
      // "[2/3] RUN make" of service web becomes "[web 2/3] RUN make".
      out("#" + std::to_string(at->second) + " " +
          (name.starts_with('[') ? "[" + service_ + " " + name.substr(1) : "[" + service_ + "] " + name) + "\n");
    }
    const std::string head = "#" + std::to_string(at->second) + " ";
    const std::string said = json_text(text, "text").value_or("");
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.1f", json_number(text, "seconds").value_or(0));
    if (*event == "log") out(head + said + "\n");
    if (*event == "done") out(head + "DONE " + seconds + "s\n\n");
    if (*event == "cached") out(head + "CACHED\n\n");
    if (*event == "error") out(head + "ERROR: " + said + "\n");
  }

 private:
  static inline long last_ = 0;
  std::string service_;
  std::map<long, long> numbers_;
};

/// Adds what `name` builds upon (additional_contexts: service:x) before it.
void add_in_order(const model::Project& project, const std::string& name, std::vector<std::string>& order, std::set<std::string>& seen) {
  if (!seen.insert(name).second) return;
  const auto* service = project.find_service(name);
  if (service == nullptr || !service->build) return;
  for (const auto& [key, source] : service->build->additional_contexts) {
    if (source.starts_with("service:")) add_in_order(project, source.substr(8), order, seen);
  }
  order.push_back(name);
}

}  // namespace

Result<bool> build_services(const model::Project& project, const std::vector<std::string>& services, const BuildOptions& options) {
  std::vector<std::string> order;
  std::set<std::string> seen;
  for (const auto& name : services) add_in_order(project, name, order, seen);
  const bool quiet = options.quiet || globals().progress == "quiet";
  const auto writer = make_progress("Building");
  std::vector<Job> jobs;
  std::map<std::string, std::size_t> index;
  std::vector<std::unique_ptr<Numbering>> numbering;
  for (const auto& name : order) {
    const model::Service& service = *project.find_service(name);
    const std::string image = reconcile::image_name(project, service, globals().compatibility);
    Job job;
    job.arguments = {"build"};
    job.input = build_request(project, service, options, quiet ? "quiet" : order.size() == 1 || options.check ? "plain" : "json");
    for (const auto& [key, source] : service.build->additional_contexts) {
      if (const auto before = index.find(source.starts_with("service:") ? source.substr(8) : ""); before != index.end()) {
        job.after.push_back(before->second);
      }
    }
    numbering.push_back(std::make_unique<Numbering>(name));
    if (!quiet && (order.size() == 1 || options.check)) job.on_line = [](const std::string& line) { out(line + "\n"); };
    if (!quiet && order.size() > 1 && !options.check) job.on_line = [numbers = numbering.back().get()](const std::string& line) { numbers->line(line); };
    job.on_end = [&writer, image, quiet, check = options.check](int code, const std::string& errors) {
      if (code == 0) {
        if (!quiet && !check) writer->change({image, "Built", ""});
      } else {
        err(errors.empty() ? "building " + image + " failed with code " + std::to_string(code) + "\n" : errors + "\n");
      }
    };
    index[name] = jobs.size();
    jobs.push_back(std::move(job));
  }
  ASSIGN_OR_RETURN(const bool all, run_workers(std::move(jobs), {.parallel = globals().parallel, .on_tick = {}}));
  writer->finish();
  return all;
}

Result<int> run_build(const Parsed& parsed) {
  const bool dependencies = parsed.on("with-dependencies");
  ASSIGN_OR_RETURN(const auto project,
                   load_project({.services = parsed.arguments,
                                 .dependencies = dependencies ? load::Dependencies::include : load::Dependencies::ignore}));
  std::vector<std::string> services;
  for (const auto& [name, service] : project.services) {
    if (service.build) services.push_back(name);
  }
  if (services.empty()) {
    warn("No services to build");
    return 0;
  }
  if (globals().dry_run) {
    const auto writer = make_progress("Building");
    for (const auto& name : services) writer->change({reconcile::image_name(project, project.services.at(name), globals().compatibility), "Built", ""});
    return 0;
  }
  BuildOptions options{.arguments = parsed.list("build-arg"), .ssh = parsed.list("ssh"), .no_cache = parsed.on("no-cache"),
                       .pull = parsed.on("pull"), .quiet = parsed.on("quiet"), .push = parsed.on("push"), .check = parsed.on("check"),
                       .memory_bytes = 0, .provenance = parsed.text("provenance"), .sbom = parsed.text("sbom")};
  if (const std::string memory = parsed.text("memory"); !memory.empty()) {
    const auto bytes = load::parse_bytes(memory);
    if (!bytes || *bytes < 0) return usage_error("invalid argument \"" + memory + "\" for \"-m, --memory\" flag: invalid size: '" + memory + "'");
    options.memory_bytes = *bytes;
  }
  if (const std::string builder = parsed.text("builder"); !builder.empty() && builder != "default")
    return usage_error("no builder \"" + builder + "\" found: images are built by the built-in builder, called default");
  if (parsed.on("print")) {
    out(bake_file(project, services, options));
    return 0;
  }
  ASSIGN_OR_RETURN(const bool built, build_services(project, services, options));
  if (!built) return 1;
  if (!options.push || options.check) return 0;
  ASSIGN_OR_RETURN(const bool pushed, push_services(project, services, options.quiet, false));
  return pushed ? 0 : 1;
}

}  // namespace compose::cli
