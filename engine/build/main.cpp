// compose-image: the worker that parses what comes from outside (registries, archives, build contexts), so that no
// long-running process ever does.
#include <csignal>
#include <string>
#include <vector>

#include "base/sys.h"
#include "engine/build/build.h"
#include "engine/registry/cli.h"

int main(int count, char** words) {
  // A reader that went away is an error of the write, not our death.
  std::signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> arguments(words + 1, words + count);
  if (!arguments.empty()) {
    const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
    if (arguments[0] == "build") return engine::build::run_build(rest);
    if (const auto code = engine::registry::run_command(arguments[0], rest)) return *code;
  }
  (void)base::sys::write_all(base::Fd(2), "usage: compose-image pull|push|build|ls|inspect|tag|rm|prune|import|load|save ...\n");
  return 2;
}
