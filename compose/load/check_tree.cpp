#include <arpa/inet.h>

#include "compose/load/checks.h"
#include "compose/load/merge.h"
#include "compose/load/units.h"

namespace compose::load {
namespace {

bool is_true(const Node* node) {
  return node != nullptr && ((node->kind == Kind::boolean && node->boolean) || (node->is_string() && node->text == "true"));
}

class TreeChecks {
 public:
  TreeChecks(Context& context, const Node& document) : context_(context), document_(document) {}

  void run() {
    each("volumes", [&](const Node& volume, const Path& path) { check_volume(volume, path); });
    each("configs", [&](const Node& n, const Path& path) { check_source(n, path, {"file", "environment", "content"}); });
    each("secrets", [&](const Node& n, const Path& path) { check_source(n, path, {"file", "environment"}); });
    each("services", [&](const Node& service, const Path& path) { check_service(service, path); });
  }

 private:
  template <class Check>
  void each(std::string_view kind, Check check) {
    const Node* section = document_.find(kind);
    if (section == nullptr) return;
    const Path top;
    const Path here(top, kind);
    for (const Entry& entry : section->entries)
      if (entry.value.is_mapping()) check(entry.value, Path(here, entry.key));
  }

  void check_volume(const Node& volume, const Path& path) {
    if (!is_true(volume.find("external"))) return;
    for (const Entry& entry : volume.entries)
      if (entry.key != "external" && entry.key != "name" && !is_extension(entry.key))
        context_.error(entry.key_at, path, "an external volume has no '" + entry.key + "'",
                       "it is made outside of this project: only its name may be given");
  }

  void check_source(const Node& node, const Path& path, const std::vector<std::string_view>& kinds) {
    std::size_t count = 0;
    std::string list;
    for (const auto kind : kinds) {
      if (node.find(kind) != nullptr) ++count;
      list.append(list.empty() ? "" : ", ").append(kind);
    }
    if (count > 1) context_.error(node.at, path, "only one of " + list + " may be given");
    if (count == 0 && node.find("external") == nullptr && node.find("driver") == nullptr)
      context_.error(node.at, path, "one of " + list + " must be given");
  }

  void check_service(const Node& service, const Path& path) {
    if (const Node* ports = service.find("ports")) check_ports(*ports, Path(path, "ports"));
    check_targets(service.find("volumes"), Path(path, "volumes"));
    check_targets(service.find("devices"), Path(path, "devices"));
    if (const Node* gpus = service.find("gpus")) check_devices(*gpus, Path(path, "gpus"));
    if (const Node* deploy = service.find("deploy")) {
      const Path at_deploy(path, "deploy");
      const Node* resources = deploy->find("resources");
      const Node* reservations = resources == nullptr ? nullptr : resources->find("reservations");
      const Node* devices = reservations == nullptr ? nullptr : reservations->find("devices");
      const Path at_resources(at_deploy, "resources");
      const Path at_reservations(at_resources, "reservations");
      if (devices != nullptr) check_devices(*devices, Path(at_reservations, "devices"));
      not_negative(deploy->find("replicas"), Path(at_deploy, "replicas"));
    }
    not_negative(service.find("scale"), Path(path, "scale"));
    check_develop(service, path);
  }

  void not_negative(const Node* node, const Path& path) {
    if (node == nullptr) return;
    if ((node->kind == Kind::integer && node->integer < 0) || (node->kind == Kind::real && truncate(node->number) < 0))
      context_.error(node->at, path, scalar_text(*node) + " is negative");
  }

  /// Mounts and devices are told apart by their target: it must be written, though it may be "".
  void check_targets(const Node* list, const Path& path) {
    if (list == nullptr) return;
    for (std::size_t i = 0; i < list->items.size(); ++i)
      if (list->items[i].is_mapping() && list->items[i].find("target") == nullptr)
        context_.error(list->items[i].at, Path(path, i), "has no target");
  }

  void check_ports(const Node& ports, const Path& path) {
    for (std::size_t i = 0; i < ports.items.size(); ++i) {
      if (ports.items[i].is_mapping() && ports.items[i].find("target") == nullptr)
        context_.error(ports.items[i].at, Path(path, i), "'target' is missing: the container's port");
      const Node* address = ports.items[i].find("host_ip");
      if (address == nullptr || !address->is_string()) continue;
      unsigned char buffer[16];
      if (::inet_pton(AF_INET, address->text.c_str(), buffer) != 1 && ::inet_pton(AF_INET6, address->text.c_str(), buffer) != 1)
        context_.error(address->at, Path(path, i), "'" + address->text + "' is not an IP address");
    }
  }

  void check_devices(const Node& devices, const Path& path) {
    for (std::size_t i = 0; i < devices.items.size(); ++i)
      if (devices.items[i].find("count") != nullptr && devices.items[i].find("device_ids") != nullptr)
        context_.error(devices.items[i].at, Path(path, i), "only one of 'count' and 'device_ids' may be given");
  }

  void check_develop(const Node& service, const Path& path) {
    const Node* develop = service.find("develop");
    const Node* watch = develop == nullptr ? nullptr : develop->find("watch");
    if (watch == nullptr) return;
    const Path at_develop(path, "develop");
    const Path at_watch(at_develop, "watch");
    for (std::size_t i = 0; i < watch->items.size(); ++i) {
      const Node* watched = watch->items[i].find("path");
      if (watched != nullptr && watched->is_string() && watched->text.empty())
        context_.error(watched->at, Path(at_watch, i), "'path' cannot be empty");
    }
  }

  Context& context_;
  const Node& document_;
};

}  // namespace

void check_tree(Context& context, const Node& document) { TreeChecks(context, document).run(); }

}  // namespace compose::load
