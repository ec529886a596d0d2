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
  if (variables.empty()) return "{}\n\n";
  std::string out = "{";
  for (const auto& [name, variable] : variables) {
    out += out.size() == 1 ? "\n" : ",\n";
    out += "    " + json_text(name) + ": {\n";
    out += "        \"Name\": " + json_text(name) + ",\n";
    out += "        \"DefaultValue\": " + json_text(variable.default_value) + ",\n";
    out += "        \"PresenceValue\": " + json_text(variable.alternate) + ",\n";
    out += std::string("        \"Required\": ") + (variable.required ? "true" : "false") + "\n    }";
  }
  return out + "\n}\n\n";
}

/// Docker Compose writes the fields of its own structure, in lower case.
std::string yaml(const std::map<std::string, Variable>& variables) {
  std::string out;
  for (const auto& [name, variable] : variables) {
    append_yaml(out, name, Node::make_null(), nullptr, 0);
    out.replace(out.size() - 6, 6, "\n");  // " null\n"
    append_yaml(out, "name", Node::make_string(name), nullptr, 4);
    append_yaml(out, "defaultvalue", Node::make_string(variable.default_value), nullptr, 4);
    append_yaml(out, "presencevalue", Node::make_string(variable.alternate), nullptr, 4);
    append_yaml(out, "required", Node::make_boolean(variable.required), nullptr, 4);
  }
  return out.empty() ? "{}\n" : out;
}

/// Docker Compose loses empty lists, but for those whose items it compares; of those, build arguments once more.
void drop_empty_lists(Node& node, const Rule* rule) {
  if (node.is_sequence() && node.items.empty() && (rule == nullptr || rule->unique == Unique::none || rule->key == "args"))
    node = Node::make_null(node.at);
  for (Entry& entry : node.entries)
    drop_empty_lists(entry.value, rule == nullptr || is_extension(entry.key) ? nullptr : attribute(*rule, entry.key));
  for (Node& item : node.items) drop_empty_lists(item, rule == nullptr ? nullptr : item_of(*rule));
}

}  // namespace

RawConfig raw_config(const LoadOptions& options, const FileReader& files, bool as_json,
                     const std::function<bool(Node&)>& edit) {
  RawConfig result;
  LoadOptions raw = options;
  raw.interpolate = false;
  auto tree = load_raw_tree(raw, files, result.load);
  if (!tree) return result;
  if (edit && !edit(*tree)) return result;
  if (as_json) drop_empty_lists(*tree, &file_rule());
  result.text = as_json ? write_json(*tree, nullptr, {.empty_lists = true}) : write_yaml(*tree, nullptr);
  if (const Node* services = tree->find("services"))
    for (const Entry& entry : services->entries) result.services.push_back(entry.key);
  std::sort(result.services.begin(), result.services.end());
  return result;
}

void keep_images_only(Node& tree) {
  std::erase_if(tree.entries, [](const Entry& entry) { return entry.key != "services"; });
  if (Node* services = tree.find("services"))
    for (Entry& service : services->entries)
      std::erase_if(service.value.entries, [](const Entry& entry) { return entry.key != "image"; });
}

model::Project images_only(const model::Project& project) {
  model::Project images;
  Node tree = Node::make_mapping();
  Node& services = tree.at_key("services") = Node::make_mapping();
  for (const auto& [name, service] : project.services) {
    Node& node = services.at_key(name) = Node::make_mapping();
    if (!service.image.empty()) node.at_key("image") = Node::make_string(service.image);
    images.services[name].image = service.image;
  }
  images.tree = std::make_shared<Node>(std::move(tree));
  return images;
}

Variables variables(const LoadOptions& options, const FileReader& files, Format format) {
  Variables result;
  LoadOptions raw = options;
  raw.interpolate = false;
  raw.normalize = false;
  const auto tree = load_raw_tree(raw, files, result.load);
  if (!tree) return result;
  std::map<std::string, Variable> found;
  collect(*tree, found);
  result.text = format == Format::json ? json(found) : format == Format::yaml ? yaml(found) : table(found);
  return result;
}

}  // namespace compose::load
