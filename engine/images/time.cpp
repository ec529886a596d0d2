// RFC 3339 times of image configs.
#include <ctime>

#include "engine/images/config.h"

namespace engine::images {

namespace {

/// Reads exactly `digits` digits.
bool number(std::string_view& text, int digits, int& value) {
  value = 0;
  for (int i = 0; i < digits; ++i) {
    if (text.empty() || text.front() < '0' || text.front() > '9') return false;
    value = value * 10 + (text.front() - '0');
    text.remove_prefix(1);
  }
  return true;
}

bool skip(std::string_view& text, std::string_view any) {
  if (text.empty() || any.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

WallNs parse_time(std::string_view text) {
  std::tm tm{};
  if (!number(text, 4, tm.tm_year) || !skip(text, "-") || !number(text, 2, tm.tm_mon) || !skip(text, "-") ||
      !number(text, 2, tm.tm_mday) || !skip(text, "Tt ") || !number(text, 2, tm.tm_hour) || !skip(text, ":") ||
      !number(text, 2, tm.tm_min) || !skip(text, ":") || !number(text, 2, tm.tm_sec))
    return 0;
  tm.tm_year -= 1900;
  tm.tm_mon -= 1;
  std::int64_t fraction = 0;
  if (skip(text, ".")) {
    std::int64_t unit = 100'000'000;
    for (int digit = 0; number(text, 1, digit); unit /= 10) fraction += digit * unit;
  }
  std::int64_t offset_s = 0;
  if (!skip(text, "Zz")) {
    const bool west = !text.empty() && text.front() == '-';
    int hours = 0, minutes = 0;
    if (!skip(text, "+-") || !number(text, 2, hours) || !skip(text, ":") || !number(text, 2, minutes)) return 0;
    offset_s = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
  }
  const std::int64_t seconds = timegm(&tm) - offset_s;
  constexpr std::int64_t limit_s = 9'000'000'000;  // year 2255: what 64 bits of nanoseconds hold
  if (!text.empty() || seconds < -limit_s || seconds > limit_s) return 0;
  return seconds * 1'000'000'000 + fraction;
}

namespace {

std::string day_and_time(std::int64_t seconds) {
  const std::time_t whole = seconds;
  std::tm tm{};
  gmtime_r(&whole, &tm);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &tm)};
}

}  // namespace

std::string format_time_s(std::int64_t seconds) { return day_and_time(seconds) + "Z"; }

std::string format_time(WallNs time) {
  std::int64_t seconds = time / 1'000'000'000, fraction = time % 1'000'000'000;
  if (fraction < 0) fraction += 1'000'000'000, --seconds;
  std::string text = day_and_time(seconds);
  if (fraction != 0) {
    auto digits = std::to_string(1'000'000'000 + fraction).substr(1);
    while (digits.back() == '0') digits.pop_back();
    text += "." + digits;
  }
  return text + "Z";
}

}  // namespace engine::images
