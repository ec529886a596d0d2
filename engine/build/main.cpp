// compose-image: the worker that parses what comes from outside (registries, archives, build contexts), so that no
// long-running process ever does.
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/sys.h"
#include "engine/build/build.h"
#include "engine/build/compose_file.h"
#include "engine/files/cli.h"
#include "engine/registry/cli.h"

namespace {

/// Started as the worker of a command (COMPOSE_WORKER_OF, its pid), we are cancelled when that command is killed: nobody would ever
/// hear of what we do. Source: prctl(2) PR_SET_PDEATHSIG.
void end_with_caller() {
  const char* caller = std::getenv("COMPOSE_WORKER_OF");
  if (caller == nullptr) return;
  (void)::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != std::atoi(caller)) std::raise(SIGTERM);  // too late for the kernel to tell
  (void)::unsetenv("COMPOSE_WORKER_OF");
}

}  // namespace

int main(int count, char** words) {
  end_with_caller();
  // A reader that went away is an error of the write, not our death.
  std::signal(SIGPIPE, SIG_IGN);
  // Not for build steps: compose-runtime would hand them on.
  for (const char* name : {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"}) ::unsetenv(name);
  const std::vector<std::string> arguments(words + 1, words + count);
  if (!arguments.empty()) {
    const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
    if (arguments[0] == "build") return engine::build::run_build(rest);
    if (arguments[0] == "compose-file") return engine::build::run_compose_file(rest);
    if (const auto code = engine::files::run_command(arguments[0], rest)) return *code;
    if (const auto code = engine::registry::run_command(arguments[0], rest)) return *code;
  }
  (void)base::sys::write_all(base::Fd(2), engine::registry::command_usage());
  return 2;
}
