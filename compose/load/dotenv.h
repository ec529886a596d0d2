#pragma once
// .env files and env_file: quotes, escapes, expansion, comments, inherited names.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compose/load/template.h"

namespace compose::load {

struct DotEnv {
  std::vector<std::pair<std::string, std::string>> variables;  ///< in order; a name may repeat, the last wins
  std::vector<std::uint32_t> lines;                            ///< of each variable
  std::vector<std::string> unset;                              ///< variables expanded to nothing
  std::string error;                                           ///< "" = fine
  std::uint32_t error_line = 0;
};

/// Reads the whole text. `lookup` is asked first for variables in values, then what the text itself has set so far;
/// a name alone on its line takes its value from `lookup` (and is left out when that has none).
DotEnv parse_dotenv(std::string_view text, const Lookup& lookup);

/// Format `raw`: NAME=value lines taken literally.
DotEnv parse_raw_env(std::string_view text, const Lookup& lookup);

}  // namespace compose::load
