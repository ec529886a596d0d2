#pragma once
// `config --explain PATH` and `env --explain NAME`: where a value of the final model comes from.
#include <string>

#include "compose/load/load.h"

namespace compose::load {

/// What discover() was given and found.
struct ExplainInput {
  const CommandLine& line;
  const DiscoverResult& found;            ///< with options
  const FileReader& files;
};

struct Explanation {
  std::optional<std::string> text;        ///< absent: `error`, or what `load` reports
  std::string error, hint;
  LoadResult load;
};

/// Every value at and below `path` ("services.web.ports[0].published"): where it is written, how, the variables in it and
/// their sources, other files that say something about the same key. Reads the files a second time.
Explanation explain_value(const ExplainInput& input, const std::string& path);

/// A variable's value, where it is set (shell, env files with their lines; which one wins) and where the files use it.
Explanation explain_variable(const ExplainInput& input, const std::string& name);

}  // namespace compose::load
