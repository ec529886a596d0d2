#include "engine/logs/format.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>

namespace engine::logs {
namespace {

constexpr std::size_t cri_overhead = 30 + 1 + 6 + 1 + 1 + 1 + 1;  // time, stream, tag, newline, blanks

std::size_t newline_at(std::string_view bytes) {
  const void* found = std::memchr(bytes.data(), '\n', bytes.size());
  return found ? static_cast<std::size_t>(static_cast<const char*>(found) - bytes.data()) : std::string_view::npos;
}

/// The length of a piece of a long line: max_record_text, less up to 3 bytes so that no UTF-8 sequence is cut.
std::size_t piece_length(std::string_view bytes) {
  std::size_t length = max_record_text;
  for (int back = 0; back < 3 && (static_cast<unsigned char>(bytes[length]) & 0xc0) == 0x80; ++back) --length;
  return (static_cast<unsigned char>(bytes[length]) & 0xc0) == 0x80 ? max_record_text : length;
}

/// Calls emit(text, continues) for each record in `bytes`; returns the bytes used.
template <class Emit>
std::size_t split(std::string_view bytes, bool at_end, Emit&& emit) {
  std::size_t used = 0;
  while (used < bytes.size()) {
    const auto rest = bytes.substr(used);
    // A newline farther than one piece away need not be looked for.
    const auto end = newline_at(rest.substr(0, max_record_text + 1));
    if (end != std::string_view::npos) {
      emit(rest.substr(0, end), false);
      used += end + 1;
    } else if (rest.size() > max_record_text) {
      const auto length = piece_length(rest);
      emit(rest.substr(0, length), true);
      used += length;
    } else {
      if (!at_end) break;
      emit(rest, false);
      used = bytes.size();
    }
  }
  return used;
}

char* put(char* at, std::string_view text) {
  std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

/// `text` keeps its bytes and becomes `size` long; the new ones are not initialised.
char* extend(std::string& text, std::size_t size) {
  text.resize_and_overwrite(size, [](char*, std::size_t length) { return length; });
  return text.data();
}

std::size_t format_cri(Stream stream, std::int64_t time_ns, std::string_view bytes, bool at_end, std::string& out) {
  std::string prefix = format_time(time_ns);
  prefix += stream == Stream::out ? " stdout " : " stderr ";
  std::size_t length = out.size();
  // Room for lines of 80 bytes; more as needed. Counting the lines first would cost as much as formatting them.
  char* data = extend(out, length + bytes.size() + bytes.size() / 2 + 4096);
  const auto used = split(bytes, at_end, [&](std::string_view text, bool continues) {
    const std::size_t wanted = length + text.size() + cri_overhead;
    if (wanted > out.size()) data = extend(out, wanted + out.size());
    char* at = put(data + length, prefix);
    *at++ = continues ? 'P' : 'F';
    *at++ = ' ';
    at = put(at, text);
    *at++ = '\n';
    length = static_cast<std::size_t>(at - data);
  });
  out.resize(length);
  return used;
}

/// Length of the valid UTF-8 sequence at the front of `text`, 0 when there is none. Source: RFC 3629 section 4.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return tail(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f)) return 0;
    return tail(1) && tail(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if ((first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) return 0;
    return tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

bool plain_json(char c) {
  return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x80 && c != '"' && c != '\\' &&
         c != '<' && c != '>' && c != '&';
}

/// As Docker's jsonlog: HTML characters escaped too, bytes that are no UTF-8 replaced.
void append_json(std::string_view text, std::string& out) {
  constexpr char hex[] = "0123456789abcdef";
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i;
    while (end < text.size() && plain_json(text[end])) ++end;
    out.append(text.substr(i, end - i));
    i = end;
    if (i == text.size()) break;
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x80) {
      const auto length = utf8_length(text.substr(i));
      const bool separator = length == 3 && text.substr(i, 2) == "\xe2\x80" &&
                             (static_cast<unsigned char>(text[i + 2]) & 0xfe) == 0xa8;
      if (length == 0) {
        out += "\\ufffd";
      } else if (separator) {  // U+2028, U+2029: legal JSON, but no JavaScript
        out += text[i + 2] & 1 ? "\\u2029" : "\\u2028";
      } else {
        out.append(text.substr(i, length));
      }
      i += std::max<std::size_t>(length, 1);
      continue;
    }
    ++i;
    if (c == '"' || c == '\\') (out += '\\') += static_cast<char>(c);
    else if (c == '\n') out += "\\n";
    else if (c == '\r') out += "\\r";
    else if (c == '\t') out += "\\t";
    else ((out += "\\u00") += hex[c >> 4]) += hex[c & 15];
  }
}

std::size_t format_json(Stream stream, std::int64_t time_ns, std::string_view bytes, bool at_end, std::string& out) {
  std::string time = format_time(time_ns);  // Go's RFC3339Nano has no trailing zeros
  time.pop_back();
  time.erase(time.find_last_not_of('0') + 1);
  if (time.back() == '.') time.pop_back();
  std::string suffix = stream == Stream::out ? "\",\"stream\":\"stdout\",\"time\":\"" : "\",\"stream\":\"stderr\",\"time\":\"";
  suffix += time;
  suffix += "Z\"}\n";
  return split(bytes, at_end, [&](std::string_view text, bool continues) {
    out += "{\"log\":\"";
    append_json(text, out);
    // An unfinished last line keeps its missing newline, as in Docker: `text` then ends the input.
    const bool finished = !continues && text.data() + text.size() < bytes.data() + bytes.size();
    if (finished) out += "\\n";
    out += suffix;
  });
}

bool digits(std::string_view text, std::size_t from, std::size_t count, int& value) {
  value = 0;
  for (std::size_t i = from; i < from + count; ++i) {
    if (i >= text.size() || text[i] < '0' || text[i] > '9') return false;
    value = value * 10 + (text[i] - '0');
  }
  return true;
}

bool parse_cri(std::string_view line, Record& record) {
  const auto blank = line.find(' ');
  if (blank == std::string_view::npos || line.size() < blank + 10) return false;
  record.time_ns = parse_time(line.substr(0, blank));
  const auto stream = line.substr(blank + 1, 7);
  const auto tag = line.substr(blank + 8, 2);
  if (record.time_ns < 0 || (stream != "stdout " && stream != "stderr ") || (tag != "F " && tag != "P ")) return false;
  record.stream = stream == "stdout " ? Stream::out : Stream::err;
  record.partial = tag == "P ";
  record.text = line.substr(blank + 10);
  return true;
}

void append_utf8(unsigned code, std::string& out) {
  const auto put_byte = [&](unsigned byte) { out += static_cast<char>(byte); };
  if (code < 0x80) return put_byte(code);
  if (code < 0x800) {
    put_byte(0xc0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put_byte(0xe0 | code >> 12);
    } else {
      put_byte(0xf0 | code >> 18);
      put_byte(0x80 | (code >> 12 & 0x3f));
    }
    put_byte(0x80 | (code >> 6 & 0x3f));
  }
  put_byte(0x80 | (code & 0x3f));
}

bool hex4(std::string_view text, std::size_t at, unsigned& code) {
  if (at + 4 > text.size()) return false;
  const auto result = std::from_chars(text.data() + at, text.data() + at + 4, code, 16);
  return result.ec == std::errc() && result.ptr == text.data() + at + 4;
}

/// Reads the JSON string whose opening quote is at text[at]; `at` moves behind the closing one.
bool json_string(std::string_view text, std::size_t& at, std::string& scratch, std::string_view& value) {
  if (at >= text.size() || text[at] != '"') return false;
  const std::size_t start = ++at;
  while (at < text.size() && text[at] != '"' && text[at] != '\\') ++at;
  if (at < text.size() && text[at] == '"') {
    value = text.substr(start, at++ - start);
    return true;
  }
  scratch.assign(text.substr(start, at - start));
  for (; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] != '\\') {
      scratch += text[at];
      continue;
    }
    if (++at >= text.size()) return false;
    unsigned code = 0;
    switch (text[at]) {
      case 'n': scratch += '\n'; break;
      case 'r': scratch += '\r'; break;
      case 't': scratch += '\t'; break;
      case 'b': scratch += '\b'; break;
      case 'f': scratch += '\f'; break;
      case 'u': {
        if (!hex4(text, at + 1, code)) return false;
        at += 4;
        unsigned low = 0;
        if (code >= 0xd800 && code < 0xdc00 && text.substr(at + 1, 2) == "\\u" && hex4(text, at + 3, low) &&
            low >= 0xdc00 && low < 0xe000) {
          code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
          at += 6;
        }
        append_utf8(code, scratch);
        break;
      }
      default: scratch += text[at];
    }
  }
  if (at >= text.size()) return false;
  ++at;
  value = scratch;
  return true;
}

/// Skips an object or array of a record, such as Docker's "attrs".
bool skip_nested(std::string_view text, std::size_t& at) {
  int depth = 0;
  std::string ignored;
  std::string_view value;
  while (at < text.size()) {
    const char c = text[at];
    if (c == '"') {
      if (!json_string(text, at, ignored, value)) return false;
      continue;
    }
    ++at;
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && --depth == 0) return true;
  }
  return false;
}

bool parse_json(std::string_view line, Record& record, std::string& scratch) {
  bool has_log = false, has_time = false;
  std::size_t at = 1;
  std::string other;
  while (at < line.size() && line[at] != '}') {
    std::string_view key, value;
    if (line[at] == ',' || line[at] == ' ') {
      ++at;
      continue;
    }
    if (!json_string(line, at, other, key) || at >= line.size() || line[at] != ':') return false;
    const bool is_log = key == "log", is_stream = key == "stream", is_time = key == "time";
    if (++at < line.size() && (line[at] == '{' || line[at] == '[')) {
      if (!skip_nested(line, at)) return false;
      continue;
    }
    if (!json_string(line, at, is_log ? scratch : other, value)) return false;
    if (is_log) record.text = value;
    if (is_stream) record.stream = value == "stderr" ? Stream::err : Stream::out;
    if (is_time) record.time_ns = parse_time(value);
    has_log = has_log || is_log;
    has_time = has_time || is_time;
  }
  if (at >= line.size() || !has_log || !has_time || record.time_ns < 0) return false;
  // Without escapes `text` cannot end in a newline; with them it lies in `scratch`.
  const bool finished = !record.text.empty() && record.text.back() == '\n';
  if (finished) record.text.remove_suffix(1);
  // The format has no mark for an unfinished last line; its length tells it from a piece of a long one.
  record.partial = !finished && record.text.size() + 3 >= max_record_text;
  return true;
}

base::Result<std::int64_t> parse_size(const std::string& text) {
  if (text == "-1") return -1;
  double number = 0;
  const auto end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  std::string unit(result.ptr, end);
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return std::tolower(c); });
  if (!unit.empty() && unit.back() == 'b') unit.pop_back();
  if (!unit.empty() && unit.back() == 'i') unit.pop_back();
  const std::map<std::string, double> units{{"", 1}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"t", 1024.0 * (1 << 30)}};
  if (result.ec != std::errc() || number <= 0 || number > 1e15 || !units.contains(unit))
    return base::make_error(base::ErrorKind::invalid, "log option max-size '" + text + "' is not a size such as 10m");
  return static_cast<std::int64_t>(number * units.at(unit));
}

base::Result<int> parse_count(const std::string& text) {
  int count = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), count);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size() || count < 1 || count > 1000)
    return base::make_error(base::ErrorKind::invalid, "log option max-file '" + text + "' is not a number from 1 to 1000");
  return count;
}

}  // namespace

base::Result<Settings> parse_settings(const std::string& driver, const std::map<std::string, std::string>& options) {
  Settings settings;
  if (driver == "none") settings.driver = Driver::none;
  else if (driver == "json-file") settings.driver = Driver::json_file;
  else if (!driver.empty() && driver != "local" && driver != "cri")
    return base::make_error(base::ErrorKind::invalid,
                            "log driver '" + driver + "' is not supported (there are json-file, local, none)");
  for (const auto& [key, value] : options) {
    if (key == "max-size") {
      ASSIGN_OR_RETURN(settings.max_size_bytes, parse_size(value));
    } else if (key == "max-file") {
      ASSIGN_OR_RETURN(settings.max_files, parse_count(value));
    } else if (key == "mode" && (value == "blocking" || value == "non-blocking")) {
      // Both are honoured: intake goes to memory first and the files are local, so a writer is held up only by a full disk.
    } else if (key == "compress" && value == "false") {
    } else {
      return base::make_error(base::ErrorKind::invalid, "log option " + key + "=" + value + " is not supported (there are max-size, max-file)");
    }
  }
  return settings;
}

std::size_t format_records(Driver driver, Stream stream, std::int64_t time_ns, std::string_view bytes, bool at_end,
                           std::string& out) {
  if (driver == Driver::none) return bytes.size();
  return driver == Driver::json_file ? format_json(stream, time_ns, bytes, at_end, out)
                                     : format_cri(stream, time_ns, bytes, at_end, out);
}

std::string format_time(std::int64_t time_ns) {
  using namespace std::chrono;
  const sys_time<nanoseconds> at{nanoseconds(time_ns)};
  const auto day = floor<days>(at);
  const year_month_day date{day};
  const hh_mm_ss<nanoseconds> clock{at - day};
  char text[80];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02ld:%02ld:%02ld.%09ldZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                clock.minutes().count(), static_cast<long>(clock.seconds().count()),
                static_cast<long>(clock.subseconds().count()));
  return text;
}

std::int64_t parse_time(std::string_view text) {
  int year, month, day, hour, minute, second;
  if (text.size() < 20 || !digits(text, 0, 4, year) || text[4] != '-' || !digits(text, 5, 2, month) || text[7] != '-' ||
      !digits(text, 8, 2, day) || text[10] != 'T' || !digits(text, 11, 2, hour) || text[13] != ':' ||
      !digits(text, 14, 2, minute) || text[16] != ':' || !digits(text, 17, 2, second))
    return -1;
  using namespace std::chrono;
  const year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                            std::chrono::day(static_cast<unsigned>(day))};
  // The upper bound keeps nanoseconds in 64 bits (they end in April 2262).
  if (!date.ok() || year < 1970 || year > 2261 || hour > 23 || minute > 59 || second > 60) return -1;
  std::size_t at = 19;
  std::int64_t fraction = 0;
  if (text[at] == '.') {
    std::int64_t scale = 100'000'000;
    const std::size_t first = ++at;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, scale /= 10) fraction += (text[at] - '0') * scale;
    if (at == first || at - first > 9) return -1;
  }
  std::int64_t offset_s = 0;
  const auto zone = text.substr(at);
  if (zone != "Z") {
    int zone_hour, zone_minute;
    if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':' || !digits(zone, 1, 2, zone_hour) ||
        !digits(zone, 4, 2, zone_minute))
      return -1;
    offset_s = (zone_hour * 60 + zone_minute) * 60 * (zone[0] == '+' ? 1 : -1);
  }
  const std::int64_t days = sys_days(date).time_since_epoch().count();
  const std::int64_t seconds = ((days * 24 + hour) * 60 + minute) * 60 + second - offset_s;
  return seconds < 0 ? -1 : seconds * 1'000'000'000 + fraction;
}

bool parse_record(std::string_view line, Record& record, std::string& scratch) {
  if (line.empty()) return false;
  return line.front() == '{' ? parse_json(line, record, scratch) : parse_cri(line, record);
}

}  // namespace engine::logs
