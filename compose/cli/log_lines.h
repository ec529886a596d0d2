#pragma once
// "web-1  | text": service output with its prefix, coloured on a terminal, padded to the longest attached name.
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/api/types.h"

namespace compose::cli {

struct LogStyle {
  bool prefix = true, colour = false, timestamps = false;
};

class LogPrinter {
 public:
  explicit LogPrinter(LogStyle style) : style_(style) {}
  /// Returns the number to pass to print(); a known name keeps its number and colour.
  int add(const std::string& name);
  void print(int source, std::int64_t time_ns, std::string_view text);
  /// Docker Compose's "\r\x1b[Kweb-1 exited with code 0".
  void exited(int source, const std::string& how);
  /// Lines are collected and written in one piece.
  void flush();
  [[nodiscard]] const std::string& name(int source) const { return names_[static_cast<std::size_t>(source)]; }

 private:
  void put_prefix(int source);
  LogStyle style_;
  std::vector<std::string> names_;
  std::map<std::string, int> index_;
  std::size_t width_ = 0;
  std::string buffer_;
};

/// "demo-web-1" → "web-1"; another name (container_name) as it is.
std::string short_name(const std::string& project, const std::string& container);

}  // namespace compose::cli
