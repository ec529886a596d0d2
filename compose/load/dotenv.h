#pragma once
// .env files and env_file: quotes, escapes, expansion, comments, inherited names.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compose/load/template.h"
#include "compose/model/project.h"

namespace compose::load {

struct DotEnv {
  std::vector<std::pair<std::string, std::string>> variables;  ///< in order; a name may repeat, the last wins
  std::vector<std::uint32_t> lines;                            ///< of each variable
  std::vector<std::string> unset;                              ///< variables expanded to nothing
  std::string error;                                           ///< "" = fine
  std::uint32_t error_line = 0;
};

/// Reads the whole text. `lookup` is asked first for variables in values, then what the text itself has set so far, then
/// `earlier` (what files before this one have set); a name alone on its line takes its value from `lookup` (and is left
/// out when that has none). Text after the last separator, without a line end, becomes a variable whose name is "".
DotEnv parse_dotenv(std::string_view text, const Lookup& lookup, const model::StringMap& earlier = {});

/// Format `raw`: NAME=value lines taken literally.
DotEnv parse_raw_env(std::string_view text, const Lookup& lookup);

}  // namespace compose::load
