#include "runtime/oci/foreground.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <csignal>
#include <optional>

#include "base/process.h"
#include "base/sys.h"
#include "runtime/linux/tty.h"

namespace runtime::oci {

using base::Fd;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

Result<UniqueFd> block_signals() {
  sigset_t all;
  ::sigfillset(&all);
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) ::sigdelset(&all, number);
  TRY(sys::wrap("sigprocmask", ::sigprocmask(SIG_SETMASK, &all, nullptr)));
  ASSIGN_OR_RETURN(const long fd, sys::wrap("signalfd", ::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK)));
  return UniqueFd(static_cast<int>(fd));
}

namespace {

void pass_signals(const Foreground& foreground, const std::optional<TerminalRelay>& relay) {
  signalfd_siginfo info{};
  while (::read(foreground.signals.number(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    const int number = static_cast<int>(info.ssi_signo);
    if (number == SIGCHLD || number == SIGPIPE) continue;
    if (number == SIGWINCH && relay) {
      relay->resize();
      continue;
    }
    (void)sys::pidfd_send_signal(foreground.pidfd, number).has_value();
  }
}

/// The rest of the output, which may still be in the terminal when the process has ended.
void drain(TerminalRelay& relay) {
  pollfd wait{.fd = relay.master().number(), .events = POLLIN, .revents = 0};
  while (::poll(&wait, 1, 100) > 0 && (wait.revents & POLLIN))
    if (!relay.on_output()) return;
}

}  // namespace

void print_terminal(Fd master) {
  pollfd wait{.fd = master.number(), .events = POLLIN, .revents = 0};
  std::array<char, 4096> text;
  while (::poll(&wait, 1, 0) > 0 && (wait.revents & POLLIN)) {
    const auto count = sys::read(master, text);
    if (!count || *count == 0 || !sys::write_all(Fd(1), std::string_view(text.data(), *count))) return;
  }
}

Result<int> wait_in_foreground(Foreground foreground) {
  std::optional<TerminalRelay> relay;
  if (foreground.terminal.valid()) relay.emplace(std::move(foreground.terminal));
  bool open = relay.has_value();
  while (true) {
    const base::Fd notified = foreground.notify ? foreground.notify->socket() : base::Fd();
    pollfd waits[5] = {{.fd = foreground.pidfd.number(), .events = POLLIN, .revents = 0},
                       {.fd = foreground.signals.number(), .events = POLLIN, .revents = 0},
                       {.fd = open ? relay->master().number() : -1, .events = POLLIN, .revents = 0},
                       {.fd = open && relay->reads_input() ? 0 : -1, .events = POLLIN, .revents = 0},
                       {.fd = notified.number(), .events = POLLIN, .revents = 0}};
    if (::poll(waits, 5, -1) < 0 && errno != EINTR) return base::errno_error(errno, "poll");
    if (waits[1].revents) pass_signals(foreground, relay);
    if (waits[2].revents) open = relay->on_output();
    if (open && waits[3].revents) relay->on_input();
    if (waits[4].revents) foreground.notify->relay(foreground.pid);
    if (!(waits[0].revents & POLLIN)) continue;
    if (open) drain(*relay);
    int status = 0;
    while (::waitpid(foreground.pid, &status, 0) < 0)
      if (errno != EINTR) return base::errno_error(errno, "waitpid");
    return base::ExitStatus::from_wait(status).code;
  }
}

}  // namespace runtime::oci
