// exec: becomes `compose-runtime exec`, which owns the terminal from there on; no supervisor is involved.
// attach: a client of the supervisor.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "compose/cli/context.h"
#include "compose/cli/globals.h"
#include "compose/cli/output.h"
#include "compose/cli/session.h"
#include "compose/cli/verbs.h"
#include "engine/client/client.h"

namespace compose::cli {

using base::Result;

namespace {

engine::client::ExecOptions exec_options(const Parsed& parsed) {
  engine::client::ExecOptions options;
  options.command.assign(parsed.arguments.begin() + 1, parsed.arguments.end());
  options.user = parsed.text("user");
  options.working_dir = parsed.text("workdir");
  for (const auto& entry : parsed.list("env")) {
    // A name alone takes its value from our environment, as Docker does.
    const char* value = std::getenv(entry.c_str());
    if (entry.find('=') != std::string::npos) options.env.push_back(entry);
    else if (value != nullptr) options.env.push_back(entry + "=" + value);
  }
  options.detach = parsed.on("detach");
  options.privileged = parsed.on("privileged");
  options.tty = !options.detach && !parsed.on("no-tty") && parsed.on("tty", true) && is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO);
  winsize size{};
  if (options.tty && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
    options.rows = size.ws_row;
    options.columns = size.ws_col;
  }
  return options;
}

/// Replaces this process; returns on failure only.
base::Error become(engine::client::ExecCommand command) {
  if (command.process.number() == command.process_number) {
    ::fcntl(command.process_number, F_SETFD, 0);
  } else if (::dup2(command.process.number(), command.process_number) < 0) {
    return base::errno_error(errno, "dup2");
  }
  std::vector<char*> argv;
  for (auto& word : command.arguments) argv.push_back(word.data());
  argv.push_back(nullptr);
  // An ignored SIGPIPE would be inherited by the command.
  std::signal(SIGPIPE, SIG_DFL);
  ::execv(command.program.c_str(), argv.data());
  return base::errno_error(errno, "exec " + command.program);
}

}  // namespace

Result<int> run_exec(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto v, view({}));
  ASSIGN_OR_RETURN(const auto* container, container_of(v, parsed.arguments.front(), parsed.number("index")));
  ASSIGN_OR_RETURN(auto command, engine::client::exec_command(container->id, exec_options(parsed)));
  if (globals().dry_run) return 0;
  if (!parsed.on("interactive", true)) {
    const int none = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (none >= 0) ::dup2(none, STDIN_FILENO);
  }
  return become(std::move(command));
}

Result<int> run_attach(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto v, view({}));
  ASSIGN_OR_RETURN(const auto* container, container_of(v, parsed.arguments.front(), parsed.number("index")));
  if (globals().dry_run) return 0;
  ASSIGN_OR_RETURN(auto attachment, engine::client::attach(v.source.name, container->spec.name));
  const bool input = !parsed.on("no-stdin") && (container->spec.stdin_open || container->spec.tty);
  const SessionOptions options{.project = v.source.name, .container = container->spec.name, .tty = container->spec.tty, .input = input,
                               .forward_signals = parsed.on("sig-proxy", true), .detach_keys = parsed.text("detach-keys")};
  return run_session(attachment, options);
}

}  // namespace compose::cli
