#pragma once
// Starting other programs. Never forks to run our own code: the supervisor has threads.
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace base {

/// How a process ended.
struct ExitStatus {
  int code = 0;        ///< exit code, or 128 + signal
  int signal = 0;      ///< 0 when it exited by itself
  bool core = false;
  static ExitStatus from_wait(int status);
};

struct SpawnOptions {
  std::filesystem::path program;            ///< absolute path; not searched in PATH
  std::vector<std::string> arguments;       ///< argv[0] included
  std::optional<std::vector<std::string>> environment;  ///< KEY=VALUE; absent: ours
  std::filesystem::path working_dir;        ///< empty: ours
  /// {ours, theirs}: fd `ours` becomes number `theirs` in the child; every other fd is closed there.
  /// 0, 1 and 2 that are not named become /dev/null.
  std::vector<std::pair<Fd, int>> fds;
  bool new_session = false;                 ///< setsid()
};

/// A child of ours, with its pidfd. Destroying it while it runs kills and reaps it; detach() lets it go on.
class ChildProcess {
 public:
  /// Errors: not_found, permission (the program); exhausted (processes, memory). Thread: any.
  /// Source: posix_spawn(3); the child has default signal dispositions and an empty signal mask.
  static Result<ChildProcess> spawn(const SpawnOptions& options);

  /// Takes over a child made by other means (a runtime's CLONE_PARENT), not reaped yet.
  static ChildProcess adopt(pid_t pid, UniqueFd pidfd) { return ChildProcess(pid, std::move(pidfd)); }

  ChildProcess(ChildProcess&&) noexcept;
  ChildProcess& operator=(ChildProcess&&) noexcept;
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] Fd pidfd() const { return pidfd_.borrow(); }
  /// Blocks until it ended and reaps it. Error timeout when `limit` passes first (the child runs on).
  Result<ExitStatus> wait(std::optional<std::chrono::milliseconds> limit = std::nullopt);
  Result<> kill(int signal);
  /// Gives up ownership: the caller (or nobody) reaps it. Returns the pidfd.
  UniqueFd detach();

 private:
  ChildProcess(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  pid_t pid_ = -1;
  UniqueFd pidfd_;
};

/// The folder of the running program; helpers are looked for there, then in ../libexec/compose.
std::filesystem::path program_dir();
/// Full path of one of our programs ("compose-runtime"). Error not_found naming the places looked at.
Result<std::filesystem::path> find_program(const std::string& name);

}  // namespace base
