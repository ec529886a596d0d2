// config: the resolved project as text.
#include <algorithm>
#include <cstdlib>
#include <unistd.h>

#include "base/sys.h"
#include "compose/cli/context.h"
#include "compose/cli/digests.h"
#include "compose/cli/files_loader.h"
#include "compose/cli/globals.h"
#include "compose/cli/output.h"
#include "compose/cli/verbs.h"
#include "compose/load/config_output.h"
#include "compose/load/explain.h"

namespace compose::cli {

using base::Result;

namespace {

std::string lines(const std::vector<std::string>& items) {
  std::string text;
  for (const auto& item : items) text += item + "\n";
  return text;
}

/// As of a project, in a tree whose variables are in place.
Result<> pin_digests(model::Node& tree) {
  model::Node* services = tree.find("services");
  if (services == nullptr) return {};
  std::set<std::string> images;
  for (const auto& entry : services->entries)
    if (const auto* image = entry.value.find("image"); image != nullptr && image->is_string()) images.insert(image->text);
  ASSIGN_OR_RETURN(const auto pinned, pinned_images(images));
  for (auto& entry : services->entries)
    if (auto* image = entry.value.find("image"); image != nullptr && image->is_string()) image->text = pinned.at(image->text);
  return {};
}

Result<> hashes(const model::Project& project, const std::string& wanted) {
  std::vector<std::string> names;
  if (wanted == "*") {
    for (const auto& [name, service] : project.services) names.push_back(name);
  } else {
    for (std::size_t at = 0; at <= wanted.size();) {
      const auto end = std::min(wanted.find(',', at), wanted.size());
      names.push_back(wanted.substr(at, end - at));
      at = end + 1;
    }
  }
  std::sort(names.begin(), names.end());
  for (const auto& name : names) {
    if (!project.services.contains(name)) return base::make_error(base::ErrorKind::not_found, "no such service: " + name);
    out(name + " " + load::config_hash(project, name) + "\n");
  }
  return {};
}

/// The options that print a list instead of the project, in the order Docker Compose looks for them.
enum class List : std::uint8_t { none, services, volumes, networks, models, hash, profiles, images, variables, environment };

List list_of(const Parsed& parsed) {
  static constexpr std::pair<std::string_view, List> flags[] = {
      {"services", List::services}, {"volumes", List::volumes}, {"networks", List::networks},   {"models", List::models},
      {"hash", List::hash},         {"profiles", List::profiles}, {"images", List::images}, {"variables", List::variables},
      {"environment", List::environment}};
  for (const auto& [flag, list] : flags)
    if (flag == "hash" ? !parsed.text("hash").empty() : parsed.on(flag)) return list;
  return List::none;
}

Result<int> print_list(List list, const Parsed& parsed, const model::Project& project) {
  switch (list) {
    case List::services: out(lines(load::service_names(project))); break;
    case List::volumes: out(lines(load::volume_names(project))); break;
    case List::networks: out(lines(load::network_names(project))); break;
    case List::models: out(lines(load::model_names(project))); break;
    case List::images: {
      const auto found = project.environment.find("COMPOSE_COMPATIBILITY");
      const bool old = globals().compatibility || (found != project.environment.end() && means_yes(found->second));
      out(lines(load::image_names(project, old ? "_" : "-")));
      break;
    }
    case List::profiles: out(lines(load::profile_names(project))); break;
    case List::environment: out(lines(load::environment_lines(project))); break;
    case List::hash: TRY(hashes(project, parsed.text("hash"))); break;
    case List::none:
    case List::variables: break;
  }
  return 0;
}

Result<int> deliver(const Parsed& parsed, std::string text) {
  if (parsed.on("quiet")) return 0;
  if (const std::string file = parsed.text("output"); !file.empty()) {
    if (!text.empty()) TRY(base::sys::replace_file(file, text));
    return 0;
  }
  out(text);
  return 0;
}

Result<int> run_variables(const FileOptions& files, const std::string& format) {
  if (!format.empty() && format != "table" && format != "pretty" && format != "json" && format != "yaml")
    return usage_error("format value \"" + format + "\" could not be parsed: parsing failed");
  ASSIGN_OR_RETURN(const auto options, find_files(files));
  const auto as = format == "json" ? load::Format::json : format == "yaml" ? load::Format::yaml : load::Format::table;
  auto variables = load::variables(options, program_files(), as);
  show(variables.load.diagnostics, variables.load.sources);
  if (!variables.text) return shown();
  out(*variables.text);
  return 0;
}

Result<int> run_raw(const FileOptions& files, const Parsed& parsed, bool json, List list) {
  ASSIGN_OR_RETURN(const auto options, find_files(files));
  const bool lock = parsed.on("lock-image-digests"), pin = lock || parsed.on("resolve-image-digests");
  Result<> pinned{};
  auto config = load::raw_config(options, program_files(), json, [&](model::Node& tree) {
    if (list == List::none && pin) pinned = pin_digests(tree);
    if (list == List::none && lock) load::keep_images_only(tree);
    return pinned.has_value();
  });
  show(config.load.diagnostics, config.load.sources);
  TRY(std::move(pinned));
  if (!config.text) return shown();
  if (list != List::services) return deliver(parsed, *config.text);
  out(lines(config.services));
  return 0;
}

Result<int> show_explanation(const load::Explanation& explained) {
  show(explained.load.diagnostics, explained.load.sources);
  if (explained.text) {
    out(*explained.text);
    return 0;
  }
  if (explained.error.empty()) return shown();
  return usage_error(explained.error + (explained.hint.empty() ? "" : "; " + explained.hint));
}

Result<load::DiscoverResult> discovered() {
  auto found = load::discover(command_line(), program_files());
  show(found.diagnostics, found.sources);
  if (!found.options) return shown();
  return found;
}

}  // namespace

Result<int> run_env(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto found, discovered());
  if (parsed.given("explain")) {
    const auto line = command_line();
    return show_explanation(load::explain_variable({.line = line, .found = found, .files = program_files()}, parsed.text("explain")));
  }
  auto loaded = load::load(*found.options, program_files());
  show(loaded.diagnostics, loaded.sources);
  if (!loaded.project) return shown();
  out(lines(load::environment_lines(*loaded.project)));
  return 0;
}

Result<int> run_config(const Parsed& parsed) {
  if (parsed.given("explain")) {
    ASSIGN_OR_RETURN(const auto found, discovered());
    const auto line = command_line();
    return show_explanation(load::explain_value({.line = line, .found = found, .files = program_files()}, parsed.text("explain")));
  }
  const List list = list_of(parsed);
  const std::string format = parsed.text("format");
  if (list == List::none && !format.empty() && format != "yaml" && format != "json")
    return usage_error("unsupported format \"" + format + "\"");
  FileOptions files;
  files.interpolate = !parsed.on("no-interpolate");
  files.normalize = !parsed.on("no-normalize") && !globals().compatibility_flag;
  files.resolve_paths = !parsed.on("no-path-resolution");
  files.check_consistency = !parsed.on("no-consistency");
  // Lists do not need what is in env files; hashes are over the file as written, as Docker Compose's.
  files.resolve_environment = list == List::none || list == List::environment;
  // Docker Compose 2.40.3 resolves before it looks at this flag.
  if (parsed.on("no-env-resolution") && files.resolve_environment && files.interpolate)
    warn("--no-env-resolution changes nothing, as in Docker Compose: --no-interpolate prints env_file as it is written");
  if (list == List::variables) return run_variables(files, format);
  if (!files.interpolate && (list == List::none || list == List::services)) return run_raw(files, parsed, format == "json", list);
  ASSIGN_OR_RETURN(auto whole, load_files(files));
  const bool selected = list == List::none || list == List::profiles || list == List::images || list == List::environment;
  ASSIGN_OR_RETURN(auto chosen, select_services(std::move(whole), selected ? parsed.arguments : std::vector<std::string>(),
                                                load::Dependencies::include));
  // The process ends with this verb: freeing a large project piece by piece would take longer than printing it.
  static model::Project& project = *new model::Project(std::move(chosen));
  if (list != List::none) return print_list(list, parsed, project);
  if (parsed.on("resolve-image-digests") || parsed.on("lock-image-digests")) TRY(pin_digests(project));
  if (files.check_consistency) TRY(refuse_shared_container_names(project));
  if (parsed.on("lock-image-digests")) project = load::images_only(project);
  if (format != "json") return deliver(parsed, load::to_yaml(project));
  if (const std::string why = load::json_obstacle(project); !why.empty()) return usage_error(why);
  return deliver(parsed, load::to_json(project));
}

}  // namespace compose::cli
