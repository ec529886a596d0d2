// exec: becomes `compose-runtime exec`, which owns the terminal from there on; no supervisor is involved.
// attach: a client of the supervisor.
#include <unistd.h>

#include <csignal>

#include "compose/cli/container_user.h"
#include "compose/cli/context.h"
#include "compose/cli/globals.h"
#include "compose/cli/output.h"
#include "compose/cli/session.h"
#include "compose/cli/verbs.h"
#include "engine/client/client.h"

namespace compose::cli {

using base::Result;

namespace {

constexpr const char* capabilities[] = {
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
    "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
    "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
    "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ"};

Result<std::vector<std::string>> runtime_arguments(const engine::client::ExecTarget& target, const Parsed& parsed, bool tty) {
  std::vector<std::string> words{"compose-runtime", "--root", target.runtime_root, "exec"};
  if (tty) words.emplace_back("--tty");
  if (parsed.on("detach")) words.emplace_back("--detach");
  if (const std::string user = parsed.text("user"); !user.empty()) {
    ASSIGN_OR_RETURN(const auto who, resolve_user_in(target.pid, user));
    words.insert(words.end(), {"--user", std::to_string(who.uid) + ":" + std::to_string(who.gid)});
    for (const unsigned group : who.groups) words.insert(words.end(), {"--additional-gids", std::to_string(group)});
    if (!who.home.empty()) words.insert(words.end(), {"--env", "HOME=" + who.home});
  }
  if (const std::string dir = parsed.text("workdir"); !dir.empty()) words.insert(words.end(), {"--cwd", dir});
  if (tty) words.insert(words.end(), {"--env", "TERM=xterm"});
  for (const auto& entry : parsed.list("env")) {
    // A name alone takes its value from our environment, as Docker does.
    if (entry.find('=') != std::string::npos) {
      words.insert(words.end(), {"--env", entry});
    } else if (const char* value = std::getenv(entry.c_str()); value != nullptr) {
      words.insert(words.end(), {"--env", entry + "=" + value});
    }
  }
  if (parsed.on("privileged")) {
    for (const char* capability : capabilities) words.insert(words.end(), {"--cap", capability});
  }
  words.push_back(target.id);
  words.insert(words.end(), parsed.arguments.begin() + 1, parsed.arguments.end());
  return words;
}

}  // namespace

Result<int> run_exec(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto v, view({}));
  ASSIGN_OR_RETURN(const auto* container, container_of(v, parsed.arguments.front(), parsed.number("index")));
  ASSIGN_OR_RETURN(const auto target, engine::client::exec_target(container->id));
  const bool tty = !parsed.on("detach") && !parsed.on("no-tty") && parsed.on("tty", true) && is_terminal(STDIN_FILENO) && is_terminal(STDOUT_FILENO);
  ASSIGN_OR_RETURN(auto words, runtime_arguments(target, parsed, tty));
  if (globals().dry_run) return 0;
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  // An ignored SIGPIPE would be inherited by the command.
  std::signal(SIGPIPE, SIG_DFL);
  ::execv(target.runtime.c_str(), argv.data());
  return base::errno_error(errno, "exec " + target.runtime);
}

Result<int> run_attach(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto v, view({}));
  ASSIGN_OR_RETURN(const auto* container, container_of(v, parsed.arguments.front(), parsed.number("index")));
  if (globals().dry_run) return 0;
  ASSIGN_OR_RETURN(auto attachment, engine::client::attach(v.source.name, container->spec.name));
  const bool input = !parsed.on("no-stdin") && (container->spec.stdin_open || container->spec.tty);
  SessionOptions options{.project = v.source.name, .container = container->spec.name, .tty = container->spec.tty, .input = input,
                         .forward_signals = parsed.on("sig-proxy", true), .detach_keys = parsed.text("detach-keys")};
  return run_session(attachment, options);
}

}  // namespace compose::cli
