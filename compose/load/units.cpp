#include "compose/load/units.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace compose::load {

std::optional<std::int64_t> parse_int(std::string_view text) {
  const bool plus = text.starts_with('+');
  if (plus) text.remove_prefix(1);
  if (plus && text.starts_with('-')) return std::nullopt;
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<bool> parse_bool(std::string_view text) {
  for (const auto word : {"1", "t", "T", "true", "TRUE", "True"})
    if (text == word) return true;
  for (const auto word : {"0", "f", "F", "false", "FALSE", "False"})
    if (text == word) return false;
  return std::nullopt;
}

namespace {

/// Go's numbers may have one '_' between two digits. Empty when one stands elsewhere.
std::optional<std::string> without_underscores(std::string_view text) {
  const auto is_digit = [&](std::size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') plain += text[i];
    else if (i == 0 || !is_digit(i - 1) || !is_digit(i + 1)) return std::nullopt;
  }
  return plain;
}

}  // namespace

std::optional<double> parse_double(std::string_view text) {
  if (text.find('_') != std::string_view::npos) {
    const auto plain = without_underscores(text);
    return plain ? parse_double(*plain) : std::nullopt;
  }
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.starts_with('-')) return std::nullopt;
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  if (hex) {
    // A hexadecimal number needs its exponent.
    if (text.find_first_of("pP") == std::string_view::npos) return std::nullopt;
    text.remove_prefix(2);
  }
  double value = 0;
  const auto format = hex ? std::chars_format::hex : std::chars_format::general;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, format);
  if (text.empty() || code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return negative ? -value : value;
}

std::int64_t truncate(double value) {
  constexpr double limit = 9223372036854775808.0;
  return value >= -limit && value < limit ? static_cast<std::int64_t>(value) : std::numeric_limits<std::int64_t>::min();
}

std::optional<std::int64_t> parse_bytes(std::string_view text) {
  const auto last = text.find_last_of("0123456789. ");
  if (last == std::string_view::npos) return std::nullopt;
  std::string_view digits = text.substr(0, last + 1), suffix = text.substr(last + 1);
  if (digits.back() == ' ') digits.remove_suffix(1);
  const auto value = parse_double(digits);
  if (!value || *value < 0) return std::nullopt;
  if (suffix.size() > 3) return std::nullopt;
  double scale = 1;
  if (!suffix.empty()) {
    std::string lower;
    for (const char c : suffix) lower += (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c;
    constexpr std::string_view letters = "bkmgtp";
    const auto power = letters.find(lower[0]);
    if (power == std::string_view::npos) return std::nullopt;
    if (lower[0] == 'b' && lower.size() > 1) return std::nullopt;
    if (lower.size() == 3 && lower.substr(1) != "ib") return std::nullopt;
    if (lower.size() == 2 && lower[1] != 'b') return std::nullopt;
    scale = std::ldexp(1.0, static_cast<int>(power) * 10);
  }
  return truncate(*value * scale);
}

namespace {

struct Unit {
  std::string_view name;
  std::int64_t nanoseconds;
};
constexpr Unit units[] = {{"ns", 1},
                          {"us", 1'000},
                          {"µs", 1'000},
                          {"μs", 1'000},
                          {"ms", 1'000'000},
                          {"s", 1'000'000'000},
                          {"m", 60'000'000'000},
                          {"h", 3'600'000'000'000},
                          {"d", 86'400'000'000'000},
                          {"w", 604'800'000'000'000}};

bool digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text == "0") return std::chrono::nanoseconds(0);
  if (text.empty()) return std::nullopt;
  long double total = 0;
  while (!text.empty()) {
    std::size_t i = 0, digits = 0;
    while (i < text.size() && (digit(text[i]) || (text[i] == '.'))) digits += digit(text[i++]) ? 1 : 0;
    const auto number = text.substr(0, i);
    if (digits == 0 || number.find('.') != number.rfind('.')) return std::nullopt;
    std::size_t end = i;
    while (end < text.size() && !digit(text[end]) && text[end] != '.') ++end;
    const auto name = text.substr(i, end - i);
    const Unit* unit = nullptr;
    for (const Unit& candidate : units)
      if (candidate.name == name) unit = &candidate;
    if (unit == nullptr) return std::nullopt;
    // Whole and fractional part apart, so that 0.1s is exactly 100 ms.
    const auto dot = number.find('.');
    const auto whole = number.substr(0, dot);
    std::int64_t count = 0;
    if (!whole.empty()) {
      const auto parsed = parse_int(whole);
      if (!parsed) return std::nullopt;
      count = *parsed;
    }
    total += static_cast<long double>(count) * static_cast<long double>(unit->nanoseconds);
    if (dot != std::string_view::npos) {
      long double scale = static_cast<long double>(unit->nanoseconds), fraction = 0;
      for (const char c : number.substr(dot + 1)) {
        scale /= 10;
        fraction += scale * static_cast<long double>(c - '0');
      }
      total += std::floor(fraction + 1e-6L);
    }
    text.remove_prefix(end);
  }
  if (total > 9.22e18L) return std::nullopt;
  const auto value = static_cast<std::int64_t>(total);
  return std::chrono::nanoseconds(negative ? -value : value);
}

std::string format_duration(std::chrono::nanoseconds duration) {
  std::int64_t count = duration.count();
  if (count == 0) return "0s";
  const bool negative = count < 0;
  auto left = negative ? ~static_cast<std::uint64_t>(count) + 1 : static_cast<std::uint64_t>(count);
  const auto decimal = [](std::uint64_t value, std::uint64_t unit) {
    std::string text = std::to_string(value / unit);
    std::string fraction = std::to_string(value % unit + unit).substr(1);
    while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
    return fraction.empty() ? text : text + "." + fraction;
  };
  std::string text = negative ? "-" : "";
  if (left < 1'000) return text + std::to_string(left) + "ns";
  if (left < 1'000'000) return text + decimal(left, 1'000) + "µs";
  if (left < 1'000'000'000) return text + decimal(left, 1'000'000) + "ms";
  const std::uint64_t hours = left / 3'600'000'000'000U, minutes = left / 60'000'000'000U % 60;
  if (hours > 0) text += std::to_string(hours) + "h";
  if (hours > 0 || minutes > 0) text += std::to_string(minutes) + "m";
  return text + decimal(left % 60'000'000'000U, 1'000'000'000U) + "s";
}

namespace {

template <class Real>
std::string shortest(Real value, double small, double large) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char buffer[128];
  const double size = std::fabs(static_cast<double>(value));
  const bool plain = size == 0 || (size >= small && size < large);
  if (plain && size >= (sizeof(Real) < sizeof(double) ? 1e6 : 1e15)) {
    // The shortest digits, then zeros: to_chars would print the digits of the binary value.
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
    const std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
    const auto e = text.find('e');
    std::string digits(text.substr(0, e));
    const auto point = digits.find('.');
    const std::size_t before = static_cast<std::size_t>(std::stoi(std::string(text.substr(e + 1)))) + (value < 0 ? 2U : 1U);
    if (point != std::string::npos) digits.erase(point, 1);
    if (digits.size() < before) digits.append(before - digits.size(), '0');
    else if (digits.size() > before) digits.insert(before, ".");
    return digits;
  }
  const auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, format).ptr;
  return {buffer, end};
}

template <class Real>
std::string json_real(Real value) {
  std::string text = shortest(value, 1e-6, 1e21);
  const auto n = text.size();
  if (n >= 4 && text[n - 4] == 'e' && text[n - 3] == '-' && text[n - 2] == '0') text.erase(n - 2, 1);
  return text;
}

/// From here on Go's %g writes an exponent: 21 digits is the limit only for JSON.
constexpr double general_large = 1e6;

}  // namespace

std::string format_real(double value) { return shortest(value, 1e-4, general_large); }
std::string format_real(float value) { return shortest(value, 1e-4, general_large); }
std::string format_json_real(double value) { return json_real(value); }
std::string format_json_real(float value) { return json_real(value); }

}  // namespace compose::load
