#include "compose/cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "base/sys.h"
#include "compose/cli/globals.h"

namespace compose::cli {
namespace {

void write_whole(int fd, std::string_view text) {
  if (const auto written = base::sys::write_all(base::Fd(fd), text); !written && written.error().number == EPIPE) ::_exit(141);
}

std::size_t characters(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

std::string formatted(const char* format, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

/// Four significant digits, as %.4g in go-units.
std::string scaled(double value, double base, std::span<const std::string_view> units, const char* format) {
  std::size_t unit = 0;
  while (value >= base && unit + 1 < units.size()) {
    value /= base;
    ++unit;
  }
  return formatted(format, value) + std::string(units[unit]);
}

}  // namespace

void out(std::string_view text) { write_whole(STDOUT_FILENO, text); }
void err(std::string_view text) { write_whole(STDERR_FILENO, text); }

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

unsigned terminal_columns(int fd) {
  winsize size{};
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string json_string(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': result += "\\\""; break;
      case '\\': result += "\\\\"; break;
      case '\n': result += "\\n"; break;
      case '\r': result += "\\r"; break;
      case '\t': result += "\\t"; break;
      case '<': result += "\\u003c"; break;
      case '>': result += "\\u003e"; break;
      case '&': result += "\\u0026"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          char escaped[8];
          std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
          result += escaped;
        } else {
          result += c;
        }
    }
  }
  return result + "\"";
}

std::string table(const std::vector<std::vector<std::string>>& rows, std::size_t gutter, std::size_t minimum) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    if (widths.size() < row.size()) widths.resize(row.size(), minimum);
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], characters(row[i]) + gutter);
  }
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - characters(row[i]), ' ');
    }
    text += '\n';
  }
  return text;
}

std::string human_duration(std::int64_t nanoseconds) {
  const auto seconds = nanoseconds / 1'000'000'000;
  if (seconds < 1) return "Less than a second";
  if (seconds == 1) return "1 second";
  if (seconds < 60) return std::to_string(seconds) + " seconds";
  const auto minutes = seconds / 60;
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return std::to_string(minutes) + " minutes";
  const auto hours = (seconds + 1800) / 3600;
  if (hours == 1) return "About an hour";
  if (hours < 48) return std::to_string(hours) + " hours";
  if (hours < 24 * 7 * 2) return std::to_string(hours / 24) + " days";
  if (hours < 24 * 30 * 2) return std::to_string(hours / 24 / 7) + " weeks";
  if (hours < 24 * 365 * 2) return std::to_string(hours / 24 / 30) + " months";
  return std::to_string(hours / 24 / 365) + " years";
}

std::string human_size(double bytes) {
  static constexpr std::string_view units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  return scaled(bytes, 1000, units, "%.3g");
}

std::string binary_size(double bytes) {
  static constexpr std::string_view units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  return scaled(bytes, 1024, units, "%.4g");
}

std::string go_time(engine::WallNs time) {
  const auto seconds = static_cast<std::time_t>(time / 1'000'000'000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char buffer[64];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%S +0000 UTC", &utc);
  return buffer;
}

std::string rfc3339(engine::WallNs time) {
  const auto seconds = static_cast<std::time_t>(time / 1'000'000'000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char buffer[64];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%S", &utc);
  std::string text = buffer;
  if (const auto fraction = time % 1'000'000'000; fraction != 0) {
    char digits[16];
    std::snprintf(digits, sizeof digits, ".%09lld", static_cast<long long>(fraction));
    text += digits;
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text + "Z";
}

engine::WallNs wall_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string ellipsis(std::string_view text, std::size_t width) {
  if (characters(text) <= width) return std::string(text);
  std::string cut;
  std::size_t count = 0;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xC0) != 0x80 && ++count >= width) break;
    cut += c;
  }
  return cut + "…";
}

void warn(std::string_view message) {
  const std::string time = rfc3339(wall_now() / 1'000'000'000 * 1'000'000'000);
  if (globals().progress == "json") {
    err("{\"level\":\"warning\",\"msg\":" + json_string(message) + ",\"time\":\"" + time + "\"}\n");
    return;
  }
  std::string escaped;
  for (const char c : message) {
    if (c == '"' || c == '\\') escaped += '\\';
    if (c == '\n') escaped += "\\n";
    else escaped += c;
  }
  err("time=\"" + time + "\" level=warning msg=\"" + escaped + "\"\n");
}

std::optional<std::int64_t> parse_duration(std::string_view text) {
  static constexpr std::pair<std::string_view, double> units[] = {
      {"ns", 1}, {"us", 1e3}, {"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || number < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    std::size_t length = 0;
    while (length < text.size() && text[length] != '.' && (text[length] < '0' || text[length] > '9')) ++length;
    const auto unit = std::find_if(std::begin(units), std::end(units), [&](const auto& u) { return u.first == text.substr(0, length); });
    if (unit == std::end(units)) return std::nullopt;
    total += number * unit->second;
    text.remove_prefix(length);
  }
  if (total > 9e18) return std::nullopt;
  return static_cast<std::int64_t>(negative ? -total : total);
}

std::optional<engine::WallNs> parse_moment(std::string_view text) {
  if (const auto duration = parse_duration(text)) return wall_now() - *duration;
  double seconds = 0;
  if (const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds, std::chars_format::fixed);
      error == std::errc() && end == text.data() + text.size()) {
    return static_cast<engine::WallNs>(seconds * 1e9);
  }
  const std::string copy(text);
  int offset_h = 0, offset_m = 0, used = 0;
  std::tm fields{};
  for (const char* format : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H", "%Y-%m-%d"}) {
    fields = {};
    const char* rest = ::strptime(copy.c_str(), format, &fields);
    if (rest == nullptr) continue;
    double fraction = 0;
    if (*rest == '.') {
      const auto [end, error] = std::from_chars(rest, copy.c_str() + copy.size(), fraction, std::chars_format::fixed);
      if (error != std::errc()) return std::nullopt;
      rest = end;
    }
    const std::string zone = rest;
    engine::WallNs base = 0;
    if (zone.empty()) {
      base = ::mktime(&fields);
    } else if (zone == "Z") {
      base = ::timegm(&fields);
    } else if ((zone[0] == '+' || zone[0] == '-') && std::sscanf(zone.c_str() + 1, "%2d:%2d%n", &offset_h, &offset_m, &used) == 2 &&
               static_cast<std::size_t>(used) + 1 == zone.size()) {
      base = ::timegm(&fields) - (zone[0] == '+' ? 1 : -1) * (offset_h * 3600 + offset_m * 60);
    } else {
      continue;
    }
    return base * 1'000'000'000 + static_cast<engine::WallNs>(fraction * 1e9);
  }
  return std::nullopt;
}

}  // namespace compose::cli
