#include <algorithm>
#include <array>

#include "compose/load/merge.h"
#include "compose/load/scalar.h"
#include "compose/load/units.h"
#include "compose/load/writer.h"

namespace compose::load {
namespace {

using model::Entry;
using model::Kind;
using model::Node;

bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (static_cast<unsigned char>(c) & 0x80U) != 0;
}

/// Length of the UTF-8 sequence at `i`; 0 when it is malformed.
std::size_t sequence_length(std::string_view text, std::size_t i) {
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
  const unsigned char lead = byte(i);
  const std::size_t length = lead < 0x80 ? 1 : (lead & 0xE0U) == 0xC0 ? 2 : (lead & 0xF0U) == 0xE0 ? 3 : (lead & 0xF8U) == 0xF0 ? 4 : 0;
  if (length == 0 || i + length > text.size()) return 0;
  for (std::size_t k = 1; k < length; ++k)
    if ((byte(i + k) & 0xC0U) != 0x80) return 0;
  return length;
}

std::uint32_t code_point(std::string_view text, std::size_t i, std::size_t length) {
  const auto byte = [&](std::size_t k) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i + k])); };
  if (length == 1) return byte(0);
  std::uint32_t code = byte(0) & (0x7FU >> length);
  for (std::size_t k = 1; k < length; ++k) code = (code << 6U) | (byte(k) & 0x3FU);
  return code;
}

/// What libyaml, which go-yaml is a port of, prints as it is. Characters beyond 16 bits are not among them.
bool printable(std::uint32_t code) {
  if (code == 0x0A || (code >= 0x20 && code <= 0x7E)) return true;
  if (code < 0xA0 || code > 0xFFFD || code == 0xFEFF) return false;
  return code < 0xD800 || code >= 0xE000;
}

bool line_break(std::uint32_t code) {
  return code == '\n' || code == '\r' || code == 0x85 || code == 0x2028 || code == 0x2029;
}

/// Which styles may write a text (libyaml's yaml_emitter_analyze_scalar, block context).
struct Styles {
  bool plain = true, single = true, literal = true, multiline = false;
};

bool is_blank_at(std::string_view text, std::size_t i) {
  return i >= text.size() || text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r' || text[i] == '\0';
}

bool indicator(std::string_view text, std::size_t i, std::size_t length) {
  const char c = text[i];
  const bool before_blank = is_blank_at(text, i + length);
  if (i == 0) {
    if (std::string_view("#,[]{}&*!|>'\"%@`").find(c) != std::string_view::npos) return true;
    return (c == '?' || c == ':' || c == '-') && before_blank;
  }
  if (c == ':') return before_blank;
  return c == '#' && is_blank_at(text, i - 1);
}

/// Whether nothing in a text means anything to YAML, as of most: analyse() need not look at each character's surroundings then.
bool is_ordinary(std::string_view text) {
  static constexpr auto ordinary = [] {
    std::array<bool, 256> table{};
    for (std::size_t c = 0x21; c <= 0x7E; ++c) table[c] = c != ':' && c != '#';
    return table;
  }();
  if (text.empty() || std::string_view(" #,[]{}&*!|>'\"%@`?:-.").find(text[0]) != std::string_view::npos) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (ordinary[static_cast<unsigned char>(text[i])]) continue;
    const bool joins = text[i] == ' ' || (text[i] == ':' && i + 1 < text.size() && text[i + 1] != ' ');
    if (!joins || i + 1 == text.size()) return false;
  }
  return true;
}

Styles analyse(std::string_view text) {
  Styles styles;
  if (is_ordinary(text)) return styles;
  if (text.empty()) return {.plain = true, .single = true, .literal = false, .multiline = false};
  bool indicators = text.starts_with("---") || text.starts_with("..."), special = false, tab = false;
  bool edge_blank = false, trailing_space = false, break_space = false, space_break = false;
  bool after_space = false, after_break = false;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = std::max<std::size_t>(sequence_length(text, i), 1);
    const std::uint32_t code = code_point(text, i, length);
    const bool first = i == 0, last = i + length == text.size();
    indicators = indicators || indicator(text, i, length);
    if (code == '\t') tab = true;
    else if (!printable(code)) special = true;
    const bool is_break = line_break(code);
    if (is_break) styles.multiline = true;
    if ((code == ' ' || is_break) && (first || last)) edge_blank = true;
    if (code == ' ' && last) trailing_space = true;
    if (code == ' ' && after_break) break_space = true;
    if (is_break && after_space) space_break = true;
    after_space = code == ' ';
    after_break = is_break;
    i += length;
  }
  styles.plain = !(edge_blank || break_space || space_break || tab || special || styles.multiline || indicators);
  styles.single = !(break_space || space_break || tab || special);
  styles.literal = !(trailing_space || space_break || special);
  return styles;
}

void append_escape(std::string& out, std::uint32_t code) {
  switch (code) {
    case 0x00: out += "\\0"; return;
    case 0x07: out += "\\a"; return;
    case 0x08: out += "\\b"; return;
    case 0x09: out += "\\t"; return;
    case 0x0A: out += "\\n"; return;
    case 0x0B: out += "\\v"; return;
    case 0x0C: out += "\\f"; return;
    case 0x0D: out += "\\r"; return;
    case 0x1B: out += "\\e"; return;
    case 0x22: out += "\\\""; return;
    case 0x5C: out += "\\\\"; return;
    case 0x85: out += "\\N"; return;
    case 0xA0: out += "\\_"; return;
    case 0x2028: out += "\\L"; return;
    case 0x2029: out += "\\P"; return;
    default: break;
  }
  const auto [mark, digits] = code <= 0xFF ? std::pair('x', 2) : code <= 0xFFFF ? std::pair('u', 4) : std::pair('U', 8);
  out.append("\\").append(1, mark);
  for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4) out += "0123456789ABCDEF"[(code >> static_cast<unsigned>(shift)) & 0xFU];
}

std::string double_quoted(std::string_view text) {
  std::string out = "\"";
  // go-yaml looks for a byte order mark at the text's beginning whatever character it is at: all are escaped then.
  const bool mark = text.starts_with("\xEF\xBB\xBF");
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = std::max<std::size_t>(sequence_length(text, i), 1);
    const std::uint32_t code = code_point(text, i, length);
    if (mark || !printable(code) || line_break(code) || code == '"' || code == '\\') append_escape(out, code);
    else out.append(text.substr(i, length));
    i += length;
  }
  return out + "\"";
}

/// `indent` is for what follows a line separator (U+2028, U+2029), the breaks this style may hold.
std::string single_quoted(std::string_view text, std::size_t indent) {
  std::string out = "'";
  bool after_break = false;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = std::max<std::size_t>(sequence_length(text, i), 1);
    const bool is_break = line_break(code_point(text, i, length));
    if (after_break && !is_break) out.append(indent, ' ');
    after_break = is_break;
    out.append(text[i] == '\'' ? "''" : text.substr(i, length));
    i += length;
  }
  return out + "'";
}

/// Length of the break that ends `text`, in bytes; 0 when there is none. Literals hold "\n", U+2028 and U+2029.
std::size_t break_at_end(std::string_view text) {
  if (text.ends_with('\n')) return 1;
  return text.ends_with("\xE2\x80\xA8") || text.ends_with("\xE2\x80\xA9") ? 3 : 0;
}

/// With the break the text ends with, if any.
std::string literal(std::string_view text, std::size_t indent) {
  std::string out = "|";
  if (text[0] == ' ' || line_break(code_point(text, 0, std::max<std::size_t>(sequence_length(text, 0), 1)))) out += '2';
  const std::size_t last = break_at_end(text);
  if (last == 0) out += '-';
  else if (last == text.size() || break_at_end(text.substr(0, text.size() - last)) > 0) out += '+';
  out += '\n';
  bool after_break = true;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = std::max<std::size_t>(sequence_length(text, i), 1);
    const bool is_break = line_break(code_point(text, i, length));
    if (after_break && !is_break) out.append(indent, ' ');
    after_break = is_break;
    out.append(text.substr(i, length));
    i += length;
  }
  return out;
}

class YamlWriter {
 public:
  std::string out;

  void root(const Node& node, const Rule* rule) {
    if (node.is_mapping() && !node.entries.empty()) mapping(node, rule, 0, true);
    else value(node, rule, 0, 0);
    if (!out.ends_with('\n')) out += '\n';
  }

  void entry(std::string_view name, const Node& node, const Rule* rule, std::size_t indent) {
    const std::string key = text(name, true, indent);
    if (name.size() > 128) {
      // libyaml's limit for a simple key.
      out.append("? ").append(key).append("\n").append(indent, ' ');
    } else {
      out += key;
    }
    out += ':';
    value(node, rule, indent, 0);
  }

 private:
  static std::string text(std::string_view text, bool key, std::size_t indent) {
    const Styles styles = analyse(text);
    if (!key && text.find('\n') != std::string_view::npos) return styles.literal ? literal(text, indent) : double_quoted(text);
    if (key && styles.multiline) return double_quoted(text);
    if (needs_quotes(text)) return double_quoted(text);
    if (styles.plain) return std::string(text);
    return styles.single ? single_quoted(text, indent) : double_quoted(text);
  }

  static std::string scalar(const Node& node, const Rule* rule, std::size_t indent) {
    switch (node.kind) {
      case Kind::null: return "null";
      case Kind::boolean: return node.boolean ? "true" : "false";
      case Kind::integer: return std::to_string(node.integer);
      case Kind::real: {
        if (node.exact) return node.text;
        const bool narrow = rule != nullptr && (rule->form == Form::real32 || rule->form == Form::cpus);
        std::string number = narrow ? format_real(static_cast<float>(node.number)) : format_real(node.number);
        if (number == "+Inf") return ".inf";
        if (number == "-Inf") return "-.inf";
        return number == "NaN" ? ".nan" : number;
      }
      default: return node.time ? node.text : text(node.text, false, indent);
    }
  }

  /// What follows "key:" or "-". `indent` is where the enclosing block stands.
  void value(const Node& node, const Rule* rule, std::size_t indent, std::size_t) {
    if (node.is_mapping()) {
      if (node.entries.empty()) out += " {}\n";
      else out += '\n', mapping(node, rule, indent + 2, true);
    } else if (node.is_sequence()) {
      if (node.items.empty()) out += " []\n";
      else out += '\n', sequence(node, rule, indent + 2, true);
    } else {
      out.append(" ").append(scalar(node, rule, indent + 2));
      if (break_at_end(out) == 0) out += '\n';
    }
  }

  void mapping(const Node& node, const Rule* rule, std::size_t indent, bool indent_first) {
    std::vector<const Entry*> order;
    order.reserve(node.entries.size());
    for (const Entry& entry : node.entries) order.push_back(&entry);
    const bool fixed = rule != nullptr && rule->object != nullptr;
    const auto less = [](const Entry* a, const Entry* b) { return natural_less(a->key, b->key); };
    if (!fixed) {
      if (!std::is_sorted(order.begin(), order.end(), less)) std::stable_sort(order.begin(), order.end(), less);
    } else {
      const auto extensions = std::find_if(order.begin(), order.end(), [](const Entry* e) { return is_extension(e->key); });
      std::stable_sort(extensions, order.end(), less);
    }
    for (const Entry* entry : order) {
      if (indent_first) out.append(indent, ' ');
      indent_first = true;
      const Rule* row = rule == nullptr || is_extension(entry->key) ? nullptr : attribute(*rule, entry->key);
      this->entry(entry->key, entry->value, row, indent);
    }
  }

  void sequence(const Node& node, const Rule* rule, std::size_t indent, bool indent_first) {
    const Rule* item_rule = rule == nullptr ? nullptr : item_of(*rule);
    for (const Node& item : node.items) {
      if (indent_first) out.append(indent, ' ');
      indent_first = true;
      out += '-';
      if (item.is_mapping() && !item.entries.empty()) {
        out += ' ';
        mapping(item, item_rule, indent + 2, false);
      } else if (item.is_sequence() && !item.items.empty()) {
        out += ' ';
        sequence(item, item_rule, indent + 2, false);
      } else {
        value(item, item_rule, indent, 0);
      }
    }
  }
};

}  // namespace

bool natural_less(std::string_view a, std::string_view b) {
  bool in_digits = false;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    if (a[i] == b[i]) {
      in_digits = digit(a[i]);
      continue;
    }
    const bool al = letter(a[i]), bl = letter(b[i]);
    if (al && bl) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[i]);
    if (al || bl) return in_digits ? al : bl;
    std::int64_t an = 0, bn = 0;
    if (a[i] == '0' || b[i] == '0') {
      // Leading zeros count only behind a digit that is not zero.
      for (std::size_t j = i; j-- > 0 && digit(a[j]);) {
        if (a[j] != '0') {
          an = bn = 1;
          break;
        }
      }
    }
    std::size_t ai = i, bi = i;
    for (; ai < a.size() && digit(a[ai]) && an < 100'000'000'000'000'000; ++ai) an = an * 10 + (a[ai] - '0');
    for (; bi < b.size() && digit(b[bi]) && bn < 100'000'000'000'000'000; ++bi) bn = bn * 10 + (b[bi] - '0');
    if (an != bn) return an < bn;
    if (ai != bi) return ai < bi;
    return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[i]);
  }
  return a.size() < b.size();
}

std::string double_dollars(std::string text) {
  if (text.find('$') == std::string::npos) return text;
  std::string out;
  out.reserve(text.size() + 16);
  for (const char c : text) out.append(c == '$' ? 2 : 1, c);
  return out;
}

void append_yaml(std::string& out, std::string_view key, const model::Node& value, const Rule* rule, std::size_t indent) {
  YamlWriter writer;
  writer.out.swap(out);
  writer.out.append(indent, ' ');
  writer.entry(key, value, rule, indent);
  writer.out.swap(out);
}

std::string write_yaml(const model::Node& node, const Rule* rule) {
  YamlWriter writer;
  writer.root(node, rule);
  return std::move(writer.out);
}

}  // namespace compose::load
