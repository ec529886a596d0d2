#include "compose/cli/globals.h"

#include <cstdlib>
#include <string_view>

#include "compose/cli/output.h"

namespace compose::cli {

Globals& globals() {
  static Globals instance;
  return instance;
}

bool colour_on(int fd) {
  if (globals().ansi == "never") return false;
  if (globals().ansi == "always") return true;
  const char* none = std::getenv("NO_COLOR");
  if (none != nullptr && *none != 0) return false;
  const char* force = std::getenv("CLICOLOR_FORCE");
  if (force != nullptr && std::string_view(force) != "0" && *force != 0) return true;
  const char* term = std::getenv("TERM");
  if (term != nullptr && std::string_view(term) == "dumb") return false;
  return is_terminal(fd);
}

}  // namespace compose::cli
