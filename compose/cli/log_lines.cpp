#include "compose/cli/log_lines.h"

#include <algorithm>

#include "compose/cli/output.h"
#include "engine/logs/format.h"

namespace compose::cli {

int LogPrinter::add(const std::string& name) {
  const auto [at, fresh] = index_.try_emplace(name, static_cast<int>(names_.size()));
  if (fresh) {
    names_.push_back(name);
    width_ = std::max(width_, name.size());
  }
  return at->second;
}

void LogPrinter::put_prefix(int source) {
  if (!style_.prefix) return;
  // Docker Compose's rainbow: cyan yellow green magenta blue, then their bright forms.
  static constexpr const char* colours[] = {"36", "33", "32", "35", "34", "36;1", "33;1", "32;1", "35;1", "34;1"};
  const auto& name = names_[static_cast<std::size_t>(source)];
  if (style_.colour) buffer_.append("\x1b[").append(colours[source % 10]).append("m");
  buffer_ += name;
  buffer_.append(width_ - name.size() + 2, ' ');
  buffer_ += "| ";
  if (style_.colour) buffer_ += "\x1b[0m";
}

void LogPrinter::print(int source, std::int64_t time_ns, std::string_view text) {
  put_prefix(source);
  if (style_.timestamps) buffer_.append(engine::logs::format_time(time_ns)).append(" ");
  buffer_.append(text).append("\n");
  if (buffer_.size() > 64 * 1024) flush();
}

void LogPrinter::exited(int source, const std::string& how) {
  flush();
  out("\r\x1b[K" + names_[static_cast<std::size_t>(source)] + " " + how + "\n");
}

void LogPrinter::flush() {
  if (buffer_.empty()) return;
  out(buffer_);
  buffer_.clear();
}

std::string short_name(const std::string& project, const std::string& container) {
  for (const char separator : {'-', '_'}) {
    const std::string prefix = project + separator;
    if (container.starts_with(prefix)) return container.substr(prefix.size());
  }
  return container;
}

}  // namespace compose::cli
