#include "compose/load/diagnostics.h"

#include <algorithm>
#include <ctime>

namespace compose::load {
namespace {

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char buffer[64];
  const auto size = std::strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%S%z", &parts);
  std::string text(buffer, size);
  // RFC 3339: "+0100" is written "+01:00", UTC "Z".
  if (text.ends_with("+0000")) return text.substr(0, text.size() - 5) + "Z";
  return text.insert(text.size() - 2, ":");
}

/// The text between quotes as Go's %q writes it, which logrus uses for msg="…".
std::string go_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\t': out += "\\t"; break;
      case '\r': out += "\\r"; break;
      default: out += c;
    }
  }
  return out + "\"";
}

std::string_view line_of(std::string_view text, std::uint32_t line) {
  std::size_t begin = 0;
  for (std::uint32_t n = 1; n < line; ++n) {
    const auto end = text.find('\n', begin);
    if (end == std::string_view::npos) return {};
    begin = end + 1;
  }
  auto found = text.substr(begin, text.find('\n', begin) - begin);
  if (found.ends_with('\r')) found.remove_suffix(1);
  return found;
}

/// The byte at which character number `column` (from 1) of the line begins.
std::size_t byte_of(std::string_view line, std::uint32_t column) {
  std::size_t i = 0;
  for (std::uint32_t n = 1; n < column && i < line.size(); ++n) {
    ++i;
    while (i < line.size() && (static_cast<unsigned char>(line[i]) & 0xC0U) == 0x80U) ++i;
  }
  return i;
}

/// Source line and caret. Long lines are cut around the caret.
std::string excerpt(const model::Sources::File& file, const model::Position& at) {
  auto line = line_of(file.text, at.line);
  std::size_t caret = byte_of(line, at.column);
  if (line.size() > 160) {
    std::size_t begin = caret > 60 ? caret - 60 : 0;
    while (begin < line.size() && (static_cast<unsigned char>(line[begin]) & 0xC0U) == 0x80U) ++begin;
    line = line.substr(begin, 160);
    caret -= std::min(begin, caret);
  }
  const std::string number = std::to_string(at.line);
  const std::string gutter(std::max<std::size_t>(number.size(), 5), ' ');
  std::string caret_line;
  for (std::size_t i = 0; i < caret; ++i) {
    if ((static_cast<unsigned char>(line[i]) & 0xC0U) == 0x80U) continue;
    caret_line += line[i] == '\t' ? '\t' : ' ';
  }
  return gutter.substr(number.size()) + number + " | " + std::string(line) + "\n" + gutter + " | " + caret_line + "^\n";
}

std::string paint(std::string_view text, const char* code, bool colour) {
  if (!colour) return std::string(text);
  return std::string("\x1b[").append(code).append("m").append(text).append("\x1b[0m");
}

std::string print_error(const Diagnostic& diagnostic, const model::Sources& sources, const PrintStyle& style) {
  std::string out;
  const bool placed = diagnostic.at.known() && diagnostic.at.file < sources.files.size();
  if (diagnostic.plain && !placed) {
    out = diagnostic.message + "\n";
  } else {
    out = paint("error:", "1;31", style.colour) + " ";
    if (placed) {
      out += sources.files[diagnostic.at.file].path + ":" + std::to_string(diagnostic.at.line) + ":" +
             std::to_string(diagnostic.at.column) + ": ";
    }
    if (!diagnostic.path.empty()) out += diagnostic.path + ": ";
    out += diagnostic.message + "\n";
    if (placed) out += excerpt(sources.files[diagnostic.at.file], diagnostic.at);
  }
  if (!diagnostic.hint.empty()) out += paint("hint:", "1;36", style.colour) + " " + diagnostic.hint + "\n";
  return out;
}

}  // namespace

std::string print(const std::vector<Diagnostic>& diagnostics, const model::Sources& sources, const PrintStyle& style) {
  std::string out;
  const std::string time = style.time.empty() ? now_text() : style.time;
  for (const Diagnostic& diagnostic : diagnostics) {
    if (diagnostic.severity == Severity::warning)
      out += "time=\"" + time + "\" level=warning msg=" + go_quoted(diagnostic.message) + "\n";
    else
      out += print_error(diagnostic, sources, style);
  }
  return out;
}

bool has_errors(const std::vector<Diagnostic>& diagnostics) {
  return std::any_of(diagnostics.begin(), diagnostics.end(),
                     [](const Diagnostic& d) { return d.severity == Severity::error; });
}

}  // namespace compose::load
