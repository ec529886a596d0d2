#include "compose/load/environment.h"

#include <algorithm>
#include <map>

#include "compose/load/dotenv.h"
#include "compose/load/merge.h"
#include "compose/load/session.h"

namespace compose::load {

bool profile_active(const Node& service, const std::vector<std::string>& active) {
  const Node* profiles = service.find("profiles");
  if (profiles == nullptr || profiles->items.empty()) return true;
  if (std::find(active.begin(), active.end(), "*") != active.end()) return true;
  return std::any_of(profiles->items.begin(), profiles->items.end(), [&](const Node& profile) {
    return std::find(active.begin(), active.end(), profile.text) != active.end();
  });
}

namespace {

using Variables = std::map<std::string, std::string>;

class ServiceFiles {
 public:
  explicit ServiceFiles(Context& context) : context_(context) {}

  void environment(const Node& raw, Node& typed, const std::string& name, bool enabled) {
    const Node* files = raw.find("env_file");
    if (files == nullptr || files->items.empty()) return;
    static const Node empty = Node::make_mapping();
    const Node* own = typed.find("environment");
    const Node& variables = own == nullptr ? empty : *own;
    const Lookup lookup = [&](std::string_view key) -> std::optional<std::string> {
      if (auto value = shell(key)) return value;
      const Node* value = variables.find(key);
      return value == nullptr || value->is_null() ? std::nullopt : std::optional(value->text);
    };
    std::map<std::string, Node> joined;
    model::StringMap earlier;
    for (std::size_t i = 0; i < files->items.size(); ++i) {
      const Node& file = files->items[i];
      const Node *path = file.find("path"), *required = file.find("required"), *format = file.find("format");
      if (path == nullptr || !path->is_string()) continue;
      const Position at = path->at.known() ? path->at : file.at;
      const bool needed = required == nullptr || scalar_text(*required) != "false";
      const std::string where = "services." + name + ".env_file[" + std::to_string(i) + "]";
      const bool raw_format = format != nullptr && format->text == "raw";
      if (format != nullptr && !raw_format && !format->text.empty()) {
        if (enabled) context_.error(format->at, where, "'" + format->text + "' is not a format: raw or none");
        continue;
      }
      for (auto& [key, value] : read({path->text, at, where, enabled, needed, raw_format}, lookup, earlier)) {
        earlier.insert_or_assign(key, value);
        joined.insert_or_assign(key, Node::make_string(std::move(value), at));
      }
    }
    // A name without a value hides a value from a file: it stays unset.
    for (const Entry& entry : variables.entries) joined.insert_or_assign(entry.key, entry.value);
    put(typed, "environment", std::move(joined), files->at);
  }

  void labels(const Node& raw, Node& typed, const std::string& name, bool enabled) {
    const Node* files = raw.find("label_file");
    if (files == nullptr || files->items.empty()) return;
    std::map<std::string, Node> joined;
    const Lookup lookup = [&](std::string_view key) -> std::optional<std::string> {
      const auto found = joined.find(std::string(key));
      return found == joined.end() ? std::nullopt : std::optional(found->second.text);
    };
    for (std::size_t i = 0; i < files->items.size(); ++i) {
      const Node& file = files->items[i];
      const std::string where = "services." + name + ".label_file[" + std::to_string(i) + "]";
      for (auto& [key, value] : read({file.text, file.at, where, enabled, true, false}, lookup, {}))
        joined.insert_or_assign(key, Node::make_string(std::move(value), file.at));
    }
    if (const Node* own = typed.find("labels"))
      for (const Entry& entry : own->entries) joined.insert_or_assign(entry.key, entry.value);
    put(typed, "labels", std::move(joined), files->at);
  }

 private:
  [[nodiscard]] std::optional<std::string> shell(std::string_view key) const {
    const auto found = context_.options.environment.find(std::string(key));
    return found == context_.options.environment.end() ? std::nullopt : std::optional(found->second);
  }

  /// One file of a service and where it is asked for. What is wrong with the files of a service that is not enabled
  /// stops nobody.
  struct Wanted {
    const std::string& path;
    Position at;
    const std::string& where;
    bool enabled, needed, raw_format;
  };

  std::vector<std::pair<std::string, std::string>> read(const Wanted& wanted, const Lookup& lookup,
                                                        const model::StringMap& earlier) {
    const auto& [path, at, where, enabled, needed, raw_format] = wanted;
    const auto text = context_.files.read(path);
    if (!text) {
      if (enabled && (needed || context_.files.exists(path))) context_.error(at, where, "cannot read " + path + ": " + reason(text.error()));
      return {};
    }
    DotEnv parsed = raw_format ? parse_raw_env(*text, lookup) : parse_dotenv(*text, lookup, earlier);
    if (!enabled && !parsed.error.empty()) return {};
    for (const std::string& unset : parsed.unset)
      if (enabled) context_.warn(at, "The \"" + unset + "\" variable is not set. Defaulting to a blank string.");
    if (!parsed.error.empty()) {
      const auto number = static_cast<std::uint32_t>(context_.sources.files.size());
      context_.sources.files.push_back({shown_path(path, context_.options.current_dir), *text});
      context_.error({number, parsed.error_line, 1}, where, parsed.error);
      return {};
    }
    return std::move(parsed.variables);
  }

  static std::string reason(const base::Error& error) {
    const std::string text = read_failure(error);
    const auto colon = text.rfind(": ");
    return colon == std::string::npos ? text : text.substr(colon + 2);
  }

  /// Sets a mapping of the service in its place among the printed attributes.
  static void put(Node& service, std::string_view key, std::map<std::string, Node> values, Position at) {
    if (values.empty()) return;
    Node map = Node::make_mapping(at);
    for (auto& [name, value] : values) map.entries.push_back(Entry{name, value.at, std::move(value)});
    if (Node* present = service.find(key)) {
      *present = std::move(map);
      return;
    }
    const Rule& rule = *attribute(file_rule(), "services")->value;
    const auto rank = [&](std::string_view name) {
      const auto rows = rule.object->attributes;
      return std::find_if(rows.begin(), rows.end(), [&](const Rule& row) { return row.key == name; }) - rows.begin();
    };
    const auto mine = rank(key);
    const auto before = std::find_if(service.entries.begin(), service.entries.end(),
                                     [&](const Entry& entry) { return rank(entry.key) > mine; });
    service.entries.insert(before, Entry{std::string(key), at, std::move(map)});
  }

  Context& context_;
};

}  // namespace

void resolve_service_files(Context& context, const Node& raw, Node& typed) {
  const Node* services = raw.find("services");
  Node* typed_services = typed.find("services");
  if (services == nullptr || typed_services == nullptr) return;
  ServiceFiles files(context);
  for (const Entry& entry : services->entries) {
    Node* service = typed_services->find(entry.key);
    if (service == nullptr) continue;
    const bool enabled = profile_active(entry.value, context.options.profiles);
    if (context.options.resolve_environment) files.environment(entry.value, *service, entry.key, enabled);
    files.labels(entry.value, *service, entry.key, enabled);
  }
}

}  // namespace compose::load
