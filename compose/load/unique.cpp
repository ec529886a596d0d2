#include <unordered_map>

#include "compose/load/merge.h"
#include "compose/load/shorts.h"

namespace compose::load {
namespace {

std::string field(const Node& map, std::string_view key) {
  const Node* found = map.find(key);
  return found == nullptr ? "" : scalar_text(*found);
}

std::string key_of_port(const Node& item) {
  if (!item.is_mapping()) return scalar_text(item);
  const Node* published = item.find("published");
  std::string host = field(item, "host_ip");
  // A number and a string are different here: Docker Compose tells `published: 80` from `published: "80"`.
  if (published != nullptr) host += ":" + std::string(published->is_string() ? "" : "#") + scalar_text(*published);
  const std::string protocol = field(item, "protocol");
  return "{" + host + ":" + field(item, "target") + "/" + (protocol.empty() ? "tcp" : protocol);
}

std::string key_of_file(const Node& item, std::string_view folder) {
  if (item.is_string()) return folder.empty() ? item.text : std::string(folder) + "/" + item.text;
  const std::string target = field(item, "target");
  if (!target.empty()) return target;
  const std::string source = field(item, "source");
  return folder.empty() ? source : std::string(folder) + "/" + source;
}

std::string key_of(const Node& item, Unique unique) {
  switch (unique) {
    case Unique::none: return "";
    case Unique::key_value: {
      const std::string text = scalar_text(item);
      return text.substr(0, text.find('='));
    }
    case Unique::mount: return item.is_mapping() ? field(item, "target") : parse_mount(scalar_text(item)).target;
    case Unique::device: return item.is_mapping() ? field(item, "target") : parse_device(scalar_text(item)).target;
    case Unique::config: return key_of_file(item, "");
    case Unique::secret: return key_of_file(item, "/run/secrets");
    case Unique::port: return key_of_port(item);
    case Unique::expose: return scalar_text(item);
    case Unique::env_file: return item.is_mapping() ? field(item, "path") : scalar_text(item);
  }
  return "";
}

void unify(Node& list, Unique unique) {
  if (list.items.size() < 2) return;
  std::unordered_map<std::string, std::size_t> seen;
  std::vector<Node> kept;
  kept.reserve(list.items.size());
  for (Node& item : list.items) {
    const auto [found, added] = seen.emplace(key_of(item, unique), kept.size());
    if (added) kept.push_back(std::move(item));
    else kept[found->second] = std::move(item);
  }
  list.items = std::move(kept);
}

}  // namespace

void enforce_unique(Node& node, const Rule* rule) {
  if (rule == nullptr) return;
  if (node.is_sequence() && rule->unique != Unique::none) unify(node, rule->unique);
  for (Entry& entry : node.entries)
    if (!is_extension(entry.key) && !entry.value.is_scalar()) enforce_unique(entry.value, attribute(*rule, entry.key));
  for (Node& item : node.items)
    if (!item.is_scalar()) enforce_unique(item, item_of(*rule));
}

}  // namespace compose::load
