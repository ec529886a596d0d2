#include "engine/supervisor/keeper.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "base/log.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/supervisor/lock_file.h"
#include "engine/supervisor/own_cgroup.h"

namespace engine::supervisor {
namespace {

using base::Fd;
using base::Result;
using base::UniqueFd;
using Clock = std::chrono::steady_clock;

struct Exit {
  pid_t pid;
  int status;
  bool sent;
};

/// Statuses of processes nobody asks for (helpers of a killed supervisor) must not grow without end.
constexpr std::size_t exits_max = 4096;
/// Supervisors that died young and are followed by another without delay.
constexpr int at_once_max = 10;

class Keeper {
 public:
  explicit Keeper(KeeperOptions options) : options_(std::move(options)), ready_(options_.ready_fd) {
    for (const auto& [name, number] : options_.fds) store_[name] = UniqueFd(number);
  }

  Result<int> run() {
    TRY(base::sys::wrap("prctl(PR_SET_CHILD_SUBREAPER)", ::prctl(PR_SET_CHILD_SUBREAPER, 1)));
    sigset_t set;
    sigfillset(&set);
    TRY(base::sys::wrap("sigprocmask", ::sigprocmask(SIG_SETMASK, &set, nullptr)));
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    ASSIGN_OR_RETURN(const long number, base::sys::wrap("signalfd", ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)));
    signals_ = UniqueFd(static_cast<int>(number));
    TRY(start_supervisor());
    reap();  // adopted children may have ended before the signalfd was there
    while (!finished_) turn();
    return exit_code_;
  }

 private:
  Result<> start_supervisor() {
    ASSIGN_OR_RETURN(auto ends, base::sys::socketpair(SOCK_SEQPACKET));
    base::SpawnOptions spawn;
    spawn.program = program();
    spawn.arguments = {"compose-engine", "supervisor", "--project", options_.project};
    spawn.fds = {{ends.second.borrow(), link_fd_number}, {Fd(STDERR_FILENO), STDERR_FILENO}};
    if (ready_.valid()) spawn.fds.emplace_back(ready_.borrow(), ready_fd_number);
    ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(spawn));
    supervisor_ = child.pid();
    (void)child.detach();
    ready_.reset();
    started_ = Clock::now();
    link_ = std::move(ends.first);
    ends.second.reset();
    for (const auto& [name, fd] : store_) {
      const int raw = fd.number();
      TRY(base::sys::send_fds(link_.borrow(), "fd " + name, std::span(&raw, 1)));
    }
    for (auto& exit : exits_) exit.sent = false;
    for (auto& exit : exits_) TRY(send_exit(exit, 0));
    TRY(base::sys::send_fds(link_.borrow(), "ready", {}));
    base::release_memory();  // what remains is to wait
    return {};
  }

  /// The file we were started from, so that an upgraded program is what runs next; what we are ourselves when it is gone.
  std::filesystem::path program() const {
    const auto file = program_dir_ / "compose-engine";
    return ::access(file.c_str(), X_OK) == 0 ? file : std::filesystem::path("/proc/self/exe");
  }

  Result<> send_exit(Exit& exit, int flags) {
    const std::string text = "exit " + std::to_string(exit.pid) + " " + std::to_string(exit.status);
    TRY(base::sys::wrap("send", ::send(link_.number(), text.data(), text.size(), flags | MSG_NOSIGNAL)));
    exit.sent = true;
    return {};
  }

  /// One round of the loop: waits for something, then handles all of it.
  void turn() {
    const bool unsent = link_.valid() && std::any_of(exits_.begin(), exits_.end(), [](const Exit& e) { return !e.sent; });
    pollfd ready[2] = {{signals_.number(), POLLIN, 0},
                       {link_.number(), static_cast<short>(POLLIN | (unsent ? POLLOUT : 0)), 0}};
    int timeout_ms = -1;
    if (supervisor_ < 0) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(restart_at_ - Clock::now());
      timeout_ms = static_cast<int>(std::max<long>(left.count(), 0));
    }
    if (::poll(ready, link_.valid() ? 2 : 1, timeout_ms) < 0 && errno != EINTR) return;
    if (link_.valid() && (ready[1].revents & (POLLIN | POLLHUP | POLLERR))) receive();
    if (ready[0].revents) reap();
    if (link_.valid())
      for (auto& exit : exits_)
        if (!exit.sent && !send_exit(exit, MSG_DONTWAIT)) break;
    if (supervisor_ < 0 && !finished_ && Clock::now() >= restart_at_)
      if (auto started = start_supervisor(); !started) {
        base::log::error("keeper", started.error().text());
        back_off();
      }
  }

  void receive() {
    while (true) {
      auto message = base::sys::recv_fds(link_.borrow(), 4096, MSG_DONTWAIT);
      if (!message) {
        if (message.error().number != EAGAIN) link_.reset();
        return;
      }
      const std::string& text = message->bytes;
      if (text.empty()) return link_.reset();
      const std::string rest = text.substr(std::min(text.find(' ') + 1, text.size()));
      if (text.starts_with("put ") && message->fds.size() == 1) store_[rest] = std::move(message->fds.front());
      if (text.starts_with("drop ")) store_.erase(rest);
      if (text.starts_with("ack ")) {
        const pid_t pid = std::atoi(rest.c_str());
        std::erase_if(exits_, [pid](const Exit& exit) { return exit.pid == pid; });
      }
    }
  }

  void reap() {
    signalfd_siginfo ignored;
    while (::read(signals_.number(), &ignored, sizeof ignored) > 0) {
    }
    int status = 0;
    while (true) {
      const pid_t pid = ::waitpid(-1, &status, WNOHANG);
      if (pid <= 0) return;
      if (pid == supervisor_) {
        supervisor_ended(status);
        continue;
      }
      std::erase_if(exits_, [pid](const Exit& exit) { return exit.pid == pid; });
      if (exits_.size() >= exits_max) exits_.erase(exits_.begin());
      exits_.push_back({pid, status, false});
    }
  }

  void supervisor_ended(int status) {
    if (link_.valid()) receive();  // descriptors it stored with its last breath
    link_.reset();
    supervisor_ = -1;
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code == exit_done || code == exit_not_mine) {
      finished_ = true;
      return;
    }
    base::log::warning("keeper", "supervisor of " + options_.project + " ended with status " + std::to_string(status) +
                                     ", starting another");
    if (code == exit_again) failures_ = 0;
    back_off();
  }

  /// At once after a kill; when it dies again and again right after its start, slower and slower, but never slower than a second.
  void back_off() {
    using std::chrono::milliseconds;
    failures_ = Clock::now() - started_ > std::chrono::seconds(2) ? 0 : failures_ + 1;
    const auto delay = failures_ <= at_once_max ? 0 : std::min(50 << std::min(failures_ - at_once_max - 1, 4), 800);
    restart_at_ = Clock::now() + milliseconds(delay);
    // One that never came up and left nothing to keep (a damaged database, no space) would only fail again.
    if (failures_ > at_once_max && store_.empty()) {
      finished_ = true;
      exit_code_ = 1;
    }
  }

  KeeperOptions options_;
  std::filesystem::path program_dir_ = base::program_dir();
  UniqueFd ready_, signals_, link_;
  std::map<std::string, UniqueFd> store_;
  std::vector<Exit> exits_;
  pid_t supervisor_ = -1;
  Clock::time_point started_{}, restart_at_{};
  int failures_ = 0;
  bool finished_ = false;
  int exit_code_ = 0;
};

/// Becomes a process of nobody: the command that started us may end first, or live on without reaping; so may its unit or session.
void detach_from_caller(const std::string& project) {
  if (fork_into_own_cgroup(project) != 0) ::_exit(0);
  (void)::setsid();
  (void)!::chdir("/");
}

}  // namespace

int keep(const KeeperOptions& options) {
  if (!options.adopt) detach_from_caller(options.project);
  // A project of some hundred containers needs more than the usual 1024 descriptors.
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
  }
  UniqueFd lock(options.lock_fd);
  if (!lock.valid()) {
    auto taken = take_lock(paths::project_run(options.project) / "keeper.lock");
    if (!taken) {
      const bool other = taken.error().kind == base::ErrorKind::unavailable;
      const std::string text = other ? "ok\n" : taken.error().text() + "\n";
      if (options.ready_fd >= 0) (void)!base::sys::write_all(Fd(options.ready_fd), text).has_value();
      return other ? 0 : 1;
    }
    lock = *std::move(taken);
  }
  Keeper keeper(options);
  auto done = keeper.run();
  if (!done) {
    base::log::error("keeper", done.error().text());
    return 1;
  }
  return *done;
}

}  // namespace engine::supervisor
