#pragma once
// The two record formats of container logs, and the options of a log.
//   cri        2026-11-22T14:20:39.402178000Z stdout F text          (F ends a line, P continues in the next record)
//   json-file  {"log":"text\n","stream":"stdout","time":"2026-11-22T14:20:39.402178Z"}
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace engine::logs {

enum class Stream : std::uint8_t { out, err };
enum class Driver : std::uint8_t { cri, json_file, none };

inline constexpr std::size_t max_record_text = 16 * 1024;  ///< longer lines become several records, as in CRI and Docker

struct Settings {
  Driver driver = Driver::cri;
  std::int64_t max_size_bytes = 10 << 20;  ///< a file is rotated before it would grow past this; -1 = never
  int max_files = 3;                       ///< current one included
  bool operator==(const Settings&) const = default;
};

/// `driver` and options as in the Compose file's `logging`. "" and "local" are cri.
/// Error invalid: unknown driver or option, a value out of range. Nothing is ignored.
base::Result<Settings> parse_settings(const std::string& driver, const std::map<std::string, std::string>& options);

/// Appends the records for the complete lines in `bytes` to `out` and returns how many bytes they took up. The rest is an
/// unfinished line shorter than max_record_text; with `at_end` it becomes a record as well.
/// Pure: the same input always gives the same bytes (recovery depends on it).
std::size_t format_records(Driver driver, Stream stream, std::int64_t time_ns, std::string_view bytes, bool at_end,
                           std::string& out);

/// "2026-11-22T14:20:39.402178000Z", always 30 bytes: what `logs -t` prints.
std::string format_time(std::int64_t time_ns);
/// The inverse, for 0 to 9 digits of fraction and an offset or Z; -1 when it is no such time.
std::int64_t parse_time(std::string_view text);

/// One parsed record; views point into the input (json text into `scratch` when it had escapes).
struct Record {
  std::int64_t time_ns = 0;
  Stream stream = Stream::out;
  bool partial = false;        ///< the line goes on in the stream's next record
  std::string_view text;       ///< without the newline
};
/// Parses one line (without its '\n') of either format, told apart by the first byte. False: torn or foreign.
bool parse_record(std::string_view line, Record& record, std::string& scratch);

}  // namespace engine::logs
