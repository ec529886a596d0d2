#include "compose/cli/prompt.h"

#include <unistd.h>

#include "compose/cli/output.h"

namespace compose::cli {

bool confirm(const std::string& question, bool otherwise) {
  if (!is_terminal(STDIN_FILENO)) return otherwise;
  err("? " + question + (otherwise ? " (Y/n) " : " (y/N) "));
  std::string answer;
  char c = 0;
  while (::read(STDIN_FILENO, &c, 1) == 1 && c != '\n') answer += c;
  if (answer.empty()) return otherwise;
  return answer[0] == 'y' || answer[0] == 'Y';
}

}  // namespace compose::cli
