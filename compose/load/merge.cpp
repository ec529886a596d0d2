#include "compose/load/merge.h"

#include <algorithm>

#include "compose/load/units.h"

namespace compose::load {

std::string scalar_text(const Node& node) {
  switch (node.kind) {
    case Kind::boolean: return node.boolean ? "true" : "false";
    case Kind::integer: return std::to_string(node.integer);
    case Kind::real: return node.exact ? node.text : format_real(node.number);
    case Kind::string: return node.text;
    default: return "";
  }
}

bool same_value(const Node& a, const Node& b) {
  const auto numeric = [](const Node& n) { return n.kind == Kind::integer || n.kind == Kind::real; };
  if (numeric(a) && numeric(b)) {
    const auto value = [](const Node& n) { return n.kind == Kind::integer ? static_cast<double>(n.integer) : n.number; };
    return value(a) == value(b);
  }
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::null: return true;
    case Kind::boolean: return a.boolean == b.boolean;
    case Kind::string: return a.text == b.text;
    case Kind::sequence:
      return std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), same_value);
    case Kind::mapping:
      return a.entries.size() == b.entries.size() && std::all_of(a.entries.begin(), a.entries.end(), [&](const Entry& e) {
               const Node* other = b.find(e.key);
               return other != nullptr && same_value(e.value, *other);
             });
    default: return false;
  }
}

namespace {

/// As Go's %v prints it.
std::string go_text(const Node& node) {
  if (node.is_null()) return "<nil>";
  if (node.is_scalar()) return scalar_text(node);
  std::vector<std::string> parts;
  for (const Node& item : node.items) parts.push_back(go_text(item));
  for (const Entry& entry : node.entries) parts.push_back(entry.key + ":" + go_text(entry.value));
  if (node.is_mapping()) std::sort(parts.begin(), parts.end());
  std::string text = node.is_mapping() ? "map[" : "[";
  for (std::size_t i = 0; i < parts.size(); ++i) text.append(i == 0 ? "" : " ").append(parts[i]);
  return text + "]";
}

}  // namespace

Node as_sequence(Node node) {
  if (node.is_sequence()) return node;
  Node list = Node::make_sequence(node.at);
  list.directive = node.directive;
  if (node.is_mapping()) {
    for (Entry& entry : node.entries) {
      if (entry.value.directive == Directive::reset) continue;
      if (entry.value.is_sequence()) {
        // A host with several addresses: one item each.
        for (const Node& item : entry.value.items)
          if (item.directive != Directive::reset) list.items.push_back(Node::make_string(entry.key + "=" + go_text(item), item.at));
        continue;
      }
      std::string text = entry.key;
      if (!entry.value.is_null()) text += "=" + go_text(entry.value);
      const bool placed = !entry.value.is_null() && entry.value.at.known();
      list.items.push_back(Node::make_string(std::move(text), placed ? entry.value.at : entry.key_at));
    }
    std::stable_sort(list.items.begin(), list.items.end(), [](const Node& a, const Node& b) { return a.text < b.text; });
  } else if (node.is_string()) {
    list.items.push_back(std::move(node));
  }
  return list;
}

namespace {

template <class Default>
Node list_as_mapping(Node node, Default value_for) {
  if (!node.is_sequence()) return node;
  Node map = Node::make_mapping(node.at);
  map.directive = node.directive;
  for (const Node& item : node.items)
    if (item.is_string()) map.at_key(item.text, item.at) = value_for(item.at);
  return map;
}

}  // namespace

Node names_as_mapping(Node node) {
  return list_as_mapping(std::move(node), [](Position at) { return Node::make_null(at); });
}

Node dependencies_as_mapping(Node node) {
  return list_as_mapping(std::move(node), [](Position at) {
    Node dependency = Node::make_mapping(at);
    dependency.at_key("condition", at) = Node::make_string("service_started", at);
    dependency.at_key("required", at) = Node::make_boolean(true, at);
    return dependency;
  });
}

namespace {

void merge_mappings(Context& context, Node& base, Node over, const Rule* rule, const Path& path) {
  for (Entry& entry : over.entries) {
    Node* mine = base.find(entry.key);
    if (mine == nullptr) {
      base.entries.push_back(std::move(entry));
      continue;
    }
    const Rule* row = rule == nullptr || is_extension(entry.key) ? nullptr : attribute(*rule, entry.key);
    merge(context, *mine, std::move(entry.value), row, Path(path, entry.key));
  }
}

void refuse(Context& context, const Node& base, const Node& over, const Path& path) {
  context.error(over.at, path,
                "cannot override " + std::string(kind_name(base.kind)) + " with " + std::string(kind_name(over.kind)));
}

void append(Node& base, Node over) {
  base.items.insert(base.items.end(), std::make_move_iterator(over.items.begin()),
                    std::make_move_iterator(over.items.end()));
}

void merge_automatic(Context& context, Node& base, Node over, const Rule* rule, const Path& path) {
  if (base.is_mapping()) {
    if (!over.is_mapping()) return refuse(context, base, over, path);
    merge_mappings(context, base, std::move(over), rule, path);
  } else if (base.is_sequence()) {
    if (!over.is_sequence()) return refuse(context, base, over, path);
    append(base, std::move(over));
  } else {
    base = std::move(over);
  }
}

Node build_as_mapping(Node node) {
  if (!node.is_string()) return node;
  Node map = Node::make_mapping(node.at);
  const Position at = node.at;
  map.at_key("context", at) = std::move(node);
  return map;
}

void merge_as_mappings(Context& context, Node& base, Node over, const Rule* rule, const Path& path,
                       Node (*convert)(Node)) {
  base = convert(std::move(base));
  over = convert(std::move(over));
  if (!base.is_mapping()) {
    base = std::move(over);
    return;
  }
  // Docker Compose makes nothing of other kinds here, and does not look at them again.
  if (over.is_mapping()) merge_mappings(context, base, std::move(over), rule, path);
}

void merge_logging(Context& context, Node& base, Node over, const Rule* rule, const Path& path) {
  if (!base.is_mapping() || !over.is_mapping()) return merge_automatic(context, base, std::move(over), rule, path);
  const Node *mine = base.find("driver"), *theirs = over.find("driver");
  if (mine != nullptr && theirs != nullptr && !same_value(*mine, *theirs)) base = std::move(over);
  else merge_mappings(context, base, std::move(over), rule, path);
}

/// Hosts of the later file that the earlier one has are left out; "=" and ":" as separator are different texts here, as in Docker Compose.
void merge_hosts(Node& base, Node over) {
  base = as_sequence(std::move(base));
  over = as_sequence(std::move(over));
  const auto count = static_cast<std::ptrdiff_t>(base.items.size());
  for (Node& item : over.items) {
    const bool known = std::any_of(base.items.begin(), base.items.begin() + count, [&](const Node& n) { return same_value(n, item); });
    if (!known) base.items.push_back(std::move(item));
  }
}

/// Address pools, as Docker Compose joins them: for every pair of an earlier and a later pool, the later one is taken over
/// when its subnet is another and is not listed yet; otherwise it is merged into the earlier one, which is then listed in
/// the place of the pool that has its subnet.
void merge_pools(Context& context, Node& base, const Node& over, const Rule* rule, const Path& path) {
  if (!base.is_sequence() || !over.is_sequence()) return refuse(context, base, over, path);
  const Node none = Node::make_null();
  const auto subnet = [&](const Node& pool) -> const Node& {
    const Node* found = pool.find("subnet");
    return found == nullptr ? none : *found;
  };
  std::vector<const Node*> joined;  // into `base` and `over`: a pool that is merged later shows it where it is listed
  const auto listed = [&](const Node& pool) {
    return std::find_if(joined.begin(), joined.end(), [&](const Node* n) { return same_value(subnet(*n), subnet(pool)); });
  };
  for (Node& earlier : base.items) {
    for (std::size_t i = 0; i < over.items.size(); ++i) {
      const Node& later = over.items[i];
      if (!same_value(subnet(later), subnet(earlier)) && listed(later) == joined.end()) {
        joined.push_back(&later);
        continue;
      }
      if (!earlier.is_mapping()) earlier = Node::make_mapping(later.at);
      merge_mappings(context, earlier, later, item_of(*rule), Path(path, i));
      const auto place = listed(earlier);
      if (place == joined.end()) joined.push_back(&earlier);
      else *place = &earlier;
    }
  }
  std::vector<Node> pools;
  for (const Node* pool : joined) pools.push_back(*pool);
  base.items = std::move(pools);
}

}  // namespace

void merge(Context& context, Node& base, Node over, const Rule* rule, const Path& path) {
  if (over.directive != Directive::none || base.directive == Directive::reset) {
    base = std::move(over);
    return;
  }
  const Merge how = rule == nullptr ? Merge::automatic : rule->merge;
  // A key without a value changes nothing, except for commands, which it takes away.
  if (over.is_null() && how != Merge::replace && how != Merge::pools) return;
  // !reset and !override of a key work where both sides are mappings, also when they are joined as lists below.
  // In a short form there is no such key yet: the tag then does nothing.
  if (how != Merge::automatic && base.is_mapping()) {
    for (const Entry& entry : over.entries)
      if (entry.value.directive != Directive::none) base.erase(entry.key);
  } else if (how != Merge::automatic) {
    std::erase_if(over.entries, [](const Entry& entry) { return entry.value.directive == Directive::reset; });
    for (Entry& entry : over.entries) entry.value.directive = Directive::none;
  }
  switch (how) {
    case Merge::automatic: return merge_automatic(context, base, std::move(over), rule, path);
    case Merge::replace: base = std::move(over); return;
    case Merge::key_values: {
      base = as_sequence(std::move(base));
      append(base, as_sequence(std::move(over)));
      return;
    }
    case Merge::build: return merge_as_mappings(context, base, std::move(over), rule, path, build_as_mapping);
    case Merge::depends_on: return merge_as_mappings(context, base, std::move(over), rule, path, dependencies_as_mapping);
    case Merge::names: return merge_as_mappings(context, base, std::move(over), rule, path, names_as_mapping);
    case Merge::extra_hosts: return merge_hosts(base, std::move(over));
    case Merge::pools: return merge_pools(context, base, over, rule, path);
    case Merge::logging: return merge_logging(context, base, std::move(over), rule, path);
  }
}

void strip_directives(Node& node) {
  node.directive = Directive::none;
  std::erase_if(node.entries, [](const Entry& entry) { return entry.value.directive == Directive::reset; });
  std::erase_if(node.items, [](const Node& item) { return item.directive == Directive::reset; });
  for (Entry& entry : node.entries) strip_directives(entry.value);
  for (Node& item : node.items) strip_directives(item);
}

}  // namespace compose::load
