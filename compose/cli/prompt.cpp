#include "compose/cli/prompt.h"

#include <unistd.h>

#include "compose/cli/output.h"

namespace compose::cli {

namespace {
bool ask(const std::string& question, bool otherwise) {
  err("? " + question + (otherwise ? " (Y/n) " : " (y/N) "));
  std::string answer;
  char c = 0;
  while (::read(STDIN_FILENO, &c, 1) == 1 && c != '\n') answer += c;
  if (!is_terminal(STDIN_FILENO)) err("\n");  // nobody typed one
  if (answer.empty()) return otherwise;
  return answer[0] == 'y' || answer[0] == 'Y';
}
}  // namespace

bool confirm(const std::string& question, bool otherwise) { return is_terminal(STDIN_FILENO) ? ask(question, otherwise) : otherwise; }

bool confirm_from_input(const std::string& question) { return ask(question, false); }

}  // namespace compose::cli
