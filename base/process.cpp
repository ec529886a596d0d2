#include "base/process.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/fault.h"
#include "base/sys.h"

namespace base {

ExitStatus ExitStatus::from_wait(int status) {
  if (WIFSIGNALED(status))
    return {128 + WTERMSIG(status), WTERMSIG(status), WCOREDUMP(status) != 0};
  return {WEXITSTATUS(status), 0, false};
}

namespace {

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (const auto& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

struct FileActions {
  posix_spawn_file_actions_t value;
  FileActions() { posix_spawn_file_actions_init(&value); }
  ~FileActions() { posix_spawn_file_actions_destroy(&value); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
};

struct Attributes {
  posix_spawnattr_t value;
  Attributes() { posix_spawnattr_init(&value); }
  ~Attributes() { posix_spawnattr_destroy(&value); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
};

}  // namespace

Result<ChildProcess> ChildProcess::spawn(const SpawnOptions& options) {
  const std::string what = "starting " + options.program.string();
  if (const int due = fault_due()) return errno_error(due, what);
  // Sources are first moved above every target, so that no dup2 overwrites a source still needed.
  int highest = 2;
  for (const auto& [ours, theirs] : options.fds) highest = std::max(highest, theirs);
  std::vector<UniqueFd> moved;
  FileActions actions;
  std::vector<bool> taken(static_cast<std::size_t>(highest) + 1, false);
  for (const auto& [ours, theirs] : options.fds) {
    moved.emplace_back(::fcntl(ours.number(), F_DUPFD_CLOEXEC, highest + 1));
    if (!moved.back().valid()) return errno_error(errno, what + ": dup");
    posix_spawn_file_actions_adddup2(&actions.value, moved.back().number(), theirs);
    taken[static_cast<std::size_t>(theirs)] = true;
  }
  for (int number = 0; number <= highest; ++number) {
    if (taken[static_cast<std::size_t>(number)]) continue;
    if (number <= 2)
      posix_spawn_file_actions_addopen(&actions.value, number, "/dev/null", O_RDWR, 0);
    else
      posix_spawn_file_actions_addclose(&actions.value, number);
  }
  posix_spawn_file_actions_addclosefrom_np(&actions.value, highest + 1);
  if (!options.working_dir.empty())
    posix_spawn_file_actions_addchdir_np(&actions.value, options.working_dir.c_str());

  Attributes attributes;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes.value, &none);
  posix_spawnattr_setsigdefault(&attributes.value, &all);
  int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (options.new_session) flags |= POSIX_SPAWN_SETSID;
  posix_spawnattr_setflags(&attributes.value, static_cast<short>(flags));

  auto argv = pointers(options.arguments);
  std::vector<char*> envp;
  if (options.environment) envp = pointers(*options.environment);
  pid_t pid = -1;
  const int failed =
      ::posix_spawn(&pid, options.program.c_str(), &actions.value, &attributes.value, argv.data(),
                    options.environment ? envp.data() : environ);
  if (failed) return errno_error(failed, what);
  // The pid cannot be reused before we reap it, so opening it now is safe.
  auto pidfd = sys::pidfd_open(pid);
  if (!pidfd) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return std::move(pidfd).error();
  }
  return ChildProcess(pid, *std::move(pidfd));
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    ChildProcess old(std::move(*this));
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
  }
  return *this;
}

ChildProcess::~ChildProcess() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<ExitStatus> ChildProcess::wait(std::optional<std::chrono::milliseconds> limit) {
  if (pid_ <= 0) return make_error(ErrorKind::internal, "wait: no child");
  if (limit) {
    pollfd ready{pidfd_.number(), POLLIN, 0};
    const auto deadline = std::chrono::steady_clock::now() + *limit;
    while (true) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - std::chrono::steady_clock::now());
      const int count = ::poll(&ready, 1, static_cast<int>(std::max<long>(left.count(), 0)));
      if (count > 0) break;
      if (count == 0) return make_error(ErrorKind::timeout, "process still runs");
      if (errno != EINTR) return errno_error(errno, "poll");
    }
  }
  int status = 0;
  pid_t got;
  do {
    got = ::waitpid(pid_, &status, 0);
  } while (got < 0 && errno == EINTR);
  pid_ = -1;
  if (got < 0) return errno_error(errno, "waitpid");
  return ExitStatus::from_wait(status);
}

Result<> ChildProcess::kill(int signal) { return sys::pidfd_send_signal(pidfd_.borrow(), signal); }

UniqueFd ChildProcess::detach() {
  pid_ = -1;
  return std::move(pidfd_);
}

std::filesystem::path program_dir() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

Result<std::filesystem::path> find_program(const std::string& name) {
  const auto here = program_dir();
  for (const auto& place : {here / name, here / ".." / "libexec" / "compose" / name})
    if (::access(place.c_str(), X_OK) == 0) return place.lexically_normal();
  return make_error(ErrorKind::not_found, name + ": not found beside " + here.string() +
                                              " nor in " + (here / "../libexec/compose").lexically_normal().string());
}

}  // namespace base
