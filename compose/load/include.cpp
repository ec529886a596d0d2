#include <algorithm>

#include "compose/load/dotenv.h"
#include "compose/load/merge.h"
#include "compose/load/paths.h"
#include "compose/load/session.h"

namespace compose::load {
/// One `include` item in its long form.
struct Session::Include {
  std::vector<const Node*> paths, env_files;
  const Node* project_directory = nullptr;
};

namespace {

void add_texts(const Node* node, std::vector<const Node*>& out) {
  if (node == nullptr) return;
  if (node->is_string()) out.push_back(node);
  for (const Node& item : node->items)
    if (item.is_string()) out.push_back(&item);
}

/// Variables of the include's env files under those already set.
void add_env_files(Context& context, const std::vector<std::string>& files, Position at, model::StringMap& environment) {
  model::StringMap loaded;
  const Lookup lookup = [&](std::string_view name) -> std::optional<std::string> {
    const auto found = environment.find(std::string(name));
    return found == environment.end() ? std::nullopt : std::optional(found->second);
  };
  for (const std::string& file : files) {
    const auto text = context.files.read(file);
    if (!text) {
      context.error(at, std::string(), read_failure(text.error()));
      continue;
    }
    const DotEnv parsed = parse_dotenv(*text, lookup, loaded);
    for (const std::string& name : parsed.unset)
      context.warn({}, "The \"" + name + "\" variable is not set. Defaulting to a blank string.");
    if (!parsed.error.empty()) {
      const auto number = static_cast<std::uint32_t>(context.sources.files.size());
      context.sources.files.push_back({shown_path(file, context.options.current_dir), *text});
      context.error({number, parsed.error_line, 1}, std::string(), parsed.error);
    }
    for (const auto& [name, value] : parsed.variables) loaded[name] = value;
  }
  environment.merge(loaded);
}

constexpr std::string_view resource_kinds[] = {"services", "networks", "volumes", "secrets", "configs", "models"};

void import(Context& context, Node included, Node& document) {
  for (const auto kind : resource_kinds) {
    Node* theirs = included.find(kind);
    if (theirs == nullptr) continue;
    Node& mine = document.at_key(kind, theirs->at);
    if (mine.is_null()) mine = Node::make_mapping(theirs->at);
    if (!mine.is_mapping()) continue;
    for (Entry& entry : theirs->entries) {
      const Node* conflict = mine.find(entry.key);
      if (conflict == nullptr) {
        mine.entries.push_back(std::move(entry));
      } else if (!same_value(*conflict, entry.value)) {
        const auto& other = context.sources.files[entry.key_at.file];
        const Position here = std::find_if(mine.entries.begin(), mine.entries.end(),
                                           [&](const Entry& e) { return e.key == entry.key; })->key_at;
        context.error(here, std::string(kind) + "." + entry.key, "is already defined by an included file",
                      "the other definition is at " + other.path + ":" + std::to_string(entry.key_at.line));
      }
    }
  }
  // x-… of an included file are not taken over.
}

}  // namespace

void Session::place(const Include& include, const ModelSource& source, ModelSource& inner) const {
  const std::string directory = include.project_directory == nullptr ? "" : scalar_text(*include.project_directory);
  if (directory.starts_with('/')) {
    inner.working_dir = inner.base = directory;
  } else if (!directory.empty()) {
    const std::string& current = context_.options.current_dir.empty() ? context_.options.working_dir : context_.options.current_dir;
    inner.working_dir = absolute_path(current, absolute_path(source.base, directory));
    // One that does not exist is taken for a file in the project directory, as Docker Compose does.
    std::string found = absolute_path(source.working_dir, directory);
    if (!context_.files.is_directory(found)) found = absolute_path(source.working_dir, parent_of(directory));
    inner.base = relative_path(source.working_dir, found);
  } else if (inner.files.empty()) {
    inner.working_dir = source.working_dir;  // nothing is included
    inner.base = ".";
  } else {
    inner.working_dir = parent_of(inner.files.front());
    inner.base = is_remote(include.paths.front()->text) ? inner.working_dir : relative_path(source.working_dir, inner.working_dir);
  }
}

void Session::include_one(const Node& item, const Path& at, Node& document, const ModelSource& source,
                          const std::vector<std::string>& including) {
  Include include;
  if (item.is_string()) {
    include.paths.push_back(&item);
  } else {
    add_texts(item.find("path"), include.paths);
    add_texts(item.find("env_file"), include.env_files);
    include.project_directory = item.find("project_directory");
  }
  ModelSource inner;
  for (const Node* path : include.paths) {
    inner.files.push_back(local_path(*path, at, source));
    if (inner.files.back().empty()) return;
    named_at_.emplace(inner.files.back(), path->at);
    const bool cycle = std::find(including.begin(), including.end(), inner.files.back()) != including.end();
    if (cycle || including.size() > context_.limits.include_depth_max) {
      std::string chain;
      for (const std::string& file : including) chain += file + " includes ";
      context_.error(path->at, at, (cycle ? "include cycle: " : "includes are nested too deeply: ") + chain + inner.files.back());
      return;
    }
  }
  place(include, source, inner);
  const std::string& current = context_.options.current_dir.empty() ? context_.options.working_dir : context_.options.current_dir;
  std::vector<std::string> env_files;
  for (const Node* file : include.env_files)
    if (file->text != "/dev/null") env_files.push_back(absolute_path(current, absolute_path(source.base, file->text)));
  const std::string beside = absolute_path(inner.working_dir, ".env");
  if (include.env_files.empty() && context_.files.exists(beside) && !context_.files.is_directory(beside))
    env_files.push_back(beside);
  inner.environment = source.environment;
  add_env_files(context_, env_files, include.env_files.empty() ? item.at : include.env_files.front()->at, inner.environment);
  import(context_, load_model(inner, including), document);
}

namespace {

/// Whether the attributes of an item have the types they must have; reports it.
bool readable(Context& context, const Node& item, const Path& at) {
  const std::size_t errors = context.errors();
  for (const std::string_view key : {"path", "env_file"}) {
    const Node* list = item.find(key);
    if (list == nullptr || list->is_null() || list->is_string()) continue;
    const bool texts = list->is_sequence() && std::all_of(list->items.begin(), list->items.end(), [](const Node& n) { return n.is_string(); });
    if (!texts) context.error(list->at, Path(at, key), "expected a string or a list of strings, found " + std::string(kind_name(list->kind)));
  }
  const Node* directory = item.find("project_directory");
  if (directory != nullptr && (!directory->is_scalar() || directory->kind == Kind::boolean || directory->kind == Kind::real || directory->time))
    context.error(directory->at, Path(at, "project_directory"), "expected a string, found " + std::string(kind_name(directory->kind)));
  return context.errors() == errors;
}

}  // namespace

void Session::apply_include(Node& document, const std::string&, const ModelSource& source,
                            const std::vector<std::string>& including) {
  Node* found = document.find("include");
  if (found == nullptr) return;
  const Node include = std::move(*found);
  document.erase("include");
  const Path top;
  const Path here(top, "include");
  if (!include.is_sequence()) {
    if (!include.is_null())
      context_.error(include.at, here, "expected a list, found " + std::string(kind_name(include.kind)));
    return;
  }
  const Rule& row = *attribute(file_rule(), "include");
  for (std::size_t i = 0; i < include.items.size(); ++i) {
    const Node& item = include.items[i];
    const Path at(here, i);
    if (item.is_null()) continue;
    if (item.time) {  // a date is neither a path nor a mapping, and passed over
      context_.warn(item.at, at.text() + ": includes nothing: `path` is missing");
      continue;
    }
    if (!item.is_string() && !item.is_mapping()) {
      context_.error(item.at, at, "expected a path or a mapping, found " + std::string(kind_name(item.kind)));
      continue;
    }
    // Docker Compose looks at none of the other keys: the schema does not reach in here.
    for (const Entry& entry : item.entries)
      if (attribute(*row.item, entry.key) == nullptr)
        context_.warn(entry.key_at, at.text() + ": unknown key `" + entry.key + "` is ignored");
    if (!readable(context_, item, at)) continue;
    if (item.find("path") == nullptr && !item.is_string()) context_.warn(item.at, at.text() + ": includes nothing: `path` is missing");
    include_one(item, at, document, source, including);
  }
}

}  // namespace compose::load
