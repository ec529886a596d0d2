#include "compose/model/node.h"

#include <algorithm>
#include <charconv>

namespace compose::model {

const Node* Node::find(std::string_view key) const {
  if (kind != Kind::mapping) return nullptr;
  for (const Entry& entry : entries)
    if (entry.key == key) return &entry.value;
  return nullptr;
}

Node* Node::find(std::string_view key) {
  return const_cast<Node*>(static_cast<const Node*>(this)->find(key));
}

Node& Node::at_key(std::string_view key, Position where) {
  if (Node* found = find(key)) return *found;
  entries.push_back(Entry{std::string(key), where, make_null(where)});
  return entries.back().value;
}

bool Node::erase(std::string_view key) {
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.key == key; });
  if (found == entries.end()) return false;
  entries.erase(found);
  return true;
}

Node Node::make_null(Position at) {
  Node node;
  node.at = at;
  return node;
}

Node Node::make_string(std::string value, Position at) {
  Node node;
  node.kind = Kind::string;
  node.at = at;
  node.text = std::move(value);
  return node;
}

Node Node::make_boolean(bool value, Position at) {
  Node node;
  node.kind = Kind::boolean;
  node.at = at;
  node.boolean = value;
  node.text = value ? "true" : "false";
  return node;
}

Node Node::make_integer(std::int64_t value, Position at) {
  Node node;
  node.kind = Kind::integer;
  node.at = at;
  node.integer = value;
  node.text = std::to_string(value);
  return node;
}

Node Node::make_real(double value, Position at) {
  Node node;
  node.kind = Kind::real;
  node.at = at;
  node.number = value;
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  node.text.assign(buffer, end);
  return node;
}

Node Node::make_sequence(Position at) {
  Node node;
  node.kind = Kind::sequence;
  node.at = at;
  return node;
}

Node Node::make_mapping(Position at) {
  Node node;
  node.kind = Kind::mapping;
  node.at = at;
  return node;
}

PathStep first_step(std::string_view path) {
  PathStep step;
  std::size_t end = 0;
  if (path.front() == '[') {
    end = std::min(path.find(']'), path.size() - 1) + 1;
    std::size_t number = 0;
    const auto digits = path.substr(1, end > 1 ? end - 2 : 0);
    const auto [last, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (failed == std::errc() && last == digits.data() + digits.size()) step.index = number;
    else step.name = path.substr(0, end);
  } else if (path.front() == '\'') {
    const auto close = std::min(path.find('\'', 1), path.size() - 1);
    step.name = path.substr(1, close - 1);
    end = close + 1;
  } else {
    end = std::min(path.find_first_of(".["), path.size());
    step.name = path.substr(0, end);
  }
  if (end < path.size() && path[end] == '.') ++end;
  step.rest = path.substr(end);
  return step;
}

Position position_of(const Node& root, std::string_view path) {
  if (path.empty()) return root.at;
  if (root.kind == Kind::mapping) {
    // A key may itself contain dots: prefer the whole rest of the path, then ever shorter prefixes.
    for (const Entry& entry : root.entries) {
      if (!entry.key.empty() && path == entry.key) return entry.value.at.known() ? entry.value.at : entry.key_at;
    }
  }
  const PathStep step = first_step(path);
  if (step.index) {
    if (root.kind != Kind::sequence || *step.index >= root.items.size()) return root.at;
    const Position at = position_of(root.items[*step.index], step.rest);
    return at.known() ? at : root.at;
  }
  for (const Entry& entry : root.entries) {
    const bool plain = entry.key == step.name;
    const bool dotted = !plain && entry.key.find('.') != std::string::npos && path.starts_with(entry.key) &&
                        path.size() > entry.key.size() && (path[entry.key.size()] == '.' || path[entry.key.size()] == '[');
    if (!plain && !dotted) continue;
    auto rest = plain ? step.rest : path.substr(entry.key.size());
    if (!rest.empty() && rest.front() == '.') rest.remove_prefix(1);
    const Position at = position_of(entry.value, rest);
    if (at.known()) return at;
    return entry.key_at.known() ? entry.key_at : root.at;
  }
  return root.at;
}

}  // namespace compose::model
