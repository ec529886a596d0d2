#include "compose/cli/interrupts.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <csignal>

#include "base/sys.h"

namespace compose::cli {

using base::Result;

namespace {

sigset_t watched() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) sigaddset(&set, signal);
  return set;
}

Result<> watch(const base::UniqueFd& all, const base::UniqueFd& one) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = one.number();
  TRY(base::sys::wrap("epoll_ctl", ::epoll_ctl(all.number(), EPOLL_CTL_ADD, one.number(), &event)));
  return {};
}

}  // namespace

Result<Interrupts> Interrupts::make(int tick_ms) {
  Interrupts result;
  const sigset_t set = watched();
  ::pthread_sigmask(SIG_BLOCK, &set, &result.before_);
  ASSIGN_OR_RETURN(const long all, base::sys::wrap("epoll_create1", ::epoll_create1(EPOLL_CLOEXEC)));
  result.all_ = base::UniqueFd(static_cast<int>(all));
  ASSIGN_OR_RETURN(const long signals, base::sys::wrap("signalfd", ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)));
  result.signals_ = base::UniqueFd(static_cast<int>(signals));
  TRY(watch(result.all_, result.signals_));
  if (tick_ms > 0) {
    ASSIGN_OR_RETURN(const long clock, base::sys::wrap("timerfd_create", ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)));
    result.clock_ = base::UniqueFd(static_cast<int>(clock));
    itimerspec every{};
    every.it_interval = {tick_ms / 1000, tick_ms % 1000 * 1'000'000L};
    every.it_value = every.it_interval;
    TRY(base::sys::wrap("timerfd_settime", ::timerfd_settime(result.clock_.number(), 0, &every, nullptr)));
    TRY(watch(result.all_, result.clock_));
  }
  return result;
}

Interrupts::~Interrupts() {
  if (!signals_.valid()) return;
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);  // another may still live
}

Wake Interrupts::next() {
  signalfd_siginfo info{};
  if (::read(signals_.number(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo == SIGWINCH) return Wake::resized;
    return info.ssi_signo == SIGINT ? Wake::interrupt : Wake::terminate;
  }
  std::uint64_t count = 0;
  if (clock_.valid() && ::read(clock_.number(), &count, sizeof count) == static_cast<ssize_t>(sizeof count)) return Wake::tick;
  return Wake::none;
}

}  // namespace compose::cli
