#include <algorithm>

#include "compose/load/units.h"
#include "compose/load/writer.h"

namespace compose::load {
namespace {

using model::Entry;
using model::Kind;
using model::Node;

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}
  std::string out;

  void value(const Node& node, const Rule* rule, std::size_t depth) {
    switch (node.kind) {
      case Kind::null: out += "null"; return;
      case Kind::boolean: out += node.boolean ? "true" : "false"; return;
      case Kind::integer: out += std::to_string(node.integer); return;
      case Kind::real: {
        if (node.exact) {
          out += node.text;
          return;
        }
        const bool narrow = rule != nullptr && (rule->form == Form::real32 || rule->form == Form::cpus);
        out += narrow ? format_json_real(static_cast<float>(node.number)) : format_json_real(node.number);
        return;
      }
      case Kind::string: text(node.text); return;
      case Kind::sequence: return sequence(node, rule, depth);
      case Kind::mapping: return mapping(node, rule, depth);
    }
  }

 private:
  void line(std::size_t depth) {
    if (style_.indented) out.append("\n").append(depth * 2, ' ');
  }

  void key(std::string_view name, bool first, std::size_t depth) {
    if (!first) out += ',';
    line(depth);
    text(name);
    out += style_.indented ? ": " : ":";
  }

  void sequence(const Node& node, const Rule* rule, std::size_t depth) {
    if (node.items.empty()) {
      // Docker Compose loses an empty list where it knows no type.
      out += !style_.empty_lists && (rule == nullptr || rule->form == Form::any) ? "null" : "[]";
      return;
    }
    out += '[';
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      if (i > 0) out += ',';
      line(depth + 1);
      value(node.items[i], rule == nullptr ? nullptr : item_of(*rule), depth + 1);
    }
    line(depth);
    out += ']';
  }

  /// {"soft": …, "hard": …} without zeros.
  void ulimit(const Node& node, std::size_t depth) {
    Node filled = Node::make_mapping();
    for (const Entry& entry : node.entries)
      if (entry.value.integer != 0) filled.entries.push_back(entry);
    if (filled.entries.empty()) out += "{}";
    for (std::size_t i = 0; i < filled.entries.size(); ++i) {
      if (i == 0) out += '{';
      key(filled.entries[i].key, i == 0, depth + 1);
      value(filled.entries[i].value, nullptr, depth + 1);
      if (i + 1 < filled.entries.size()) continue;
      line(depth);
      out += '}';
    }
  }

  void mapping(const Node& node, const Rule* rule, std::size_t depth) {
    if (rule != nullptr && rule->form == Form::ulimit) return ulimit(node, depth);
    if (rule != nullptr && rule->object != nullptr) return object(node, *rule, depth);
    std::vector<const Entry*> order;
    order.reserve(node.entries.size());
    for (const Entry& entry : node.entries) order.push_back(&entry);
    std::stable_sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) { return a->key < b->key; });
    if (order.empty()) {
      out += "{}";
      return;
    }
    out += '{';
    for (std::size_t i = 0; i < order.size(); ++i) {
      key(order[i]->key, i == 0, depth + 1);
      value(order[i]->value, rule == nullptr ? nullptr : attribute(*rule, order[i]->key), depth + 1);
    }
    line(depth);
    out += '}';
  }

  /// Attributes in the rule's order; x-… are no part of Docker Compose's JSON below the top level.
  void object(const Node& node, const Rule& rule, std::size_t depth) {
    bool first = true;
    const auto open = [&](std::string_view name) {
      if (first) out += '{';
      key(name, first, depth + 1);
      first = false;
    };
    std::size_t next = 0;
    for (const Rule& row : rule.object->attributes) {
      // Entries stand in the rule's order, so one pass over both is enough.
      const Node* found = nullptr;
      if (next < node.entries.size() && node.entries[next].key == row.key) found = &node.entries[next++].value;
      else if (row.json_null || row.json_object) found = node.find(row.key);
      if (found != nullptr) {
        open(row.json_key.empty() ? row.key : row.json_key);
        value(*found, &row, depth + 1);
      } else if (row.json_null || row.json_object) {
        static const Node absent = Node::make_mapping();
        open(row.key);
        if (row.json_null) out += "null";
        else object(absent, row, depth + 1);
      }
    }
    if (first) {
      out += "{}";
      return;
    }
    line(depth);
    out += '}';
  }

  void text(std::string_view text) {
    static constexpr char hex[] = "0123456789abcdef";
    out += '"';
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto c = static_cast<unsigned char>(text[i]);
      switch (c) {
        case '"': out += "\\\""; break;
        case '\\': out += "\\\\"; break;
        case '\b': out += "\\b"; break;
        case '\f': out += "\\f"; break;
        case '\n': out += "\\n"; break;
        case '\r': out += "\\r"; break;
        case '\t': out += "\\t"; break;
        default:
          if (c < 0x20 || (style_.escape_html && (c == '<' || c == '>' || c == '&'))) {
            out.append("\\u00").append(1, hex[c >> 4U]).append(1, hex[c & 0xFU]);
          } else if (c < 0x80) {
            out += text[i];
          } else if (const std::size_t length = utf8_length(text.substr(i)); length == 0) {
            out += "\\ufffd";
          } else {
            const auto character = text.substr(i, length);
            if (character == "\xE2\x80\xA8") out += "\\u2028";
            else if (character == "\xE2\x80\xA9") out += "\\u2029";
            else out += character;
            i += length - 1;
          }
      }
    }
    out += '"';
  }

  const JsonStyle& style_;
};

}  // namespace

std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t k) { return k < text.size() ? static_cast<unsigned char>(text[k]) : 0U; };
  const unsigned lead = byte(0), second = byte(1);
  const auto tail = [&](std::size_t k) { return (byte(k) & 0xC0U) == 0x80U; };
  if (lead < 0x80) return text.empty() ? 0 : 1;
  if (lead >= 0xC2 && lead <= 0xDF) return tail(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return 0;  // overlong; surrogates
    return tail(1) && tail(2) ? 3 : 0;
  }
  if (lead < 0xF0 || lead > 0xF4 || (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return 0;
  return tail(1) && tail(2) && tail(3) ? 4 : 0;
}

std::string write_json(const model::Node& node, const Rule* rule, const JsonStyle& style, std::size_t depth) {
  JsonWriter writer(style);
  writer.value(node, rule, depth);
  return std::move(writer.out);
}

}  // namespace compose::load
