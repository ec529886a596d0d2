#include "compose/cli/json_line.h"

#include <charconv>

namespace compose::cli {
namespace {

/// Reads a string whose opening quote is at `at`; leaves `at` behind the closing one.
std::string read_string(std::string_view line, std::size_t& at) {
  std::string text;
  for (++at; at < line.size() && line[at] != '"'; ++at) {
    if (line[at] != '\\' || at + 1 >= line.size()) {
      text += line[at];
      continue;
    }
    switch (const char c = line[++at]) {
      case 'n': text += '\n'; break;
      case 't': text += '\t'; break;
      case 'r': text += '\r'; break;
      case 'b': text += '\b'; break;
      case 'f': text += '\f'; break;
      case 'u': {
        unsigned code = 0;
        const auto digits = line.substr(at + 1, 4);
        std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
        at += digits.size();
        if (code < 0x80) {
          text += static_cast<char>(code);
        } else if (code < 0x800) {
          text += static_cast<char>(0xC0 | (code >> 6));
          text += static_cast<char>(0x80 | (code & 0x3F));
        } else {
          text += static_cast<char>(0xE0 | (code >> 12));
          text += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
          text += static_cast<char>(0x80 | (code & 0x3F));
        }
        break;
      }
      default: text += c;
    }
  }
  ++at;
  return text;
}

/// Where the value of the top-level member `name` begins; npos when there is none.
std::size_t value_of(std::string_view line, std::string_view name) {
  int depth = 0;
  for (std::size_t at = 0; at < line.size();) {
    const char c = line[at];
    if (c == '"') {
      const std::string text = read_string(line, at);
      std::size_t colon = at;
      while (colon < line.size() && line[colon] == ' ') ++colon;
      if (depth != 1 || colon >= line.size() || line[colon] != ':') continue;
      at = colon + 1;
      while (at < line.size() && line[at] == ' ') ++at;
      if (text == name) return at;
      continue;
    }
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    ++at;
  }
  return std::string_view::npos;
}

}  // namespace

std::optional<std::string> json_text(std::string_view line, std::string_view name) {
  std::size_t at = value_of(line, name);
  if (at >= line.size() || line[at] != '"') return std::nullopt;
  return read_string(line, at);
}

std::optional<double> json_number(std::string_view line, std::string_view name) {
  const std::size_t at = value_of(line, name);
  if (at >= line.size()) return std::nullopt;
  double number = 0;
  const auto [end, error] = std::from_chars(line.data() + at, line.data() + line.size(), number);
  return error == std::errc() ? std::optional(number) : std::nullopt;
}

}  // namespace compose::cli
