#include "compose/load/scalar.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

namespace compose::load {
namespace {

using model::Kind;
using model::Node;

bool digit(char c) { return c >= '0' && c <= '9'; }

bool is_null(std::string_view text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

bool parse_digits(std::string_view digits, int base, bool negative, Node& node) {
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (digits.empty() || code != std::errc() || end != digits.data() + digits.size()) return false;
  const std::uint64_t limit = std::uint64_t{1} << 63U;
  if (negative ? value > limit : value >= limit) {
    if (negative) return false;
    // Between 2^63 and 2^64 go-yaml keeps an unsigned integer. Attributes take none that large; elsewhere its digits are printed.
    node.kind = Kind::real;
    node.number = static_cast<double>(value);
    node.text = std::to_string(value);
    node.exact = true;
    return true;
  }
  node.kind = Kind::integer;
  node.integer = negative ? static_cast<std::int64_t>(~value + 1U) : static_cast<std::int64_t>(value);
  return true;
}

bool parse_integer(std::string_view text, Node& node) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty()) return false;
  if (text.size() > 1 && text[0] == '0') {
    const char mark = text[1];
    if (mark == 'x' || mark == 'X') return parse_digits(text.substr(2), 16, negative, node);
    if (mark == 'b' || mark == 'B') return parse_digits(text.substr(2), 2, negative, node);
    if (mark == 'o' || mark == 'O') return parse_digits(text.substr(2), 8, negative, node);
    return parse_digits(text.substr(1), 8, negative, node);
  }
  return parse_digits(text, 10, negative, node);
}

/// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
bool float_shaped(std::string_view text) {
  std::size_t i = 0;
  const auto digits = [&] {
    const std::size_t begin = i;
    while (i < text.size() && digit(text[i])) ++i;
    return i > begin;
  };
  if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (!digits()) return false;
  } else {
    if (!digits()) return false;
    if (i < text.size() && text[i] == '.') {
      ++i;
      digits();
    }
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
    if (!digits()) return false;
  }
  return i == text.size();
}

bool parse_real(std::string_view text, Node& node) {
  if (!float_shaped(text)) return false;
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size()) return false;
  if (code == std::errc::result_out_of_range) {
    value = std::strtod(std::string(text).c_str(), nullptr);
    if (std::fabs(value) > 1) return false;  // too large for Go's ParseFloat: the text stays a string
  }
  node.kind = Kind::real;
  node.number = value;
  return true;
}

bool special_real(std::string_view text, Node& node) {
  double value = 0;
  if (text == ".nan" || text == ".NaN" || text == ".NAN") {
    value = std::numeric_limits<double>::quiet_NaN();
  } else {
    auto rest = text;
    const bool negative = rest.starts_with('-');
    if (negative || rest.starts_with('+')) rest.remove_prefix(1);
    if (rest != ".inf" && rest != ".Inf" && rest != ".INF") return false;
    value = negative ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  }
  node.kind = Kind::real;
  node.number = value;
  return true;
}

bool is_boolean(std::string_view text, bool& value) {
  value = text == "true" || text == "True" || text == "TRUE";
  return value || text == "false" || text == "False" || text == "FALSE";
}

/// go-yaml's `base 60 float`: quoted on output for the sake of YAML 1.1 readers.
bool is_base60(std::string_view text) {
  if (text.empty() || text.find(':') == std::string_view::npos) return false;
  std::size_t i = (text[0] == '-' || text[0] == '+') ? 1 : 0;
  if (i >= text.size() || !digit(text[i])) return false;
  while (i < text.size() && (digit(text[i]) || text[i] == '_')) ++i;
  std::size_t groups = 0;
  while (i < text.size() && text[i] == ':') {
    ++i;
    if (i >= text.size() || !digit(text[i])) return false;
    // [0-5]?[0-9]
    if (text[i] <= '5' && i + 1 < text.size() && digit(text[i + 1])) ++i;
    ++i;
    ++groups;
  }
  if (groups == 0) return false;
  if (i < text.size() && text[i] == '.') {
    ++i;
    while (i < text.size() && (digit(text[i]) || text[i] == '_')) ++i;
  }
  return i == text.size();
}

bool is_old_boolean(std::string_view text) {
  static constexpr std::string_view words[] = {"y", "Y", "yes", "Yes", "YES", "on", "On", "ON",
                                               "n", "N", "no", "No", "NO", "off", "Off", "OFF"};
  for (const auto word : words)
    if (word == text) return true;
  return false;
}

}  // namespace

bool is_timestamp(std::string_view text) {
  // 2006-1-2 with 4-digit year, then optionally T, t or blanks and a time, with optional fraction and zone.
  std::size_t i = 0;
  const auto digits = [&](std::size_t least, std::size_t most) {
    std::size_t n = 0;
    while (i < text.size() && digit(text[i]) && n < most) ++i, ++n;
    return n >= least;
  };
  const auto number = [&](std::size_t from) {
    int value = 0;
    for (std::size_t k = from; k < i; ++k) value = value * 10 + (text[k] - '0');
    return value;
  };
  const auto skip = [&](char c) { return i < text.size() && text[i] == c && (++i, true); };
  if (!digits(4, 4) || !skip('-')) return false;
  const int year = number(0);
  std::size_t mark = i;
  if (!digits(1, 2)) return false;
  const int month = number(mark);
  if (!skip('-')) return false;
  mark = i;
  if (!digits(1, 2)) return false;
  const int day = number(mark);
  static constexpr int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12 || day < 1) return false;
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  if (day > days[month - 1] + (month == 2 && leap ? 1 : 0)) return false;
  if (i == text.size()) return true;
  if (text[i] != 'T' && text[i] != 't' && text[i] != ' ') return false;
  const bool blank = text[i] == ' ';
  ++i;
  mark = i;
  if (!digits(1, 2) || number(mark) > 23 || !skip(':')) return false;
  mark = i;
  if (!digits(1, 2) || number(mark) > 59 || !skip(':')) return false;
  mark = i;
  if (!digits(1, 2) || number(mark) > 59) return false;
  if (skip('.') && !digits(1, 9)) return false;
  if (i == text.size()) return blank;  // "2006-1-2 15:4:5" needs no zone; with T it does
  if (blank) return false;
  if (text[i] == 'Z') return i + 1 == text.size();
  if (text[i] != '+' && text[i] != '-') return false;
  ++i;
  return digits(2, 2) && skip(':') && digits(2, 2) && i == text.size();
}

std::string format_timestamp(std::string_view text) {
  const auto two = [](std::string_view digits) { return (digits.size() < 2 ? "0" : "") + std::string(digits); };
  const auto take = [&](std::string_view stops) {
    const auto end = std::min(text.find_first_of(stops), text.size());
    const auto part = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return part;
  };
  std::string out(take("-"));
  out += "-" + two(take("-"));
  out += "-" + two(take("Tt "));
  if (text.empty()) return out + "T00:00:00Z";
  out += "T" + two(take(":"));
  out += ":" + two(take(":"));
  const auto zone_at = text.find_first_of("Z+-");
  const std::string zone(zone_at == std::string_view::npos ? "Z" : text.substr(zone_at));
  const auto seconds = text.substr(0, zone_at);
  const auto dot = seconds.find('.');
  out += ":" + two(seconds.substr(0, dot));
  std::string fraction(dot == std::string_view::npos ? "" : seconds.substr(dot));
  while (fraction.ends_with('0') || fraction == ".") fraction.pop_back();
  return out + fraction + (zone == "+00:00" || zone == "-00:00" ? "Z" : zone);
}

void resolve_plain(Node& node) {
  const std::string_view text = node.text;
  if (is_null(text)) {
    node.kind = Kind::null;
    return;
  }
  bool truth = false;
  const char first = text[0];
  if ((first == 't' || first == 'T' || first == 'f' || first == 'F') && is_boolean(text, truth)) {
    node.kind = Kind::boolean;
    node.boolean = truth;
    return;
  }
  node.kind = Kind::string;
  if (first == '.') {
    if (!special_real(text, node)) (void)parse_real(text, node);
    return;
  }
  if (!digit(first) && first != '+' && first != '-') return;
  if (special_real(text, node)) return;
  std::string plain;
  if (text.find('_') == std::string_view::npos) {
    plain = text;
  } else {
    for (const char c : text)
      if (c != '_') plain += c;
  }
  if (!parse_integer(plain, node)) (void)parse_real(plain, node);
}

bool needs_quotes(std::string_view text) {
  if (text.empty()) return true;
  const char first = text[0];
  const bool suspicious = digit(first) || std::string_view("+-.~nNtTfFyYoO=").find(first) != std::string_view::npos;
  if (!suspicious) return false;
  Node probe;
  probe.text = text;
  resolve_plain(probe);
  return probe.kind != Kind::string || is_base60(text) || is_old_boolean(text) || is_timestamp(text);
}

}  // namespace compose::load
