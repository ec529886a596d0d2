#include "compose/load/normalize.h"

#include "compose/load/merge.h"

namespace compose::load {
namespace {

class Normalizer {
 public:
  Normalizer(Node& document, const std::string& project, const model::StringMap& environment)
      : document_(document), project_(project), environment_(environment) {}

  void run() {
    bool uses_default = false;
    if (Node* services = document_.find("services")) {
      for (Entry& entry : services->entries) {
        if (!entry.value.is_mapping()) continue;
        uses_default = network(entry.value) || uses_default;
        service(entry.value);
      }
    }
    if (uses_default) {
      Node& networks = document_.at_key("networks");
      if (networks.is_null()) networks = Node::make_mapping();
      if (networks.is_mapping()) networks.at_key("default");
    }
    for (const std::string_view kind : {"networks", "volumes", "configs", "secrets"}) names(kind);
  }

 private:
  /// True when the service is on the default network.
  static bool network(Node& service) {
    if (service.find("provider") != nullptr || service.find("network_mode") != nullptr) return false;
    Node* networks = service.find("networks");
    if (networks == nullptr || (networks->is_mapping() && networks->entries.empty())) {
      Node& made = service.at_key("networks");
      made = Node::make_mapping(service.at);
      made.at_key("default");
      return true;
    }
    return networks->find("default") != nullptr;
  }

  void service(Node& service) {
    if (Node* policy = service.find("pull_policy"); policy != nullptr && policy->text == "if_not_present")
      policy->text = "missing";
    if (Node* build = service.find("build"); build != nullptr && build->is_mapping()) {
      if (build->find("dockerfile") == nullptr && build->find("dockerfile_inline") == nullptr)
        build->at_key("dockerfile") = Node::make_string("Dockerfile", build->at);
      if (Node* args = build->find("args")) build_args(*args);
    }
    if (Node* volumes = service.find("volumes"))
      for (Node& volume : volumes->items)
        if (Node* target = volume.find("target"); target != nullptr && target->is_string() && target->text.empty()) target->text = ".";
    for (const std::string_view key : {"network_mode", "ipc", "pid", "uts", "cgroup"}) {
      const Node* mode = service.find(key);
      if (mode != nullptr && mode->is_string() && mode->text.starts_with("service:"))
        depends(service, mode->text.substr(8), true, mode->at);
    }
    if (const Node* links = service.find("links"))
      for (const Node& link : std::vector<Node>(links->items))
        depends(service, linked_service(link.text), true, link.at);
    if (const Node* from = service.find("volumes_from"))
      for (const Node& item : std::vector<Node>(from->items))
        if (!item.text.starts_with("container:")) depends(service, item.text.substr(0, item.text.find(':')), false, item.at);
  }

  /// "service:alias" → "service"; Docker Compose takes anything else as it is.
  static std::string linked_service(const std::string& link) {
    const auto colon = link.find(':');
    return colon != std::string::npos && link.find(':', colon + 1) == std::string::npos ? link.substr(0, colon) : link;
  }

  static void depends(Node& service, const std::string& name, bool restart, Position at) {
    Node& dependencies = service.at_key("depends_on");
    if (!dependencies.is_mapping()) dependencies = Node::make_mapping(at);
    if (dependencies.find(name) != nullptr) return;
    Node& dependency = dependencies.at_key(name, at);
    dependency = Node::make_mapping(at);
    dependency.at_key("condition", at) = Node::make_string("service_started", at);
    dependency.at_key("restart", at) = Node::make_boolean(restart, at);
    dependency.at_key("required", at) = Node::make_boolean(true, at);
  }

  /// A build argument without a value is the environment's, or nothing at all.
  void build_args(Node& args) const {
    const auto value_of = [&](const std::string& name) -> const std::string* {
      const auto found = environment_.find(name);
      return found == environment_.end() ? nullptr : &found->second;
    };
    std::erase_if(args.entries, [&](Entry& entry) {
      if (!entry.value.is_null()) return false;
      const std::string* value = value_of(entry.key);
      if (value != nullptr) entry.value = Node::make_string(*value, entry.value.at);
      return value == nullptr;
    });
    std::erase_if(args.items, [&](Node& item) {
      if (!item.is_string() || item.text.find('=') != std::string::npos) return false;
      const std::string* value = value_of(item.text);
      if (value != nullptr) item.text += "=" + *value;
      return value == nullptr;
    });
  }

  void names(std::string_view kind) {
    Node* section = document_.find(kind);
    if (section == nullptr || !section->is_mapping()) return;
    for (Entry& entry : section->entries) {
      if (entry.value.is_null()) entry.value = Node::make_mapping(entry.key_at);
      if (!entry.value.is_mapping() || entry.value.find("name") != nullptr) continue;
      const Node* external = entry.value.find("external");
      const bool foreign = external != nullptr && ((external->kind == Kind::boolean && external->boolean) ||
                                                   (external->is_string() && external->text == "true"));
      entry.value.at_key("name", entry.key_at) =
          Node::make_string(foreign ? entry.key : project_ + "_" + entry.key, entry.key_at);
    }
  }

  Node& document_;
  const std::string& project_;
  const model::StringMap& environment_;
};

}  // namespace

void normalize(Context&, Node& document, const std::string& project, const model::StringMap& environment) {
  Normalizer(document, project, environment).run();
}

}  // namespace compose::load
