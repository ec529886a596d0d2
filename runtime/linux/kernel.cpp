#include "runtime/linux/kernel.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <csignal>

#include "base/fault.h"
#include "base/sys.h"

namespace runtime::kernel {

using base::Fd;
using base::Result;
using base::UniqueFd;

namespace {

/// Runs the call unless a fault is due, so that a failing call has no effect.
template <class Call>
Result<long> guarded(std::string_view what, Call&& call) {
  if (const int due = base::fault_due()) return base::errno_error(due, std::string(what));
  const long result = call();
  if (result < 0) return base::errno_error(errno, std::string(what));
  return result;
}

template <class Call>
Result<UniqueFd> guarded_fd(std::string_view what, Call&& call) {
  auto result = guarded(what, std::forward<Call>(call));
  if (!result) return std::move(result).error();
  return UniqueFd(static_cast<int>(*result));
}

template <class Call>
Result<> guarded_void(std::string_view what, Call&& call) {
  auto result = guarded(what, std::forward<Call>(call));
  if (!result) return std::move(result).error();
  return {};
}

/// The last line the kernel left in a file system context: "e tmpfs: Bad value for 'size'".
std::string context_log(Fd context) {
  char line[512];
  std::string last;
  while (true) {
    const ssize_t count = ::read(context.number(), line, sizeof line);
    if (count <= 0) return last;
    last.assign(line, static_cast<std::size_t>(count));
    if (last.size() > 2 && last[1] == ' ') last.erase(0, 2);
    while (!last.empty() && last.back() == '\n') last.pop_back();
  }
}

base::Error with_log(base::Error error, Fd context) {
  if (auto log = context_log(context); !log.empty()) error.message += " (" + log + ")";
  return error;
}

}  // namespace

Result<UniqueFd> fsopen(const char* type) {
  return guarded_fd("fsopen", [&] { return ::syscall(SYS_fsopen, type, FSOPEN_CLOEXEC); });
}

Result<> fsconfig_set(Fd context, const char* key, const char* value) {
  auto done = guarded_void("option", [&] {
    return ::syscall(SYS_fsconfig, context.number(), value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0);
  });
  if (done) return done;
  auto error = with_log(std::move(done).error(), context);
  error.context.push_back(value ? std::string(key) + "=" + value : std::string(key));
  return error;
}

Result<UniqueFd> fsmount(Fd context, unsigned attributes) {
  auto created = guarded_void("create file system", [&] {
    return ::syscall(SYS_fsconfig, context.number(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0);
  });
  if (!created) return with_log(std::move(created).error(), context);
  return guarded_fd("fsmount", [&] { return ::syscall(SYS_fsmount, context.number(), FSMOUNT_CLOEXEC, attributes); });
}

Result<UniqueFd> open_tree(Fd dir, const char* path, unsigned flags) {
  return guarded_fd("open_tree", [&] { return ::syscall(SYS_open_tree, dir.number(), path, flags | OPEN_TREE_CLOEXEC); });
}

Result<> move_mount(Fd tree, Fd target) {
  return guarded_void("move_mount", [&] {
    return ::syscall(SYS_move_mount, tree.number(), "", target.number(), "",
                     MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  });
}

Result<> mount_setattr(Fd tree, unsigned flags, const mount_attr& attributes) {
  return guarded_void("mount_setattr", [&] {
    return ::syscall(SYS_mount_setattr, tree.number(), "", flags | AT_EMPTY_PATH, &attributes, sizeof attributes);
  });
}

Result<UniqueFd> open_in_root(Fd root, const char* path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
  how.mode = mode;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return guarded_fd("open", [&] {
    long result;
    // EAGAIN: a rename raced with a ".." (openat2(2)); a hostile neighbour could provoke it for ever, so give up at some point.
    int tries = 0;
    do {
      result = ::syscall(SYS_openat2, root.number(), path, &how, sizeof how);
    } while (result < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < 128)));
    return result;
  });
}

Result<UniqueFd> open_proc(const char* path, int flags) {
  ASSIGN_OR_RETURN(auto file, guarded_fd(path, [&] { return ::open(path, flags | O_CLOEXEC | O_NOFOLLOW); }));
  struct statfs about {};
  if (::fstatfs(file.number(), &about) != 0) return base::errno_error(errno, path);
  if (about.f_type != PROC_SUPER_MAGIC)
    return base::make_error(base::ErrorKind::permission, std::string(path) + " is not on a procfs");
  return file;
}

Result<> write_once(Fd file, std::string_view text) {
  return guarded_void("write", [&]() -> long {
    const ssize_t count = ::write(file.number(), text.data(), text.size());
    if (count >= 0 && static_cast<std::size_t>(count) != text.size()) {
      errno = EIO;
      return -1;
    }
    return count;
  });
}

Result<> write_at(Fd dir, const char* path, std::string_view text) {
  auto opened = guarded_fd("open", [&] { return ::openat(dir.number(), path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW); });
  if (!opened) return std::move(opened).error();
  // A file bound over the kernel's would swallow the text (CVE-2025-52881).
  struct statfs about {};
  if (::fstatfs(opened->number(), &about) != 0) return base::errno_error(errno, path);
  if (about.f_type != PROC_SUPER_MAGIC) return base::make_error(base::ErrorKind::permission, std::string(path) + " is not on a procfs");
  return write_once(opened->borrow(), text);
}

bool has_apparmor() { return ::access("/sys/kernel/security/apparmor", F_OK) == 0 || ::access("/sys/module/apparmor/parameters/enabled", F_OK) == 0; }
bool has_selinux() { return ::access("/sys/fs/selinux/enforce", F_OK) == 0; }

Result<> setns(Fd fd, int flags) {
  return guarded_void("setns", [&] { return ::setns(fd.number(), flags); });
}

Result<Cloned> clone3(const CloneOptions& options) {
  int pidfd = -1;
  clone_args arguments{};
  arguments.flags = options.flags | CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  // CLONE_PARENT takes the exit signal of the caller and insists on none here (clone(2)).
  arguments.exit_signal = options.flags & CLONE_PARENT ? 0 : SIGCHLD;
  if (options.cgroup >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<std::uint64_t>(options.cgroup);
  }
  ASSIGN_OR_RETURN(const long pid, guarded("clone3", [&] { return ::syscall(SYS_clone3, &arguments, sizeof arguments); }));
  return Cloned{.pid = static_cast<pid_t>(pid), .pidfd = UniqueFd(pid > 0 ? pidfd : -1)};
}

Result<> close_on_exec_from(unsigned first) {
  return guarded_void("close_range",
                      [&] { return ::syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC); });
}

Result<> close_others(unsigned first, std::vector<Fd> kept) {
  std::ranges::sort(kept, {}, [](Fd fd) { return fd.number(); });
  for (const Fd fd : kept) {
    if (!fd.valid() || static_cast<unsigned>(fd.number()) < first) continue;
    const auto number = static_cast<unsigned>(fd.number());
    if (number > first) TRY(guarded_void("close_range", [&] { return ::syscall(SYS_close_range, first, number - 1, 0U); }));
    first = number + 1;
  }
  return guarded_void("close_range", [&] { return ::syscall(SYS_close_range, first, ~0U, 0U); });
}

}  // namespace runtime::kernel
