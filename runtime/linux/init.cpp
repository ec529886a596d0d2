#include "runtime/linux/init.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

#include "base/sys.h"
#include "runtime/linux/hooks.h"
#include "runtime/linux/join.h"
#include "runtime/linux/kernel.h"
#include "runtime/linux/rootfs.h"
#include "runtime/linux/tty.h"

namespace runtime {

using base::Fd;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

/// What lives from one stage of init to the next.
struct Stage {
  UniqueFd proc;        ///< the host's procfs
  Terminal terminal;
  std::string program;  ///< found in the container
};

/// Namespaces, ids, cgroups: before the first mount.
Result<> enter_namespaces(InitContext& context, Stage& stage) {
  const spec::Config& config = *context.config;
  TRY(enter_tasks(*context.tasks));
  if (context.map_ids) {
    TRY(context.sync.send(SyncType::need_mapping));
    TRY(context.sync.expect(SyncType::go));
  }
  // The host's procfs, for everything written there on the way: the container's own could be anything.
  ASSIGN_OR_RETURN(stage.proc, kernel::open_proc("/proc", O_PATH | O_DIRECTORY));
  TRY(join_namespaces(context.namespaces));
  if (context.namespaces.has(CLONE_NEWUSER)) {
    // Root inside: files made from here on belong to the container's root.
    TRY(sys::wrap("setresgid", ::setresgid(0, 0, 0)));
    TRY(sys::wrap("setresuid", ::setresuid(0, 0, 0)));
  }
  if (context.namespaces.new_cgroup) TRY(sys::wrap("unshare cgroup", ::unshare(CLONE_NEWCGROUP)));
  (void)::setsid();
  if (context.new_keyring) TRY(join_keyring(context.id));
  if (context.namespaces.is_new(CLONE_NEWNET)) TRY(raise_loopback());
  if (!config.hostname.empty())
    TRY(sys::wrap("hostname", ::sethostname(config.hostname.data(), config.hostname.size())));
  if (!config.domainname.empty())
    TRY(sys::wrap("domainname", ::setdomainname(config.domainname.data(), config.domainname.size())));
  return apply_sysctls(stage.proc.borrow(), config.linux_.sysctl);
}

bool has_own_dev(const InitContext& context) {
  return std::ranges::any_of(context.mounts, [](const PlannedMount& mount) {
    return mount.kind != MountKind::bind && (mount.destination == "/dev" || mount.destination == "/dev/");
  });
}

/// Puts the detached root above "/" of this mount namespace, where pivot_root can take it.
Result<> attach_root(const InitContext& context) {
  mount_attr attributes{};
  attributes.propagation = MS_PRIVATE;
  ASSIGN_OR_RETURN(const auto top, sys::open("/", O_PATH | O_DIRECTORY));
  // Nothing of ours may spread to the host, and the host's later mounts not to us.
  TRY(kernel::mount_setattr(top.borrow(), AT_RECURSIVE, attributes).with("making the mounts private"));
  TRY(kernel::move_mount(context.root.borrow(), top.borrow()).with("attaching the root"));
  // One handed to us may be a clone of a shared mount: what is mounted below it would show up on the host, and pivot_root refuses it.
  return kernel::mount_setattr(context.root.borrow(), AT_RECURSIVE, attributes).with("making the root private");
}

Result<> set_root_attributes(const InitContext& context) {
  const spec::Config& config = *context.config;
  mount_attr attributes{};
  if (config.root.readonly) attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (attributes.attr_set) TRY(kernel::mount_setattr(context.root.borrow(), 0, attributes).with("root.readonly"));
  if (config.linux_.rootfs_propagation.empty()) return {};
  const unsigned long flags = *propagation_flags(config.linux_.rootfs_propagation);
  mount_attr propagation{};
  propagation.propagation = flags & ~static_cast<unsigned long>(MS_REC);
  return kernel::mount_setattr(context.root.borrow(), flags & MS_REC ? AT_RECURSIVE : 0, propagation)
      .with("linux.rootfsPropagation");
}

Result<> build_root(InitContext& context, Stage& stage) {
  const spec::Config& config = *context.config;
  const Fd root = context.root.borrow();
  const bool user_namespace = context.namespaces.has(CLONE_NEWUSER);
  TRY(attach_root(context));
  TRY(attach_mounts(root, context.mounts, context.sources, context.cgroups,
                    {.mount_label = config.linux_.mount_label,
                     .new_cgroup_namespace = context.namespaces.new_cgroup,
                     .user_namespace = user_namespace}));
  TRY(make_devices(root, config, {.bind = user_namespace, .own_dev = has_own_dev(context)}));
  TRY(mask_paths(root, config.linux_.masked_paths, config.linux_.mount_label).with("linux.maskedPaths"));
  TRY(protect_paths(root, config.linux_.readonly_paths).with("linux.readonlyPaths"));
  if (config.process->terminal) {
    ASSIGN_OR_RETURN(stage.terminal, open_terminal(root, config.process->console_size));
    TRY(bind_console(root, stage.terminal.slave.borrow()));
  }
  if (context.hooks_before_pivot) {
    TRY(context.sync.send(SyncType::at_pivot));
    TRY(context.sync.expect(SyncType::go));
  }
  TRY(run_hooks(config.hooks.create_container, context.state_json, "createContainer"));
  // After the hooks: they may still write to the root.
  TRY(set_root_attributes(context));
  TRY(enter_root(root, context.pivot));
  context.root.reset();
  return {};
}

/// `create` ends here until `start` connects; its connection takes the place of the sync socket.
Result<> wait_for_start(InitContext& context) {
  UniqueFd connection;
  while (!connection.valid()) {
    const int fd = ::accept4(context.start_listener.number(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0 && errno != EINTR) return base::errno_error(errno, "waiting for start");
    connection = UniqueFd(fd);
  }
  context.start_listener.reset();
  context.sync = SyncSocket(std::move(connection));
  return {};
}

Result<> report_ready(InitContext& context, Stage& stage) {
  Fd attached;
  if (stage.terminal.master.valid()) {
    if (context.console_socket.valid())
      TRY(send_terminal(context.console_socket.borrow(), stage.terminal.master.borrow()).with("console socket"));
    else
      attached = stage.terminal.master.borrow();
  }
  TRY(context.sync.send(SyncType::ready, 0, {}, attached));
  stage.terminal.master.reset();
  context.console_socket.reset();
  return {};
}

/// A group of its own for the program below the tiny init: a ^C reaches it once, not a second time by forwarding.
void lead_foreground(bool terminal) {
  (void)::setpgid(0, 0);
  if (!terminal) return;
  sigset_t stop;
  ::sigemptyset(&stop);
  ::sigaddset(&stop, SIGTTOU);
  (void)::sigprocmask(SIG_BLOCK, &stop, nullptr);
  (void)::tcsetpgrp(0, ::getpgrp());
  (void)::sigprocmask(SIG_UNBLOCK, &stop, nullptr);
}

/// The last stage, inside the container. Only returns on failure.
Result<> become_program(InitContext& context, Stage& stage) {
  const spec::Config& config = *context.config;
  const spec::Process& process = *config.process;
  TRY(run_hooks(config.hooks.start_container, context.state_json, "startContainer"));
  TRY(apply_limits(stage.proc.borrow(), context.process));
  if (stage.terminal.slave.valid()) TRY(take_terminal(stage.terminal.slave.borrow(), process.user.uid));
  const auto environment = final_environment(process);
  const auto pass_listener = [&](UniqueFd listener) -> Result<> {
    const int fds[] = {listener.number()};
    return sys::send_fds(context.seccomp_listener_socket.borrow(), context.seccomp_state, fds);
  };
  TRY(become_user(context.process, {.proc = stage.proc.borrow(), .make_cwd = true}, pass_listener));
  reset_signals();
  if (context.process.tiny_init) {
    const pid_t child = ::fork();
    if (child < 0) return base::errno_error(errno, "fork");
    if (child > 0) {
      // Every descriptor but the standard ones: the end of the sync socket tells the runtime that the program runs.
      (void)::syscall(SYS_close_range, 0U, ~0U, 0U);
      serve_as_init(child);
    }
    lead_foreground(stage.terminal.slave.valid());
  }
  TRY(context.sync.send(SyncType::started));
  return execute(stage.program, process, environment);
}

Result<> run_stages(InitContext& context) {
  Stage stage;
  (void)::umask(0);  // modes are as configured, whatever our caller's umask was
  TRY(kernel::close_on_exec_from(3 + context.process.preserve_fds));
  TRY(enter_namespaces(context, stage));
  TRY(build_root(context, stage));
  ASSIGN_OR_RETURN(stage.program, find_executable(*context.config->process));
  TRY(report_ready(context, stage));
  if (context.start_listener.valid()) TRY(wait_for_start(context));
  return become_program(context, stage);
}

}  // namespace

void run_init(InitContext& context) {
  auto done = run_stages(context);
  base::Error error = done ? base::make_error(base::ErrorKind::internal, "init returned") : std::move(done).error();
  const int code = take_exit_code(error, 0);
  (void)!context.sync.send_error(error, code).has_value();
  ::_exit(code == 0 ? 1 : code);
}

}  // namespace runtime
