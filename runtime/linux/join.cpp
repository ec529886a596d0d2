#include "runtime/linux/join.h"

#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "runtime/linux/cgroup.h"
#include "runtime/linux/kernel.h"
#include "runtime/linux/scheduling.h"
#include "runtime/linux/tty.h"

namespace runtime {

using base::Fd;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

Result<> join_keyring(const std::string& id) {
  const std::string name = "_ses." + id;
  if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.c_str()) >= 0) return {};
  // No keyrings in this kernel, forbidden by a filter around us, or the user's quota of keys is used up: then the container
  // sees the caller's session keyring, as under crun.
  if (errno == ENOSYS || errno == EPERM || errno == EDQUOT || errno == EACCES) return {};
  return base::errno_error(errno, "session keyring");
}

namespace {

Result<> enter(JoinContext& context, UniqueFd& proc) {
  TRY(enter_tasks(*context.tasks));
  if (!context.process->exec_cpu_affinity) reset_affinity();
  ASSIGN_OR_RETURN(proc, kernel::open_proc("/proc", O_PATH | O_DIRECTORY));
  if (context.namespaces != 0)
    TRY(kernel::setns(context.init.borrow(), static_cast<int>(context.namespaces)).with("joining the container's namespaces"));
  if (context.root.valid()) {
    TRY(sys::wrap("fchdir", ::fchdir(context.root.number())));
    TRY(sys::wrap("chroot", ::chroot(".")));
  }
  if (context.user_joined || (context.namespaces & CLONE_NEWUSER)) {
    TRY(sys::wrap("setresgid", ::setresgid(0, 0, 0)));
    TRY(sys::wrap("setresuid", ::setresuid(0, 0, 0)));
  }
  (void)::setsid();
  if (context.new_keyring) TRY(join_keyring(context.id));
  return {};
}

Result<> give_terminal(JoinContext& context) {
  if (!context.process->terminal) return context.sync.send(SyncType::ready);
  ASSIGN_OR_RETURN(const auto root, sys::open("/", O_PATH | O_DIRECTORY));
  ASSIGN_OR_RETURN(const auto terminal, open_terminal(root.borrow(), context.process->console_size));
  Fd attached;
  if (context.console_socket.valid())
    TRY(send_terminal(context.console_socket.borrow(), terminal.master.borrow()).with("console socket"));
  else
    attached = terminal.master.borrow();
  if (attached.valid()) keep_lines_plain(attached);
  TRY(context.sync.send(SyncType::ready, 0, {}, attached));
  return take_terminal(terminal.slave.borrow(), context.process->user.uid);
}

Result<> run_stages(JoinContext& context) {
  (void)::umask(0);
  TRY(kernel::close_on_exec_from(3 + context.prepared.preserve_fds));
  UniqueFd proc;
  TRY(enter(context, proc));
  ASSIGN_OR_RETURN(const auto program, find_executable(*context.process));
  TRY(give_terminal(context));
  TRY(apply_limits(proc.borrow(), context.prepared));
  const auto environment = final_environment(*context.process);
  const auto pass_listener = [&](UniqueFd listener) -> Result<> {
    const int fds[] = {listener.number()};
    return sys::send_fds(context.seccomp_listener_socket.borrow(), context.seccomp_state, fds);
  };
  TRY(become_user(context.prepared, {.proc = proc.borrow(), .make_cwd = false}, pass_listener));
  reset_signals();
  TRY(context.sync.send(SyncType::started));
  return execute(program, *context.process, environment);
}

}  // namespace

void run_join(JoinContext& context) {
  auto done = run_stages(context);
  base::Error error = done ? base::make_error(base::ErrorKind::internal, "exec returned") : std::move(done).error();
  const int code = take_exit_code(error, 0);
  (void)!context.sync.send_error(error, code).has_value();
  ::_exit(code == 0 ? 1 : code);
}

}  // namespace runtime
