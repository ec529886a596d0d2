#include "compose/load/config_output.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "compose/load/digest.h"
#include "compose/load/session.h"
#include "compose/load/template.h"
#include "compose/load/writer.h"

namespace compose::load {
namespace {

const Rule& service_rule() { return *attribute(file_rule(), "services")->value; }

/// The service's tree with what a caller changed in the model after loading, and without what selection dropped: the tree
/// itself when that is nothing, else a changed copy in `storage`.
const Node& service_view(const Node& node, const model::Service& service, Node& storage) {
  const Node *image = node.find("image"), *dependencies = node.find("depends_on");
  const bool same_image = image == nullptr ? service.image.empty() : image->text == service.image;
  const bool same_dependencies = dependencies == nullptr ||
                                 std::all_of(dependencies->entries.begin(), dependencies->entries.end(),
                                             [&](const Entry& entry) { return service.depends_on.contains(entry.key); });
  if (same_image && same_dependencies) return node;
  storage = node;
  if (Node* changed = storage.find("image")) {
    changed->text = service.image;
  } else if (!service.image.empty()) {
    const auto rows = service_rule().object->attributes;
    const auto rank = [&](std::string_view key) {
      return std::find_if(rows.begin(), rows.end(), [&](const Rule& row) { return row.key == key; }) - rows.begin();
    };
    const auto before = std::find_if(storage.entries.begin(), storage.entries.end(),
                                     [&](const Entry& entry) { return rank(entry.key) > rank("image"); });
    storage.entries.insert(before, Entry{"image", {}, Node::make_string(service.image)});
  }
  if (Node* left = storage.find("depends_on")) {
    std::erase_if(left->entries, [&](const Entry& entry) { return !service.depends_on.contains(entry.key); });
    if (left->entries.empty()) storage.erase("depends_on");
  }
  return storage;
}

/// Calls `act(name, tree)` for every service of `project`, in the order of names.
template <class Act>
void each_service(const model::Project& project, bool disabled_too, Act act) {
  const Node* section = project.tree->find("services");
  if (section == nullptr) return;
  for (const Entry& entry : section->entries) {
    Node storage;
    const auto found = project.services.find(entry.key);
    if (found != project.services.end()) act(entry.key, service_view(entry.value, found->second, storage));
    else if (disabled_too) act(entry.key, entry.value);
  }
}

template <class Map>
void copy_section(const Node& tree, std::string_view kind, const Map& present, Node& out) {
  const Node* section = tree.find(kind);
  if (section == nullptr || present.empty()) return;
  Node copy = Node::make_mapping(section->at);
  for (const Entry& entry : section->entries)
    if (present.contains(entry.key)) copy.entries.push_back(entry);
  if (!copy.entries.empty()) out.entries.push_back(Entry{std::string(kind), {}, std::move(copy)});
}

/// What `project` holds besides its name and services, in the order YAML prints it.
Node rest_of(const model::Project& project) {
  Node out = Node::make_mapping();
  copy_section(*project.tree, "networks", project.networks, out);
  copy_section(*project.tree, "volumes", project.volumes, out);
  copy_section(*project.tree, "secrets", project.secrets, out);
  copy_section(*project.tree, "configs", project.configs, out);
  copy_section(*project.tree, "models", project.models, out);
  for (const Entry& entry : project.tree->entries)
    if (is_extension(entry.key)) out.entries.push_back(entry);
  return out;
}

std::string services_json(const model::Project& project, const JsonStyle& style, bool disabled_too) {
  std::string out;
  each_service(project, disabled_too, [&](const std::string& name, const Node& service) {
    out += out.empty() ? "{" : ",";
    if (style.indented) out += "\n    ";
    out += write_json(Node::make_string(name), nullptr, style) + (style.indented ? ": " : ":");
    out += write_json(service, &service_rule(), style, 2);
  });
  return out.empty() ? "{}" : out + (style.indented ? "\n  }" : "}");
}

struct ProjectJson {
  JsonStyle style;
  bool models = false, disabled = false;
};

/// Top-level JSON is a Go map: keys sorted, models not part of it, x-… are.
std::string project_json(const model::Project& project, const ProjectJson& what) {
  std::vector<std::pair<std::string, std::string>> parts;
  parts.emplace_back("name", write_json(Node::make_string(project.name), nullptr, what.style));
  parts.emplace_back("services", services_json(project, what.style, what.disabled));
  for (const Entry& entry : rest_of(project).entries) {
    if (entry.key == "models" && !what.models) continue;
    const Rule* rule = is_extension(entry.key) ? nullptr : attribute(file_rule(), entry.key);
    parts.emplace_back(entry.key, write_json(entry.value, rule, what.style, 1));
  }
  std::sort(parts.begin(), parts.end());
  std::string out = "{";
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += ',';
    if (what.style.indented) out += "\n  ";
    out += write_json(Node::make_string(parts[i].first), nullptr, what.style) + (what.style.indented ? ": " : ":") + parts[i].second;
  }
  return out + (what.style.indented ? "\n}" : "}");
}

}  // namespace

std::string to_yaml(const model::Project& project) {
  std::string out;
  if (!project.name.empty()) append_yaml(out, "name", Node::make_string(project.name), nullptr, 0);
  const std::size_t begin = out.size();
  // go-yaml sorts free keys its own way.
  std::vector<std::pair<std::string, std::string>> services;
  each_service(project, false, [&](const std::string& name, const Node& service) {
    std::string text;
    append_yaml(text, name, service, &service_rule(), 2);
    services.emplace_back(name, std::move(text));
  });
  std::stable_sort(services.begin(), services.end(), [](const auto& a, const auto& b) { return natural_less(a.first, b.first); });
  for (const auto& [name, text] : services) out += (out.size() == begin ? "services:\n" : "") + text;
  if (out.size() == begin) out += "services: {}\n";
  if (const Node rest = rest_of(project); !rest.entries.empty()) out += write_yaml(rest, &file_rule());
  return double_dollars(std::move(out));
}

namespace {

bool has_endless(const Node& node) {
  return (node.kind == Kind::real && !std::isfinite(node.number)) ||
         std::any_of(node.items.begin(), node.items.end(), has_endless) ||
         std::any_of(node.entries.begin(), node.entries.end(), [](const Entry& entry) { return has_endless(entry.value); });
}

}  // namespace

std::string json_obstacle(const model::Project& project) {
  // Most numbers have a type that excludes them; x-… below the top level is not printed as JSON.
  for (const Entry& entry : project.tree->entries)
    if (is_extension(entry.key) && has_endless(entry.value)) return entry.key + " holds a number that JSON cannot write";
  std::string found;
  each_service(project, false, [&](const std::string& name, const Node& service) {
    for (const std::string_view key : {"cpus", "cpu_percent", "deploy"})
      if (const Node* node = service.find(key); node != nullptr && has_endless(*node))
        found = "services." + name + "." + std::string(key) + " holds a number that JSON cannot write";
  });
  return found;
}

std::string to_json(const model::Project& project) { return double_dollars(project_json(project, {.style = {}})); }

std::string to_generation_json(const model::Project& project) {
  return double_dollars(
      project_json(project, {.style = {.indented = false, .escape_html = false}, .models = true, .disabled = true}));
}

std::vector<std::string> service_names(const model::Project& project) { return dependency_order(project); }

std::vector<std::string> volume_names(const model::Project& project) {
  std::vector<std::string> names;
  for (const auto& [name, volume] : project.volumes) names.push_back(name);
  return names;
}

std::vector<std::string> network_names(const model::Project& project) {
  std::vector<std::string> names;
  for (const auto& [name, network] : project.networks) names.push_back(name);
  return names;
}

std::vector<std::string> image_names(const model::Project& project, const std::string& separator) {
  std::vector<std::string> names;
  for (const auto& [name, service] : project.services)
    names.push_back(service.image.empty() ? project.name + separator + name : service.image);
  return names;
}

std::vector<std::string> profile_names(const model::Project& project) {
  std::set<std::string> names;
  for (const auto* services : {&project.services, &project.disabled_services})
    for (const auto& [name, service] : *services) names.insert(service.profiles.begin(), service.profiles.end());
  return {names.begin(), names.end()};
}

std::vector<std::string> model_names(const model::Project& project) {
  std::vector<std::string> names;
  for (const auto& [name, model] : project.models)
    if (!model.model.empty()) names.push_back(model.model);
  return names;
}

std::vector<std::string> environment_lines(const model::Project& project) {
  std::vector<std::string> lines;
  for (const auto& [name, value] : project.environment) lines.push_back(name + "=" + value);
  return lines;
}

std::string config_hash(const model::Project& project, const std::string& service) {
  const Node* services = project.tree == nullptr ? nullptr : project.tree->find("services");
  const Node* node = services == nullptr ? nullptr : services->find(service);
  const model::Service* bound = project.find_service(service);
  if (node == nullptr || bound == nullptr) return "";
  Node storage;
  Node view = service_view(*node, *bound, storage);
  for (const std::string_view key : {"build", "pull_policy", "scale", "depends_on", "profiles"}) view.erase(key);
  if (Node* deploy = view.find("deploy")) deploy->erase("replicas");
  return hex_sha256(write_json(view, attribute(file_rule(), "services")->value, {.indented = false, .escape_html = true}));
}

}  // namespace compose::load
