#pragma once
// The command line as data: one table per verb feeds the parser and `--help`. By hand, since the start of a container waits for it.
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace runtime::oci {

struct Flag {
  char letter;                ///< 0 = none
  std::string_view name;      ///< without dashes
  std::string_view value;     ///< "" = a switch; else the placeholder of --help
  std::string_view help;
};

class Arguments {
 public:
  [[nodiscard]] bool has(std::string_view name) const;
  /// The last value given; "" when absent.
  [[nodiscard]] std::string value(std::string_view name) const;
  [[nodiscard]] std::vector<std::string> values(std::string_view name) const;
  /// Error invalid when it is there and no number.
  [[nodiscard]] base::Result<std::optional<std::int64_t>> number(std::string_view name) const;
  std::vector<std::string> positional;

 private:
  friend base::Result<Arguments> parse_arguments(std::span<const std::string>, std::span<const Flag>, bool);
  std::vector<std::pair<std::string_view, std::string>> given_;
};

/// "-b DIR", "-bDIR", "--bundle DIR", "--bundle=DIR", "-it", "--". With `stop_at_positional` the first word that is no flag ends
/// the flags: what follows belongs to somebody else's command line.
base::Result<Arguments> parse_arguments(std::span<const std::string> words, std::span<const Flag> flags,
                                        bool stop_at_positional);

/// "  -b, --bundle DIR   Help" lines.
std::string help_of(std::span<const Flag> flags);

}  // namespace runtime::oci
