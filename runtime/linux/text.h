#pragma once
// Small helpers for the kernel's text formats.
#include <initializer_list>
#include <string>
#include <string_view>

namespace runtime {

/// The parts one after the other. Out of line: GCC 12 warns of overruns that are not there where operator+ chains are inlined.
std::string concat(std::initializer_list<std::string_view> parts);

/// Calls body(word) for each part of `text` between `separator`s; empty parts are skipped.
template <class Body>
void for_each_word(std::string_view text, char separator, Body&& body) {
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    if (end != 0) body(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

/// The n-th word (from 0) of a line separated by single blanks; "" when there are fewer.
inline std::string_view nth_word(std::string_view line, std::size_t n) {
  while (n-- > 0) {
    const std::size_t end = line.find(' ');
    if (end == std::string_view::npos) return {};
    line.remove_prefix(end + 1);
  }
  return line.substr(0, line.find(' '));
}

/// "\040" and its kin in /proc/PID/mountinfo.
inline std::string unescape_mountinfo(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && at + 3 < text.size()) {
      out += static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 + (text[at + 3] - '0'));
      at += 3;
    } else {
      out += text[at];
    }
  }
  return out;
}

}  // namespace runtime
