// `config --no-interpolate` and `config --variables`: the tree with its variables in place.
#include <algorithm>
#include <map>

#include "compose/load/checks.h"
#include "compose/load/config_output.h"
#include "compose/load/load_stages.h"
#include "compose/load/template.h"
#include "compose/load/writer.h"

namespace compose::load {
namespace {

void collect(const Node& node, std::map<std::string, Variable>& found) {
  if (node.is_string())
    for (Variable& variable : variables_in(node.text)) found.insert_or_assign(variable.name, variable);
  for (const Entry& entry : node.entries) collect(entry.value, found);
  for (const Node& item : node.items) collect(item, found);
}

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

std::string table(const std::map<std::string, Variable>& variables) {
  // Columns as Docker's tab writer sets them: at least 20 wide, three blanks apart.
  std::size_t widths[3] = {20, 20, 20};
  for (const auto& [name, variable] : variables) {
    widths[0] = std::max(widths[0], name.size() + 3);
    widths[2] = std::max(widths[2], variable.default_value.size() + 3);
  }
  std::string out = padded("NAME", widths[0]) + padded("REQUIRED", widths[1]) + padded("DEFAULT VALUE", widths[2]) +
                    "ALTERNATE VALUE\n";
  for (const auto& [name, variable] : variables)
    out += padded(name, widths[0]) + padded(variable.required ? "true" : "false", widths[1]) +
           padded(variable.default_value, widths[2]) + variable.alternate + "\n";
  return out;
}

std::string json_text(const std::string& text) { return write_json(Node::make_string(text), nullptr); }

std::string json(const std::map<std::string, Variable>& variables) {
  if (variables.empty()) return "{}";
  std::string out = "{";
  for (const auto& [name, variable] : variables) {
    out += out.size() == 1 ? "\n" : ",\n";
    out += "    " + json_text(name) + ": {\n";
    out += "        \"Name\": " + json_text(name) + ",\n";
    out += "        \"DefaultValue\": " + json_text(variable.default_value) + ",\n";
    out += "        \"PresenceValue\": " + json_text(variable.alternate) + ",\n";
    out += std::string("        \"Required\": ") + (variable.required ? "true" : "false") + "\n    }";
  }
  return out + "\n}";
}

}  // namespace

RawConfig raw_config(const LoadOptions& options, const FileReader& files, bool as_json) {
  RawConfig result;
  LoadOptions raw = options;
  raw.interpolate = false;
  const auto tree = load_raw_tree(raw, files, result.load);
  if (tree) result.text = as_json ? write_json(*tree, nullptr) : write_yaml(*tree, nullptr);
  return result;
}

Variables variables(const LoadOptions& options, const FileReader& files, bool as_json) {
  Variables result;
  LoadOptions raw = options;
  raw.interpolate = false;
  raw.normalize = false;
  const auto tree = load_raw_tree(raw, files, result.load);
  if (!tree) return result;
  std::map<std::string, Variable> found;
  collect(*tree, found);
  result.text = as_json ? json(found) : table(found);
  return result;
}

}  // namespace compose::load
