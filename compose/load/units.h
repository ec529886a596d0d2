#pragma once
// Sizes, durations and numbers as Docker's libraries read and write them.
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace compose::load {

/// "1.5g", "10 MB", "512" → bytes, binary multiples (docker/go-units RAMInBytes); truncate() for what is too large.
std::optional<std::int64_t> parse_bytes(std::string_view text);

/// As the processors of most machines convert: towards zero, the smallest number for what 64 bits do not hold.
std::int64_t truncate(double value);

/// "1", "t", "TRUE", "0", "f", "False" …: Go's strconv.ParseBool.
std::optional<bool> parse_bool(std::string_view text);

/// "1h2m3.5s", "10ms", "1d", "2w". "0" needs no unit.
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);
/// "1m30s", "1.5s", "0s" (Go's Duration.String).
std::string format_duration(std::chrono::nanoseconds duration);

/// As Go's %v and go-yaml print a float: shortest digits that read back, exponent below 1e-4 and from 1e6 when it is
/// shorter to say so ("1e+06").
std::string format_real(double value);
std::string format_real(float value);
/// As Go's JSON prints it: exponent below 1e-6 and from 1e21.
std::string format_json_real(double value);
std::string format_json_real(float value);

/// [+-]digits, nothing else; nullopt out of range.
std::optional<std::int64_t> parse_int(std::string_view text);
std::optional<double> parse_double(std::string_view text);

}  // namespace compose::load
