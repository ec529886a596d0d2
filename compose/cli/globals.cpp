#include "compose/cli/globals.h"

#include <cctype>
#include <cstdlib>
#include <string_view>

#include "compose/cli/output.h"

namespace compose::cli {

Globals& globals() {
  static Globals instance;
  return instance;
}

bool means_yes(std::string_view text) {
  std::string word;
  for (const char c : text)
    if (c != ' ' && c != '\t') word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return word == "y" || word == "1" || word == "t" || word == "true";
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
