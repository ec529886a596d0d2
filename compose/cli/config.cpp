// config: the resolved project as text.
#include <algorithm>
#include <cstdlib>
#include <unistd.h>

#include "base/sys.h"
#include "compose/cli/context.h"
#include "compose/cli/files_loader.h"
#include "compose/cli/globals.h"
#include "compose/cli/output.h"
#include "compose/cli/verbs.h"
#include "compose/load/config_output.h"
#include "engine/images/image_store.h"

namespace compose::cli {

using base::Result;

namespace {

std::string lines(const std::vector<std::string>& items) {
  std::string text;
  for (const auto& item : items) text += item + "\n";
  return text;
}

/// Image names become repository@digest, from what was pulled. Error not_found for one that is not here or was built here.
Result<> pin_digests(model::Project& project) {
  ASSIGN_OR_RETURN(auto store, engine::store::Store::open());
  engine::images::ImageStore images(store);
  for (auto& [name, service] : project.services) {
    if (service.image.empty() || service.image.find('@') != std::string::npos) continue;
    ASSIGN_OR_RETURN(const auto reference, engine::images::parse_reference(service.image));
    ASSIGN_OR_RETURN(const auto image, images.resolve(service.image));
    std::string pinned;
    for (const auto& digest : image.digests) {
      const auto parsed = engine::images::parse_reference(digest);
      if (parsed && parsed->name() == reference.name()) pinned = service.image + "@" + parsed->digest;
    }
    if (pinned.empty()) {
      return base::make_error(base::ErrorKind::not_found, "image " + service.image + " has no registry digest here: pull it first");
    }
    service.image = pinned;
  }
  return {};
}

std::string digest_override(const model::Project& project) {
  std::string text = "services:\n";
  for (const auto& [name, service] : project.services) {
    if (!service.image.empty()) text += "  " + name + ":\n    image: " + service.image + "\n";
  }
  return text;
}

Result<std::string> hashes(const model::Project& project, const std::string& wanted) {
  std::string text;
  std::size_t at = 0;
  std::vector<std::string> names;
  while (wanted != "*" && at <= wanted.size()) {
    const auto end = std::min(wanted.find(',', at), wanted.size());
    names.push_back(wanted.substr(at, end - at));
    at = end + 1;
  }
  for (const auto& name : names) {
    if (!project.services.contains(name)) return base::make_error(base::ErrorKind::not_found, "no such service: " + name);
  }
  for (const auto& [name, service] : project.services) {
    if (names.empty() || std::find(names.begin(), names.end(), name) != names.end()) text += name + " " + load::config_hash(project, name) + "\n";
  }
  return text;
}

/// The options that print a list instead of the project; nothing when none is given.
Result<std::optional<std::string>> listing(const Parsed& parsed, const model::Project& project) {
  if (parsed.on("services")) return std::optional(lines(load::service_names(project)));
  if (parsed.on("volumes")) return std::optional(lines(load::volume_names(project)));
  if (parsed.on("networks")) return std::optional(lines(load::network_names(project)));
  if (parsed.on("models")) return std::optional(lines(load::model_names(project)));
  if (parsed.on("images")) return std::optional(lines(load::image_names(project)));
  if (parsed.on("profiles")) return std::optional(lines(load::profile_names(project)));
  if (parsed.on("environment")) return std::optional(lines(load::environment_lines(project)));
  if (parsed.given("hash")) {
    ASSIGN_OR_RETURN(auto text, hashes(project, parsed.text("hash")));
    return std::optional(std::move(text));
  }
  return std::optional<std::string>();
}

Result<int> deliver(const Parsed& parsed, std::string text) {
  if (parsed.on("quiet")) return 0;
  if (const std::string file = parsed.text("output"); !file.empty()) {
    TRY(base::sys::replace_file(file, text));
    return 0;
  }
  out(text);
  return 0;
}

}  // namespace

Result<int> run_config(const Parsed& parsed) {
  const std::string format = parsed.text("format", "yaml");
  if (format != "yaml" && format != "json") return usage_error("unsupported format \"" + format + "\"");
  FileOptions files;
  files.interpolate = !parsed.on("no-interpolate");
  files.normalize = !parsed.on("no-normalize");
  files.resolve_paths = !parsed.on("no-path-resolution");
  files.check_consistency = !parsed.on("no-consistency");
  // Hashes are over the file as written, as Docker Compose's: env_file by its path, not what is in it.
  files.resolve_environment = !parsed.on("no-env-resolution") && !parsed.given("hash");
  if (parsed.on("variables")) {
    ASSIGN_OR_RETURN(const auto options, find_files(files));
    auto variables = load::variables(options, *load::system_files(), format == "json");
    show(variables.load.diagnostics, variables.load.sources);
    if (!variables.text) return shown();
    return deliver(parsed, *variables.text);
  }
  const bool raw = parsed.on("no-interpolate");
  const bool lists = parsed.on("services") || parsed.on("volumes") || parsed.on("networks") || parsed.on("models") || parsed.on("images") ||
                     parsed.on("profiles") || parsed.on("environment") || parsed.given("hash");
  if (raw && !lists) {
    ASSIGN_OR_RETURN(const auto options, find_files(files));
    auto config = load::raw_config(options, *load::system_files(), format == "json");
    show(config.load.diagnostics, config.load.sources);
    if (!config.text) return shown();
    return deliver(parsed, *config.text);
  }
  ASSIGN_OR_RETURN(const auto whole, load_files(files));
  ASSIGN_OR_RETURN(auto project, select_services(whole, parsed.arguments, load::Dependencies::include));
  if (!globals().all_resources) project = load::prune_unused(project);
  ASSIGN_OR_RETURN(const auto list, listing(parsed, parsed.on("profiles") ? whole : project));
  if (list) return deliver(parsed, *list);
  if (parsed.on("resolve-image-digests") || parsed.on("lock-image-digests")) {
    TRY(pin_digests(project));
    if (parsed.on("lock-image-digests")) return deliver(parsed, digest_override(project));
  }
  return deliver(parsed, format == "json" ? load::to_json(project) : load::to_yaml(project));
}

}  // namespace compose::cli
