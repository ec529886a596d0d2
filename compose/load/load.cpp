#include "compose/load/load.h"

#include "compose/load/bind.h"
#include "compose/load/checks.h"
#include "compose/load/environment.h"
#include "compose/load/load_stages.h"
#include "compose/load/normalize.h"
#include "compose/load/paths.h"
#include "compose/load/session.h"
#include "compose/load/template.h"
#include "compose/load/typed.h"

namespace compose::load {

std::string normalize_project_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const char lower = (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c;
    if ((lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9') || lower == '_' || lower == '-') out += lower;
  }
  const auto begin = out.find_first_not_of("_-");
  return begin == std::string::npos ? "" : out.substr(begin);
}

namespace {

std::string base_name(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return std::string(path.substr(path.rfind('/') + 1));
}

/// The first choice there is: the option, the last file that says `name:`, the directory.
std::string choose_name(Context& context, const Session::Name& file_name) {
  const LoadOptions& options = context.options;
  if (!options.project_name.empty()) {
    if (normalize_project_name(options.project_name) != options.project_name)
      context.plain_error("invalid project name \"" + options.project_name +
                          "\": must consist only of lowercase alphanumeric characters, hyphens, and underscores as well "
                          "as start with a letter or number");
    return options.project_name;
  }
  std::string name;
  if (const Node* written = file_name.written; written != nullptr) {
    const Lookup lookup = [&](std::string_view variable) -> std::optional<std::string> {
      const auto found = options.environment.find(std::string(variable));
      return found == options.environment.end() ? std::nullopt : std::optional(found->second);
    };
    const std::string text = options.interpolate ? substitute(written->text, lookup).text : written->text;
    name = options.normalize ? normalize_project_name(text) : text;
    if (name.empty() && file_name.in_first_document) {
      context.error(written->at, std::string("name"), "'" + text + "' has no letter or digit a project name could be made of");
      return "";
    }
  }
  if (name.empty()) name = normalize_project_name(base_name(options.working_dir));
  if (name.empty()) context.plain_error("project name must not be empty", "give one with -p or 'name:'");
  return name;
}

void split_by_profiles(const std::vector<std::string>& profiles, const Node& tree, model::Project& project) {
  const Node* services = tree.find("services");
  if (services == nullptr) return;
  for (const Entry& entry : services->entries) {
    if (profile_active(entry.value, profiles)) continue;
    auto service = project.services.extract(entry.key);
    if (!service.empty()) project.disabled_services.insert(std::move(service));
  }
}

/// `scale` is also what `deploy` says, where there is one (Docker Compose's consistency check writes it there).
void scale_into_deploy(const std::vector<std::string>& profiles, Node& tree) {
  Node* services = tree.find("services");
  if (services == nullptr) return;
  for (Entry& entry : services->entries) {
    const Node* scale = entry.value.find("scale");
    Node* deploy = entry.value.find("deploy");
    if (scale == nullptr || deploy == nullptr || !deploy->is_mapping() || deploy->find("replicas") != nullptr) continue;
    if (!profile_active(entry.value, profiles)) continue;
    // Behind the mode, as the table has it.
    const auto place = deploy->entries.begin() + (deploy->find("mode") == nullptr ? 0 : 1);
    deploy->entries.insert(place, Entry{"replicas", scale->at, *scale});
  }
}

struct Loaded {
  Node tree;
  std::string name;
};

/// All stages that work on the tree of the files; empty when reported.
std::optional<Loaded> load_tree(Context& context) {
  const LoadOptions& options = context.options;
  Session session(context);
  Loaded loaded;
  loaded.name = choose_name(context, session.preload(options.files));
  if (context.failed()) return std::nullopt;
  ModelSource source{options.files, options.working_dir, options.working_dir, options.environment};
  source.environment["COMPOSE_PROJECT_NAME"] = loaded.name;
  loaded.tree = session.load_model(source, {});
  if (!context.failed() && loaded.tree.entries.empty()) context.plain_error("empty compose file");
  if (context.failed()) return std::nullopt;
  if (options.normalize) {
    if (options.interpolate && loaded.tree.find("services") == nullptr) loaded.tree.at_key("services") = Node::make_mapping();
    // With variables in place no build argument takes its value from the environment.
    normalize(context, loaded.tree, loaded.name, options.interpolate ? source.environment : model::StringMap());
  }
  if (!options.normalize && !options.interpolate) return loaded;  // `name:` stays as it is written, too
  Node& name = loaded.tree.at_key("name");
  name = Node::make_string(loaded.name, name.at);
  return loaded;
}

void build_project(Context& context, Loaded loaded, LoadResult& result) {
  const LoadOptions& options = context.options;
  model::Project project;
  project.name = loaded.name;
  project.working_dir = options.working_dir;
  for (const std::string& file : options.files)
    project.compose_files.push_back(file == "-" ? file : absolute_path(options.working_dir, file));
  project.environment = options.environment;
  project.environment["COMPOSE_PROJECT_NAME"] = project.name;
  project.profiles = options.profiles;
  auto tree = std::make_shared<Node>(typed_tree(context, loaded.tree));
  resolve_service_files(context, loaded.tree, *tree);
  loaded.tree = Node();  // large projects: not needed beside the typed tree
  if (context.failed()) return;
  if (options.check_consistency) scale_into_deploy(options.profiles, *tree);
  bind_project(*tree, project);
  split_by_profiles(options.profiles, *tree, project);
  project.tree = tree;
  project.sources = std::make_shared<model::Sources>(context.sources);
  if (options.check_consistency) check_project(context, project);
  if (!context.failed()) result.project = std::move(project);
}

}  // namespace

std::optional<Node> load_raw_tree(const LoadOptions& options, const FileReader& files, LoadResult& result) {
  Context context(options, files, result.diagnostics, result.sources);
  auto loaded = load_tree(context);
  return loaded ? std::optional(std::move(loaded->tree)) : std::nullopt;
}

LoadResult load(const LoadOptions& options, const FileReader& files) {
  LoadResult result;
  Context context(options, files, result.diagnostics, result.sources);
  if (auto loaded = load_tree(context)) build_project(context, *std::move(loaded), result);
  return result;
}

LoadResult load_project(const CommandLine& line, const FileReader& files) {
  DiscoverResult found = discover(line, files);
  if (!found.options) return {std::nullopt, std::move(found.diagnostics), std::move(found.sources)};
  LoadResult result = load(*found.options, files);
  // The env files' diagnostics come first; their positions point into their own sources.
  if (!found.diagnostics.empty()) {
    const auto shift = static_cast<std::uint32_t>(result.sources.files.size());
    for (auto& file : found.sources.files) result.sources.files.push_back(std::move(file));
    for (Diagnostic& diagnostic : found.diagnostics)
      if (diagnostic.at.known()) diagnostic.at.file += shift;
    result.diagnostics.insert(result.diagnostics.begin(), found.diagnostics.begin(), found.diagnostics.end());
  }
  return result;
}

}  // namespace compose::load
