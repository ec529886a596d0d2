#include "compose/load/bind.h"

#include "compose/load/merge.h"
#include "compose/load/units.h"

namespace compose::load {

std::string text_of(const Node& map, std::string_view key) {
  const Node* found = map.find(key);
  return found == nullptr ? "" : scalar_text(*found);
}

bool flag_of(const Node& map, std::string_view key, bool absent) {
  const Node* found = map.find(key);
  return found == nullptr || found->kind != Kind::boolean ? absent : found->boolean;
}

std::optional<std::int64_t> optional_integer(const Node& map, std::string_view key) {
  const Node* found = map.find(key);
  if (found == nullptr) return std::nullopt;
  if (found->kind == Kind::integer) return found->integer;
  return found->is_string() ? parse_int(found->text) : std::nullopt;
}

std::int64_t integer_of(const Node& map, std::string_view key, std::int64_t absent) {
  return optional_integer(map, key).value_or(absent);
}

double real_of(const Node& map, std::string_view key) {
  const Node* found = map.find(key);
  if (found == nullptr) return 0;
  return found->kind == Kind::real ? found->number : found->kind == Kind::integer ? static_cast<double>(found->integer) : 0;
}

std::optional<model::Duration> optional_duration(const Node& map, std::string_view key) {
  const Node* found = map.find(key);
  return found == nullptr || !found->is_string() ? std::nullopt : parse_duration(found->text);
}

model::Strings texts_of(const Node& map, std::string_view key) {
  model::Strings out;
  if (const Node* found = map.find(key))
    for (const Node& item : found->items) out.push_back(scalar_text(item));
  return out;
}

model::StringMap string_map_of(const Node& map, std::string_view key) {
  model::StringMap out;
  if (const Node* found = map.find(key))
    for (const Entry& entry : found->entries) out.emplace_hint(out.end(), entry.key, scalar_text(entry.value));
  return out;
}

model::Environment environment_of(const Node& map, std::string_view key) {
  model::Environment out;
  if (const Node* found = map.find(key))
    for (const Entry& entry : found->entries)
      out.emplace_hint(out.end(), entry.key,
                       entry.value.is_null() ? std::nullopt : std::optional(scalar_text(entry.value)));
  return out;
}

std::vector<model::FileReference> file_references(const Node& map, std::string_view key) {
  std::vector<model::FileReference> out;
  if (const Node* found = map.find(key)) {
    for (const Node& item : found->items) {
      model::FileReference file{text_of(item, "source"), text_of(item, "target"), text_of(item, "uid"), text_of(item, "gid"), {}};
      const std::string mode = text_of(item, "mode");
      if (!mode.empty()) file.mode = static_cast<std::uint32_t>(std::strtoul(mode.c_str(), nullptr, 8));
      out.push_back(std::move(file));
    }
  }
  return out;
}

std::map<std::string, model::Ulimit> ulimits_of(const Node& map) {
  std::map<std::string, model::Ulimit> out;
  if (const Node* found = map.find("ulimits")) {
    for (const Entry& entry : found->entries) {
      model::Ulimit limit;
      if (entry.value.kind == Kind::integer) {
        limit.single = entry.value.integer;
        limit.soft = limit.hard = entry.value.integer;
      } else {
        limit.soft = integer_of(entry.value, "soft");
        limit.hard = integer_of(entry.value, "hard");
      }
      out.emplace(entry.key, limit);
    }
  }
  return out;
}

model::Hook hook_of(const Node& map) {
  return {texts_of(map, "command"), text_of(map, "user"), text_of(map, "working_dir"), flag_of(map, "privileged"),
          environment_of(map, "environment")};
}

namespace {

model::Network bind_network(const std::string& key, const Node& node) {
  model::Network network;
  network.key = key;
  network.name = text_of(node, "name");
  network.driver = text_of(node, "driver");
  network.driver_opts = string_map_of(node, "driver_opts");
  if (const Node* ipam = node.find("ipam")) {
    network.ipam_driver = text_of(*ipam, "driver");
    if (const Node* pools = ipam->find("config"))
      for (const Node& pool : pools->items)
        network.ipam_config.push_back({text_of(pool, "subnet"), text_of(pool, "ip_range"), text_of(pool, "gateway"),
                                       string_map_of(pool, "aux_addresses")});
  }
  network.external = flag_of(node, "external");
  network.internal = flag_of(node, "internal");
  network.attachable = flag_of(node, "attachable");
  if (node.find("enable_ipv4") != nullptr) network.enable_ipv4 = flag_of(node, "enable_ipv4");
  if (node.find("enable_ipv6") != nullptr) network.enable_ipv6 = flag_of(node, "enable_ipv6");
  network.labels = string_map_of(node, "labels");
  return network;
}

model::Volume bind_volume(const std::string& key, const Node& node) {
  return {key, text_of(node, "name"), text_of(node, "driver"), string_map_of(node, "driver_opts"),
          flag_of(node, "external"), string_map_of(node, "labels")};
}

model::FileSource bind_source(const std::string& key, const Node& node, const model::StringMap& environment) {
  model::FileSource source;
  source.key = key;
  source.name = text_of(node, "name");
  source.file = text_of(node, "file");
  source.environment = text_of(node, "environment");
  source.content = text_of(node, "content");
  if (const auto found = environment.find(source.environment); !source.environment.empty() && found != environment.end())
    source.content = found->second;
  source.external = flag_of(node, "external");
  source.labels = string_map_of(node, "labels");
  source.driver = text_of(node, "driver");
  source.template_driver = text_of(node, "template_driver");
  source.driver_opts = string_map_of(node, "driver_opts");
  return source;
}

template <class Map, class Bind>
void bind_section(const Node& tree, std::string_view kind, Map& out, Bind bind) {
  if (const Node* section = tree.find(kind))
    for (const Entry& entry : section->entries) out.emplace(entry.key, bind(entry.key, entry.value));
}

}  // namespace

void bind_project(const Node& tree, model::Project& project) {
  bind_section(tree, "services", project.services, bind_service);
  bind_section(tree, "networks", project.networks, bind_network);
  bind_section(tree, "volumes", project.volumes, bind_volume);
  const auto source = [&](const std::string& key, const Node& node) { return bind_source(key, node, project.environment); };
  bind_section(tree, "configs", project.configs, source);
  bind_section(tree, "secrets", project.secrets, source);
  bind_section(tree, "models", project.models, [](const std::string& key, const Node& node) {
    return model::Model{key, text_of(node, "name"), text_of(node, "model"), integer_of(node, "context_size"),
                        texts_of(node, "runtime_flags")};
  });
}

}  // namespace compose::load
