#pragma once
// What verbs print with: streams, tables, JSON pieces, times and sizes in Docker's words.
#include <string>
#include <string_view>
#include <vector>

#include "engine/api/types.h"

namespace compose::cli {

/// To standard output or error, unbuffered and whole; a closed reader ends the program quietly, as SIGPIPE would.
void out(std::string_view text);
void err(std::string_view text);

bool is_terminal(int fd);
/// Columns of the terminal on `fd`; 80 when it is none.
unsigned terminal_columns(int fd);

/// `"text"` with JSON escapes; <, > and & as \u003c, the way Go's encoder writes them.
std::string json_string(std::string_view text);

/// Rows of cells as Docker's tables: columns as wide as their longest cell, `gutter` spaces between, never narrower than `minimum`.
std::string table(const std::vector<std::vector<std::string>>& rows, std::size_t gutter = 3, std::size_t minimum = 0);

/// "3 seconds", "About a minute", "2 weeks": docker/go-units HumanDuration.
std::string human_duration(std::int64_t nanoseconds);
/// "1.98MB" (powers of 1000) and "368KiB" (powers of 1024): docker/go-units.
std::string human_size(double bytes);
std::string binary_size(double bytes);
/// "2026-11-22 14:20:39 +0000 UTC"
std::string go_time(engine::WallNs time);
/// "2026-11-22T14:20:39.402178389Z" without trailing zeros
std::string rfc3339(engine::WallNs time);
engine::WallNs wall_now();

/// At most `width` characters (not bytes), the last one "…" when cut.
std::string ellipsis(std::string_view text, std::size_t width);

/// logrus' line: time="…" level=warning msg="…" on stderr; a JSON object with --progress json.
void warn(std::string_view message);

/// "90s", "1m30s", "42m", "1.5h" → nanoseconds (Go's ParseDuration); nothing when it is none.
std::optional<std::int64_t> parse_duration(std::string_view text);
/// A --since/--until value: RFC 3339 with less or more of it, Unix seconds, or a duration before now. Nothing when it is none.
std::optional<engine::WallNs> parse_moment(std::string_view text);

}  // namespace compose::cli
