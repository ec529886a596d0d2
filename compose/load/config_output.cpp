#define OPENSSL_SUPPRESS_DEPRECATED  // SHA256_Init and friends: the EVP way loads providers, a millisecond at start
#include "compose/load/config_output.h"

#include <openssl/sha.h>

#include <algorithm>
#include <set>

#include "compose/load/session.h"
#include "compose/load/template.h"
#include "compose/load/writer.h"

namespace compose::load {
namespace {

/// What a caller changed in the model after loading, and what selection dropped, applied to the service's tree.
Node service_view(const Node& node, const model::Service& service) {
  Node view = node;
  if (Node* image = view.find("image")) {
    image->text = service.image;
  } else if (!service.image.empty()) {
    const Rule& rule = *attribute(file_rule(), "services")->value;
    const auto rows = rule.object->attributes;
    const auto rank = [&](std::string_view key) {
      return std::find_if(rows.begin(), rows.end(), [&](const Rule& row) { return row.key == key; }) - rows.begin();
    };
    const auto before = std::find_if(view.entries.begin(), view.entries.end(),
                                     [&](const Entry& entry) { return rank(entry.key) > rank("image"); });
    view.entries.insert(before, Entry{"image", {}, Node::make_string(service.image)});
  }
  if (Node* dependencies = view.find("depends_on")) {
    std::erase_if(dependencies->entries, [&](const Entry& entry) { return !service.depends_on.contains(entry.key); });
    if (dependencies->entries.empty()) view.erase("depends_on");
  }
  return view;
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

void copy_services(const model::Project& project, Node& out, bool disabled_too) {
  Node services = Node::make_mapping();
  if (const Node* section = project.tree->find("services")) {
    for (const Entry& entry : section->entries) {
      const auto found = project.services.find(entry.key);
      if (found != project.services.end())
        services.entries.push_back(Entry{entry.key, entry.key_at, service_view(entry.value, found->second)});
      else if (disabled_too)
        services.entries.push_back(entry);
    }
  }
  out.entries.push_back(Entry{"services", {}, std::move(services)});
}

/// The part of the tree that `project` holds, sections in the order YAML prints them.
Node view_of(const model::Project& project, bool disabled_too = false) {
  Node out = Node::make_mapping();
  out.entries.push_back(Entry{"name", {}, Node::make_string(project.name)});
  copy_services(project, out, disabled_too);
  copy_section(*project.tree, "networks", project.networks, out);
  copy_section(*project.tree, "volumes", project.volumes, out);
  copy_section(*project.tree, "secrets", project.secrets, out);
  copy_section(*project.tree, "configs", project.configs, out);
  copy_section(*project.tree, "models", project.models, out);
  for (const Entry& entry : project.tree->entries)
    if (is_extension(entry.key)) out.entries.push_back(entry);
  return out;
}

/// Top-level JSON is a Go map: keys sorted, models not part of it, x-… are.
std::string project_json(const Node& view, const JsonStyle& style, bool with_models) {
  std::vector<const Entry*> order;
  for (const Entry& entry : view.entries)
    if (with_models || entry.key != "models") order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) { return a->key < b->key; });
  std::string out = "{";
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Entry& entry = *order[i];
    const Rule* rule = is_extension(entry.key) ? nullptr : attribute(file_rule(), entry.key);
    std::string value = write_json(entry.value, rule, style);
    if (style.indented) {
      out += i == 0 ? "\n  " : ",\n  ";
      std::string deeper;
      for (const char c : value) {
        deeper += c;
        if (c == '\n') deeper += "  ";
      }
      value = std::move(deeper);
    } else if (i > 0) {
      out += ',';
    }
    out += write_json(Node::make_string(entry.key), nullptr, style) + (style.indented ? ": " : ":") + value;
  }
  return out + (style.indented ? "\n}" : "}");
}

}  // namespace

std::string to_yaml(const model::Project& project) {
  return double_dollars(write_yaml(view_of(project), &file_rule()));
}

std::string to_json(const model::Project& project) { return double_dollars(project_json(view_of(project), {}, false)); }

std::string to_generation_json(const model::Project& project) {
  return double_dollars(project_json(view_of(project, true), {.indented = false, .escape_html = false}, true));
}

std::vector<std::string> service_names(const model::Project& project) {
  std::vector<std::string> names;
  for (const auto& [name, service] : project.services) names.push_back(name);
  return names;
}

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

std::vector<std::string> image_names(const model::Project& project) {
  std::vector<std::string> names;
  for (const auto& [name, service] : project.services)
    names.push_back(service.image.empty() ? project.name + "-" + name : service.image);
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
  for (const auto& [name, model] : project.models) names.push_back(model.model);
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
  Node view = service_view(*node, *bound);
  for (const std::string_view key : {"build", "pull_policy", "scale", "depends_on", "profiles"}) view.erase(key);
  if (Node* deploy = view.find("deploy")) deploy->erase("replicas");
  const std::string text = write_json(view, attribute(file_rule(), "services")->value, {.indented = false, .escape_html = true});
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256_CTX state;
  SHA256_Init(&state);
  SHA256_Update(&state, text.data(), text.size());
  SHA256_Final(digest, &state);
  std::string hex;
  for (const unsigned char byte : digest) hex.append(1, "0123456789abcdef"[byte >> 4U]).append(1, "0123456789abcdef"[byte & 0xFU]);
  return hex;
}

}  // namespace compose::load
