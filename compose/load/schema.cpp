#include "compose/load/schema.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "compose/load/merge.h"

namespace compose::load {
namespace {

bool word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

bool is_name(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), word_char); }

bool accepts(const Rule& rule, const Node& node) {
  switch (node.kind) {
    case Kind::null: return (rule.accepts & null_) != 0;
    case Kind::boolean: return (rule.accepts & boolean_) != 0;
    case Kind::integer: return (rule.accepts & number_) != 0;
    case Kind::real:
      if ((rule.accepts & number_) == number_) return true;
      return (rule.accepts & integer_) != 0 && std::isfinite(node.number) && node.number == std::floor(node.number);
    case Kind::string: return (rule.accepts & string_) != 0;
    case Kind::sequence: return (rule.accepts & list_) != 0;
    case Kind::mapping: return (rule.accepts & map_) != 0;
  }
  return false;
}

std::string expected(std::uint16_t set) {
  std::vector<std::string_view> names;
  if ((set & string_) != 0) names.push_back("a string");
  if ((set & number_) == number_) names.push_back("a number");
  else if ((set & integer_) != 0) names.push_back("an integer");
  if ((set & boolean_) != 0) names.push_back("a boolean");
  if ((set & list_) != 0) names.push_back("a list");
  if ((set & map_) != 0) names.push_back("a mapping");
  if ((set & null_) != 0) names.push_back("nothing");
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i)
    text.append(i == 0 ? "" : i + 1 == names.size() ? " or " : ", ").append(names[i]);
  return text;
}

bool chosen(std::string_view choices, std::string_view word) {
  while (!choices.empty()) {
    const auto end = std::min(choices.find('|'), choices.size());
    if (choices.substr(0, end) == word) return true;
    choices.remove_prefix(std::min(end + 1, choices.size()));
  }
  return false;
}

std::vector<std::string_view> split_choices(std::string_view choices) {
  std::vector<std::string_view> out;
  while (!choices.empty()) {
    const auto end = std::min(choices.find('|'), choices.size());
    out.push_back(choices.substr(0, end));
    choices.remove_prefix(std::min(end + 1, choices.size()));
  }
  return out;
}

/// always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+, anywhere in the text: the
/// schema's pattern is not anchored.
bool is_pull_policy(std::string_view text) {
  static constexpr std::string_view words[] = {"always", "never", "build", "if_not_present",
                                               "missing", "refresh", "daily", "weekly"};
  for (const auto word : words)
    if (text.find(word) != std::string_view::npos) return true;
  for (auto at = text.find("every_"); at != std::string_view::npos; at = text.find("every_", at + 1)) {
    std::size_t i = at + 6;
    const std::size_t begin = i;
    while (i < text.size() && text[i] >= '0' && text[i] <= '9') ++i;
    if (i > begin && i < text.size() && std::string_view("wdhms").find(text[i]) != std::string_view::npos) return true;
  }
  return false;
}

class Schema {
 public:
  explicit Schema(Context& context) : context_(context) {}

  void check(const Node& node, const Rule& rule, const Path& path) {
    if (node.time) {
      context_.error(node.at, path, "is read as a date", "write it in quotes");
      return;
    }
    if (!accepts(rule, node)) {
      context_.error(node.at, path, "expected " + expected(rule.accepts) + ", found " + std::string(kind_name(node.kind)),
                     hint_for(node, rule));
      return;
    }
    switch (node.kind) {
      case Kind::mapping: check_mapping(node, rule, path); break;
      case Kind::sequence: check_list(node, rule, path); break;
      case Kind::string: check_text(node, rule, path); break;
      case Kind::integer:
      case Kind::real: check_number(node, rule, path); break;
      default: break;
    }
  }

 private:
  static std::string hint_for(const Node& node, const Rule& rule) {
    if (rule.format == "duration" && node.kind == Kind::integer) return "write a unit: " + node.text + "s";
    if ((rule.accepts & string_) != 0 && rule.cast == Cast::none && rule.form == Form::text && (node.kind == Kind::boolean || node.kind == Kind::integer || node.kind == Kind::real))
      return "write it in quotes: \"" + node.text + "\"";
    if (node.is_string() && (rule.accepts & list_) != 0) return "write it as a list: [" + node.text + "]";
    return "";
  }

  void check_mapping(const Node& node, const Rule& rule, const Path& path) {
    for (const Entry& entry : node.entries) {
      const Path here(path, entry.key);
      if (rule.object != nullptr) {
        if (is_extension(entry.key) && rule.object->extensions) continue;
        const Rule* row = attribute(rule, entry.key);
        if (row == nullptr && rule.object->open)
          context_.warn(entry.key_at, path.text() + ": unknown key `" + entry.key + "` is ignored");
        else if (row == nullptr) unknown_key(entry, rule, path);
        else check(entry.value, *row, here);
        continue;
      }
      // The schema has nothing to say about networks and models with other names.
      if (rule.key_pattern == "free_name" && !is_name(entry.key)) continue;
      if (rule.key_pattern == "name" && !is_name(entry.key)) {
        context_.error(entry.key_at, path, "'" + entry.key + "' is not a name: letters, digits, '.', '_' and '-'");
        continue;
      }
      if (rule.key_pattern == "filled" && entry.key.empty()) {
        context_.error(entry.key_at, path, "a key cannot be empty");
        continue;
      }
      if (rule.value != nullptr) check(entry.value, *rule.value, here);
    }
    if (rule.object == nullptr) return;
    for (const auto required : rule.object->required)
      if (node.find(required) == nullptr)
        context_.error(node.at, path, "'" + std::string(required) + "' is missing");
  }

  void unknown_key(const Entry& entry, const Rule& rule, const Path& path) {
    std::vector<std::string_view> known;
    for (const Rule& row : rule.object->attributes) known.push_back(row.key);
    std::string hint = did_you_mean(entry.key, known);
    if (hint.empty() && rule.object->extensions) hint = "keys of your own begin with 'x-'";
    context_.error(entry.key_at, path, "unknown key '" + entry.key + "'", std::move(hint));
  }

  void check_list(const Node& node, const Rule& rule, const Path& path) {
    if (rule.item != nullptr)
      for (std::size_t i = 0; i < node.items.size(); ++i) check(node.items[i], *rule.item, Path(path, i));
    if (rule.unique_items) check_unique(node, path);
  }

  void check_unique(const Node& node, const Path& path) {
    if (node.items.size() < 2) return;
    if (std::all_of(node.items.begin(), node.items.end(), [](const Node& n) { return n.is_string(); })) {
      std::vector<const Node*> sorted;
      for (const Node& item : node.items) sorted.push_back(&item);
      std::stable_sort(sorted.begin(), sorted.end(), [](const Node* a, const Node* b) { return a->text < b->text; });
      for (std::size_t i = 1; i < sorted.size(); ++i)
        if (sorted[i - 1]->text == sorted[i]->text) repeated(*sorted[i], path);
      return;
    }
    constexpr std::size_t compared_max = 2000;  // pairs grow with the square
    const std::size_t n = std::min(node.items.size(), compared_max);
    for (std::size_t i = 1; i < n; ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (same_value(node.items[i], node.items[j])) {
          repeated(node.items[i], path);
          break;
        }
  }

  void repeated(const Node& item, const Path& path) {
    context_.error(item.at, path, item.is_scalar() ? "'" + scalar_text(item) + "' is listed twice" : "an item is listed twice");
  }

  void check_text(const Node& node, const Rule& rule, const Path& path) {
    if (!rule.choices.empty() && !chosen(rule.choices, node.text)) {
      std::string list;
      for (const auto choice : split_choices(rule.choices)) list.append(list.empty() ? "" : ", ").append(choice);
      context_.error(node.at, path, "'" + node.text + "' is none of " + list,
                     did_you_mean(node.text, split_choices(rule.choices)));
    }
    if (rule.format == "pull_policy" && !is_pull_policy(node.text))
      context_.error(node.at, path, "'" + node.text + "' is no pull policy",
                     "always, never, missing, build, daily, weekly or every_<duration>");
    if (rule.key == "container_name") check_container_name(node, path);
  }

  /// The pattern [a-zA-Z0-9][a-zA-Z0-9_.-]+ is not anchored in the schema: somewhere in the name it must hold.
  void check_container_name(const Node& node, const Path& path) {
    const auto& text = node.text;
    for (std::size_t i = 0; i + 1 < text.size(); ++i)
      if (word_char(text[i]) && text[i] != '_' && text[i] != '.' && text[i] != '-' && word_char(text[i + 1])) return;
    context_.error(node.at, path, "'" + text + "' is no container name: two or more of a-z A-Z 0-9 _ . -");
  }

  void check_number(const Node& node, const Rule& rule, const Path& path) {
    const double value = node.kind == Kind::integer ? static_cast<double>(node.integer) : node.number;
    const auto range = [&](double low, double high, std::string_view words) {
      if (value < low || value > high)
        context_.error(node.at, path, scalar_text(node) + " is out of range " + std::string(words));
    };
    if (rule.format == "not_negative") range(0, std::numeric_limits<double>::infinity(), "0 and above");
    if (rule.format == "percent") range(0, 100, "0-100");
    if (rule.format == "oom_score") range(-1000, 1000, "-1000-1000");
  }

  Context& context_;
};

}  // namespace

void validate_schema(Context& context, const Node& document) {
  Schema(context).check(document, file_rule(), Path());
}

}  // namespace compose::load
