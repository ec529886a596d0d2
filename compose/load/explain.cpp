#include "compose/load/explain.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "compose/load/dotenv.h"
#include "compose/load/merge.h"
#include "compose/load/parse.h"
#include "compose/load/paths.h"
#include "compose/load/template.h"

namespace compose::load {
namespace {

std::vector<model::PathStep> steps_of(std::string_view path) {
  std::vector<model::PathStep> steps;
  for (; !path.empty(); path = steps.back().rest) steps.push_back(model::first_step(path));
  return steps;
}

const Node* step_into(const Node& node, const model::PathStep& step) {
  if (!step.index && node.is_sequence()) {
    // "ports.0" means "ports[0]".
    std::size_t index = 0;
    const auto [end, failed] = std::from_chars(step.name.data(), step.name.data() + step.name.size(), index);
    const bool number = failed == std::errc() && end == step.name.data() + step.name.size();
    return number && index < node.items.size() ? &node.items[index] : nullptr;
  }
  if (!step.index) return node.find(step.name);
  return node.is_sequence() && *step.index < node.items.size() ? &node.items[*step.index] : nullptr;
}

std::string one_line(std::string text) {
  constexpr std::size_t shown_max = 120;
  for (char& c : text)
    if (c == '\n' || c == '\t') c = ' ';
  if (text.size() <= shown_max) return text;
  text.resize(shown_max);
  text.append("…");
  return text;
}

std::string value_text(const Node& node) {
  if (node.is_null()) return "null";
  if (node.is_mapping()) return "{}";
  if (node.is_sequence()) return "[]";
  const std::string text = scalar_text(node);
  return text.empty() ? "\"\"" : one_line(text);
}

/// The files as they are written, variables in place.
class Written {
 public:
  Written(const LoadOptions& options, const FileReader& files, model::Sources& sources)
      : sources_(sources), context_(options, files, diagnostics_, sources) {}

  const std::vector<Node>& documents(std::uint32_t file) {
    const auto known = parsed_.find(file);
    if (known != parsed_.end()) return known->second;
    return parsed_[file] = parse_documents(context_, file);
  }
  /// The value that begins at `at`; the innermost one.
  const Node* at(const Position& at) {
    if (!at.known() || at.file >= sources_.files.size()) return nullptr;
    const Node* found = nullptr;
    for (const Node& document : documents(at.file)) search(document, at, found);
    return found;
  }
  [[nodiscard]] std::string place(const Position& at) const {
    return sources_.files[at.file].path + ":" + std::to_string(at.line) + ":" + std::to_string(at.column);
  }
  [[nodiscard]] std::size_t count() const { return sources_.files.size(); }

 private:
  static void search(const Node& node, const Position& at, const Node*& found) {
    if (node.at == at) found = &node;
    for (const Entry& entry : node.entries) search(entry.value, at, found);
    for (const Node& item : node.items) search(item, at, found);
  }

  model::Sources& sources_;
  std::vector<Diagnostic> diagnostics_;
  Context context_;
  std::map<std::uint32_t, std::vector<Node>> parsed_;
};

struct Setting {
  std::string value, place;
};

/// What the env files of `include` set, for each included file. Files and folders are found as include.cpp finds them.
class Included {
 public:
  Included(const ExplainInput& input, Written& written, const model::Sources& sources) : input_(input) {
    for (const auto& file : sources.files) paths_.push_back(absolute_path(input.line.current_dir, file.path));
    const auto& options = *input.found.options;
    for (const std::string& file : options.files)
      if (const auto number = number_of(file)) visit(written, *number, options.working_dir, {});
  }

  /// What `name` is in an included file; nothing where the shell or the project's env files say it, which win.
  [[nodiscard]] const Setting* find(std::uint32_t file, const std::string& name) const {
    const auto known = settings_.find(file);
    if (known == settings_.end()) return nullptr;
    const auto found = known->second.find(name);
    return found == known->second.end() ? nullptr : &found->second;
  }
  [[nodiscard]] std::vector<Setting> all(const std::string& name) const {
    std::vector<Setting> out;
    for (const auto& [file, settings] : settings_) {
      const auto found = settings.find(name);
      if (found == settings.end()) continue;
      if (std::none_of(out.begin(), out.end(), [&](const Setting& s) { return s.place == found->second.place; })) out.push_back(found->second);
    }
    return out;
  }

 private:
  using Settings = std::map<std::string, Setting>;

  [[nodiscard]] std::optional<std::uint32_t> number_of(const std::string& path) const {
    const auto found = std::find(paths_.begin(), paths_.end(), path);
    return found == paths_.end() ? std::nullopt : std::optional(static_cast<std::uint32_t>(found - paths_.begin()));
  }

  [[nodiscard]] std::optional<std::string> look_up(const Settings& known, std::string_view name) const {
    const auto& environment = input_.found.options->environment;
    if (const auto found = environment.find(std::string(name)); found != environment.end()) return found->second;
    const auto found = known.find(std::string(name));
    return found == known.end() ? std::nullopt : std::optional(found->second.value);
  }

  std::vector<std::string> texts(const Node* node, const Settings& known) const {
    std::vector<std::string> out;
    const Lookup lookup = [&](std::string_view name) { return look_up(known, name); };
    if (node == nullptr) return out;
    if (node->is_string()) out.push_back(substitute(node->text, lookup).text);
    for (const Node& item : node->items)
      if (item.is_string()) out.push_back(substitute(item.text, lookup).text);
    return out;
  }

  void visit(Written& written, std::uint32_t file, const std::string& directory, const Settings& outer) {
    if (!visited_.insert(file).second) return;
    settings_[file] = outer;
    const std::vector<Node> documents = written.documents(file);
    for (const Node& document : documents)
      if (const Node* includes = document.find("include"))
        for (const Node& item : includes->items) include(written, item, directory, outer);
  }

  void include(Written& written, const Node& item, const std::string& directory, Settings settings) {
    const auto paths = texts(item.is_string() ? &item : item.find("path"), settings);
    if (paths.empty()) return;
    const auto given = texts(item.find("project_directory"), settings);
    const std::string inner = given.empty() ? parent_of(absolute_path(directory, paths.front())) : absolute_path(directory, given.front());
    auto env_files = texts(item.find("env_file"), settings);
    for (std::string& name : env_files) name = absolute_path(directory, name);
    if (env_files.empty()) env_files.push_back(absolute_path(inner, ".env"));
    Settings read;
    for (const std::string& name : env_files) add(name, settings, read);
    settings.merge(read);  // what is outside wins
    for (const std::string& path : paths)
      if (const auto number = number_of(absolute_path(directory, path))) visit(written, *number, inner, settings);
  }

  void add(const std::string& path, const Settings& outer, Settings& read) const {
    const auto text = input_.files.read(path);
    if (!text) return;
    model::StringMap earlier;
    for (const auto& [name, setting] : read) earlier[name] = setting.value;
    const DotEnv parsed = parse_dotenv(*text, [&](std::string_view name) { return look_up(outer, name); }, earlier);
    for (std::size_t i = 0; i < parsed.variables.size(); ++i) {
      const auto& [name, value] = parsed.variables[i];
      if (input_.found.options->environment.contains(name)) continue;
      read[name] = {value, shown_path(path, input_.line.current_dir) + ":" + std::to_string(parsed.lines[i])};
    }
  }

  const ExplainInput& input_;
  std::vector<std::string> paths_;
  std::set<std::uint32_t> visited_;
  std::map<std::uint32_t, Settings> settings_;
};

/// Where variables are set.
class Variables {
 public:
  explicit Variables(const ExplainInput& input) : input_(input) {
    for (const std::string& path : input.found.env_files) {
      const auto text = input.files.read(path);
      if (!text) continue;
      const Lookup lookup = [&](std::string_view name) -> std::optional<std::string> {
        const auto found = input_.line.environment.find(std::string(name));
        return found == input_.line.environment.end() ? std::nullopt : std::optional(found->second);
      };
      const DotEnv parsed = parse_dotenv(*text, lookup);
      for (std::size_t i = 0; i < parsed.variables.size(); ++i)
        lines_[parsed.variables[i].first].push_back(shown_path(path, input.line.current_dir) + ":" + std::to_string(parsed.lines[i]));
    }
  }

  [[nodiscard]] bool in_shell(const std::string& name) const { return input_.line.environment.contains(name); }
  /// "file:line" of every env file that sets it; the last one wins.
  [[nodiscard]] std::vector<std::string> in_files(const std::string& name) const {
    const auto found = lines_.find(name);
    return found == lines_.end() ? std::vector<std::string>() : found->second;
  }
  [[nodiscard]] std::string source(const std::string& name) const {
    if (in_shell(name)) return "the environment of this process";
    const auto files = in_files(name);
    if (!files.empty()) return files.back();
    return name == "COMPOSE_PROJECT_NAME" ? "the project's name" : "";
  }
  [[nodiscard]] const std::string* value(const std::string& name) const {
    const auto& all = input_.found.options->environment;
    const auto found = all.find(name);
    return found == all.end() ? nullptr : &found->second;
  }
  /// "TAG = 1.2 from .env:3", or that it is not set and what takes its place.
  [[nodiscard]] std::string sentence(const Variable& variable, const Setting* included) const {
    const std::string* set = value(variable.name);
    if (set == nullptr && included != nullptr)
      return variable.name + " = " + (included->value.empty() ? "\"\"" : one_line(included->value)) + " from " + included->place;
    if (set != nullptr) return variable.name + " = " + (set->empty() ? "\"\"" : one_line(*set)) + " from " + source(variable.name);
    std::string text = variable.name;
    text.append(" is not set");
    if (!variable.default_value.empty()) text.append(": its default is ").append(one_line(variable.default_value));
    return text;
  }

 private:
  const ExplainInput& input_;
  std::map<std::string, std::vector<std::string>> lines_;
};

class ValueExplainer {
 public:
  ValueExplainer(const ExplainInput& input, const model::Project& project, model::Sources& sources)
      : input_(input), project_(project), written_(*input.found.options, input.files, sources), variables_(input),
        included_(input, written_, sources) {}

  std::string run(const Node& node, const std::string& path, const Position& around) {
    leaves(node, path, around);
    return std::move(out_);
  }

 private:
  static std::string with_key(const std::string& path, const std::string& key) {
    const bool plain = !key.empty() && key.find_first_of(".[' \n") == std::string::npos;
    return path + (path.empty() ? "" : ".") + (plain ? key : "'" + key + "'");
  }

  void leaves(const Node& node, const std::string& path, const Position& around) {
    const Position here = node.at.known() ? node.at : around;
    if (node.entries.empty() && node.items.empty()) return leaf(node, path, around);
    for (const Entry& entry : node.entries)
      leaves(entry.value, with_key(path, entry.key), entry.key_at.known() ? entry.key_at : here);
    for (std::size_t i = 0; i < node.items.size(); ++i) leaves(node.items[i], path + "[" + std::to_string(i) + "]", here);
  }

  void note(const std::string& text) { out_ += "    " + text + "\n"; }

  void leaf(const Node& node, const std::string& path, const Position& around) {
    out_ += path + ": " + value_text(node) + "\n";
    if (path == "name") return project_name(node);
    const Position at = node.at.known() ? node.at : around;
    const Node* raw = written_.at(at);
    if (env_file_value(path, at)) return;
    if (raw == nullptr || !raw->is_scalar() || (node.is_scalar() && !node.is_null() && raw->is_null() && !inherited(path))) {
      note(at.known() ? "not written: the default, for what is at " + written_.place(at) : "not written: the default");
      also_at(path, at);
      return;
    }
    const std::string text = raw->is_null() ? "" : raw->text;
    const bool same = text == scalar_text(node) || text.empty();
    note(written_.place(at) + (same ? "" : "  written as: " + one_line(text)));
    for (const Variable& variable : variables_in(text)) note(variables_.sentence(variable, included_.find(at.file, variable.name)));
    if (inherited(path) && text.find('=') == std::string::npos && (text.empty() || path.ends_with("." + text))) inherited_value(path);
    also_at(path, at);
  }

  static bool inherited(const std::string& path) { return path.find(".environment.") != std::string::npos; }

  void inherited_value(const std::string& path) {
    const std::string name = path.substr(path.find(".environment.") + 13);
    const std::string source = variables_.source(name);
    note(source.empty() ? name + " has no value here and is not set" : "its value is from " + source);
  }

  void project_name(const Node& node) {
    const auto& line = input_.line;
    if (!line.project_name.empty()) return note("given with --project-name");
    if (variables_.value("COMPOSE_PROJECT_NAME") != nullptr && !variables_.source("COMPOSE_PROJECT_NAME").starts_with("the project"))
      return note("COMPOSE_PROJECT_NAME from " + variables_.source("COMPOSE_PROJECT_NAME"));
    if (node.at.known()) return note(written_.place(node.at));
    note("made from the directory " + project_.working_dir);
  }

  /// A variable that came from the service's env_file; true when it did.
  bool env_file_value(const std::string& path, const Position& at) {
    const auto steps = steps_of(path);
    if (steps.size() != 4 || steps[0].name != "services" || steps[2].name != "environment" || !at.known()) return false;
    for (const Node& document : written_.documents(at.file)) {
      const Node* services = document.find("services");
      if (services == nullptr) continue;
      for (const Entry& service : services->entries) {
        const Node* files = service.value.find("env_file");
        if (files == nullptr) continue;
        const Node* file = file_at(*files, at);
        if (file == nullptr) continue;
        note("from the env_file at " + written_.place(at) + ": " + one_line(file->text));
        return true;
      }
    }
    return false;
  }

  static const Node* file_at(const Node& node, const Position& at) {
    if (node.is_string() && node.at == at) return &node;
    for (const Node& item : node.items)
      if (const Node* found = file_at(item, at)) return found;
    if (const Node* path = node.find("path"); path != nullptr && (path->at == at || node.at == at)) return path;
    return nullptr;
  }

  /// Other places that say something about the same key: an earlier file, an included one, one that is extended.
  void also_at(const std::string& path, const Position& at) {
    const auto steps = steps_of(path);
    if (std::any_of(steps.begin(), steps.end(), [](const model::PathStep& step) { return step.index.has_value(); })) return;
    for (std::uint32_t file = 0; file < written_.count(); ++file) {
      for (const Node& document : written_.documents(file)) {
        const Node* node = &document;
        for (const model::PathStep& step : steps) node = node == nullptr ? nullptr : step_into(*node, step);
        if (node == nullptr || !node->at.known() || node->at == at) continue;
        note("also at " + written_.place(node->at) + (node->is_scalar() ? ": " + one_line(node->text) : "") + ", which does not count here");
      }
    }
  }

  const ExplainInput& input_;
  const model::Project& project_;
  Written written_;
  Variables variables_;
  Included included_;
  std::string out_;
};

void collect_uses(const Node& node, const std::string& name, const Path& path, const Written& written, std::string& out) {
  if (node.is_string()) {
    const auto found = variables_in(node.text);
    if (std::any_of(found.begin(), found.end(), [&](const Variable& v) { return v.name == name; }))
      out += "    " + written.place(node.at) + ": " + path.text() + ": " + one_line(node.text) + "\n";
  }
  for (const Entry& entry : node.entries) collect_uses(entry.value, name, Path(path, entry.key), written, out);
  for (std::size_t i = 0; i < node.items.size(); ++i) collect_uses(node.items[i], name, Path(path, i), written, out);
}

}  // namespace

Explanation explain_value(const ExplainInput& input, const std::string& path) {
  Explanation result;
  result.load = load(*input.found.options, input.files);
  if (!result.load.project) return result;
  const model::Project& project = *result.load.project;
  const Node* node = project.tree.get();
  Position around = node->at;
  for (const model::PathStep& step : steps_of(path)) {
    const Node* next = step_into(*node, step);
    if (next == nullptr) {
      result.error = "the model has no " + path;
      std::vector<std::string_view> known;
      for (const Entry& entry : node->entries) known.push_back(entry.key);
      result.hint = did_you_mean(std::string(step.name), known);
      return result;
    }
    node = next;
    if (node->at.known()) around = node->at;
  }
  model::Sources sources = result.load.sources;
  result.text = ValueExplainer(input, project, sources).run(*node, path, around);
  return result;
}

Explanation explain_variable(const ExplainInput& input, const std::string& name) {
  Explanation result;
  const Variables variables(input);
  // Uses are looked for in every file the project is made of, also when the project itself is not valid.
  LoadResult loaded = load(*input.found.options, input.files);
  Written written(*input.found.options, input.files, loaded.sources);
  const auto included = Included(input, written, loaded.sources).all(name);
  const std::string* value = variables.value(name);
  std::string text;
  if (value != nullptr) text = name + "=" + *value + "\n";
  else if (included.empty()) text = name + " is not set\n";
  for (const Setting& setting : included) text += name + "=" + setting.value + "\n    set at " + setting.place + ", for the files included with it\n";
  const auto files = variables.in_files(name);
  if (variables.in_shell(name)) text += "    set in the environment of this process\n";
  for (std::size_t i = files.size(); i-- > 0;)
    text += "    set at " + files[i] + (i + 1 < files.size() || variables.in_shell(name) ? ", which does not count: what is above wins\n" : "\n");
  std::string uses;
  const Path top;
  for (std::uint32_t file = 0; file < written.count(); ++file)
    for (const Node& document : written.documents(file)) collect_uses(document, name, top, written, uses);
  text += uses.empty() ? "    no Compose file mentions it\n" : "  used at\n" + uses;
  if (name == "COMPOSE_PROJECT_NAME" && value == nullptr && loaded.project) {
    result.text = name + "=" + loaded.project->name + "\n    the project's name: `config --explain name` tells where it is from\n" +
                  (uses.empty() ? "" : "  used at\n" + uses);
    return result;
  }
  if (value == nullptr && included.empty() && uses.empty()) {
    result.error = name + " is not set, and no Compose file mentions it";
    std::vector<std::string_view> known;
    for (const auto& [other, ignored] : input.found.options->environment) known.push_back(other);
    result.hint = did_you_mean(name, known);
    return result;
  }
  result.text = std::move(text);
  return result;
}

}  // namespace compose::load
