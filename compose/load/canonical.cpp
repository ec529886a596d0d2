#include "compose/load/canonical.h"

#include <functional>

#include "compose/load/merge.h"
#include "compose/load/shorts.h"

namespace compose::load {
namespace {

void put(Node& map, std::string_view key, std::string value, Position at) {
  if (!value.empty()) map.at_key(key, at) = Node::make_string(std::move(value), at);
}

class Canonical {
 public:
  explicit Canonical(Context& context) : context_(context) {}

  void walk(Node& node, const Rule& rule, const Path& path) {
    expand(node, rule, path);
    if (node.is_mapping()) {
      for (Entry& entry : node.entries) {
        if (is_extension(entry.key)) continue;
        const Rule* row = attribute(rule, entry.key);
        if (row != nullptr) walk(entry.value, *row, Path(path, entry.key));
      }
    } else if (node.is_sequence() && rule.item != nullptr) {
      for (std::size_t i = 0; i < node.items.size(); ++i) walk(node.items[i], *rule.item, Path(path, i));
    }
  }

 private:
  void expand(Node& node, const Rule& rule, const Path& path) {
    // Otherwise it is a number by now.
    if (rule.form == Form::ulimit && node.is_string() && !context_.options.interpolate)
      context_.error(node.at, path, "a limit must be a number where variables stay in their place");
    switch (rule.expand) {
      case Short::build:
        if (node.is_string()) wrap(node, "context");
        return;
      case Short::extends:
        if (node.is_string()) wrap(node, "service");
        return;
      case Short::key_value: return key_values(node, path);
      case Short::depends_on: return dependencies(node);
      case Short::env_file: return env_files(node);
      case Short::list: node = as_sequence(std::move(node)); return;
      case Short::gpus:
        if (node.is_string()) gpus(node);
        return;
      case Short::names:
      case Short::models: node = names_as_mapping(std::move(node)); return;
      case Short::mount:
        if (node.is_string()) mount(node, path);
        else if (Node* target = node.find("target"); target != nullptr && target->is_string())
          target->text = clean_path(target->text);
        return;
      case Short::file:
      case Short::secret_file:
        if (node.is_string()) wrap(node, "source");
        return;
      case Short::port: return ports(node, path);
      case Short::ssh: return ssh(node, path);
      case Short::device:
        if (node.is_string()) device(node, path);
        return;
      case Short::text:
        if (node.kind == Kind::boolean) node = Node::make_string(scalar_text(node), node.at);
        return;
      case Short::external: return external(node, path);
      case Short::none:
      case Short::service:
      case Short::include:
      case Short::networks:
      case Short::device_request: return;
    }
  }

  static void wrap(Node& node, std::string_view key) {
    Node map = Node::make_mapping(node.at);
    const Position at = node.at;
    map.at_key(key, at) = std::move(node);
    node = std::move(map);
  }

  void key_values(Node& node, const Path& path) {
    if (!node.is_sequence()) return;
    Node map = Node::make_mapping(node.at);
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const Node& item = node.items[i];
      const auto equals = item.text.find('=');
      if (equals == std::string::npos) {
        if (!context_.options.interpolate) return;
        unreadable(item, Path(path, i), "'" + item.text + "' has no value: write name=value");
      }
      Node& value = map.at_key(item.text.substr(0, equals), item.at);
      value = equals == std::string::npos ? Node::make_null(item.at) : Node::make_string(item.text.substr(equals + 1), item.at);
    }
    node = std::move(map);
  }

  static void dependencies(Node& node) {
    node = dependencies_as_mapping(std::move(node));
    for (Entry& entry : node.entries)
      if (entry.value.is_mapping() && entry.value.find("required") == nullptr)
        entry.value.at_key("required", entry.value.at) = Node::make_boolean(true, entry.value.at);
  }

  static void env_files(Node& node) {
    node = as_sequence(std::move(node));
    for (Node& item : node.items) {
      if (item.is_string()) wrap(item, "path");
      if (item.is_mapping() && item.find("required") == nullptr)
        item.at_key("required", item.at) = Node::make_boolean(true, item.at);
    }
  }

  static void gpus(Node& node) {
    Node list = Node::make_sequence(node.at);
    wrap(node, "count");
    list.items.push_back(std::move(node));
    node = std::move(list);
  }

  void unreadable(const Node& node, const Path& path, const std::string& message) {
    if (context_.options.interpolate) context_.error(node.at, path, message);
  }

  void mount(Node& node, const Path& path) {
    const ShortMount parsed = parse_mount(node.text);
    // Also with variables in place: mounts are told apart by their targets.
    if (!parsed.error.empty()) return context_.error(node.at, path, parsed.error);
    const Position at = node.at;
    const bool tiny = node.text.size() <= 2;
    Node map = Node::make_mapping(at);
    put(map, "type", parsed.type, at);
    put(map, "source", parsed.source, at);
    put(map, "target", parsed.target, at);
    if (parsed.read_only) map.at_key("read_only", at) = Node::make_boolean(true, at);
    if (parsed.type == "bind" || parsed.bind) {
      Node& bind = map.at_key("bind", at) = Node::make_mapping(at);
      put(bind, "propagation", parsed.propagation, at);
      put(bind, "selinux", parsed.selinux, at);
      // Short syntax has always made a missing directory on the host; long syntax must ask for it.
      if (parsed.type == "bind") bind.at_key("create_host_path", at) = Node::make_boolean(true, at);
    }
    if ((parsed.type == "volume" && !tiny) || parsed.nocopy) {
      Node& volume = map.at_key("volume", at) = Node::make_mapping(at);
      if (parsed.nocopy) volume.at_key("nocopy", at) = Node::make_boolean(true, at);
    }
    node = std::move(map);
  }

  void ports(Node& node, const Path& path) {
    if (!node.is_sequence()) return;
    std::vector<Node> expanded;
    expanded.reserve(node.items.size());
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const Node& item = node.items[i];
      if (!item.is_string() && item.kind != Kind::integer) {
        if (item.kind == Kind::real) context_.error(item.at, Path(path, i), scalar_text(item) + " is not a port");
        expanded.push_back(item);
        continue;
      }
      const bool enough = ports_ > context_.limits.range_ports_max;
      const ShortPorts parsed = enough ? ShortPorts{} : parse_ports(scalar_text(item));
      ports_ += parsed.ports.size();
      if (!parsed.error.empty() || ports_ > context_.limits.range_ports_max) {
        // With variables in place the list stays as it is written, as a whole.
        if (item.is_string() && !context_.options.interpolate) return;
        context_.error(item.at, Path(path, i), parsed.error.empty() ? "too many ports in all" : parsed.error);
        continue;
      }
      for (const ShortPort& port : parsed.ports) expanded.push_back(port_mapping(port, item.at));
    }
    node.items = std::move(expanded);
  }

  static Node port_mapping(const ShortPort& port, Position at) {
    Node map = Node::make_mapping(at);
    put(map, "mode", "ingress", at);
    put(map, "host_ip", port.host_ip, at);
    map.at_key("target", at) = Node::make_integer(port.target, at);
    put(map, "published", port.published, at);
    put(map, "protocol", port.protocol, at);
    return map;
  }

  void ssh(Node& node, const Path& path) {
    if (!node.is_sequence()) return;
    Node map = Node::make_mapping(node.at);
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const Node& item = node.items[i];
      const auto equals = item.text.find('=');
      const bool alone = equals == std::string::npos;
      if (alone && item.text != "default")
        context_.error(item.at, Path(path, i), "'" + item.text + "' is no ssh key: write id=path, or default for the agent");
      map.at_key(item.text.substr(0, equals), item.at) =
          alone ? Node::make_null(item.at) : Node::make_string(item.text.substr(equals + 1), item.at);
    }
    node = std::move(map);
  }

  void device(Node& node, const Path& path) {
    const ShortDevice parsed = parse_device(node.text);
    if (!parsed.error.empty()) return unreadable(node, path, parsed.error);
    const Position at = node.at;
    Node map = Node::make_mapping(at);
    map.at_key("source", at) = Node::make_string(parsed.source, at);
    map.at_key("target", at) = Node::make_string(parsed.target, at);
    map.at_key("permissions", at) = Node::make_string(parsed.permissions, at);
    node = std::move(map);
  }

  /// `external: {name: x}` is the old way to write `external: true, name: x`.
  void external(Node& node, const Path& path) {
    if (!node.is_mapping()) return;
    Node* external = node.find("external");
    if (external == nullptr || !external->is_mapping()) return;
    const Position at = external->at;
    const Node* old_name = external->find("name");
    if (old_name != nullptr) {
      const Node name_value = *old_name;
      context_.warn(at, path.text() + ": external.name is deprecated. Please set name and external: true");
      const Node* name = node.find("name");
      if (name != nullptr && !same_value(*name, name_value))
        context_.error(name_value.at, path, "external.name and name differ", "only use name");
      *node.find("external") = Node::make_boolean(true, at);
      node.at_key("name", name_value.at) = name_value;
      return;
    }
    *external = Node::make_boolean(true, at);
  }

  Context& context_;
  std::size_t ports_ = 0;
};

/// Empty strings in these lists are variables that came out empty: they are no items.
void drop_empty_items(Node* list) {
  if (list == nullptr || !list->is_sequence()) return;
  std::erase_if(list->items, [](const Node& item) { return item.is_string() && item.text.empty(); });
}

void for_each_service(Node& document, const std::function<void(Node&)>& act) {
  Node* services = document.find("services");
  if (services == nullptr || !services->is_mapping()) return;
  for (Entry& entry : services->entries)
    if (entry.value.is_mapping()) act(entry.value);
}

void default_text(Node& map, std::string_view key, std::string_view value) {
  if (map.find(key) == nullptr) map.at_key(key) = Node::make_string(std::string(value), map.at);
}

void default_device(Node& request) {
  if (!request.is_mapping() || request.find("count") != nullptr || request.find("device_ids") != nullptr) return;
  request.at_key("count") = Node::make_string("all", request.at);
}

void default_devices(Node* list) {
  if (list == nullptr) return;
  for (Node& item : list->items) default_device(item);
}

void default_service(Node& service) {
  if (Node* build = service.find("build"); build != nullptr && build->is_mapping()) default_text(*build, "context", ".");
  if (Node* secrets = service.find("secrets"))
    for (Node& item : secrets->items)
      if (const Node* source = item.find("source"); item.is_mapping() && item.find("target") == nullptr)
        item.at_key("target") = Node::make_string("/run/secrets/" + (source == nullptr ? "%!s(<nil>)" : source->text), item.at);
  if (Node* ports = service.find("ports"))
    for (Node& item : ports->items)
      if (item.is_mapping()) {
        default_text(item, "mode", "ingress");
        default_text(item, "protocol", "tcp");
      }
  default_devices(service.find("gpus"));
  if (Node* deploy = service.find("deploy"))
    if (Node* resources = deploy->find("resources"))
      if (Node* reservations = resources->find("reservations")) default_devices(reservations->find("devices"));
}

}  // namespace

void canonicalise(Context& context, Node& document) {
  Canonical(context).walk(document, file_rule(), Path());
  for_each_service(document, [](Node& service) { drop_empty_items(service.find("dns")); });
}

void set_defaults(Node& document) { for_each_service(document, default_service); }

}  // namespace compose::load
