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
#include "runtime/linux/scheduling.h"
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
  context.tasks->clear();
  if (context.placed_outside) {
    TRY(context.sync.send(SyncType::need_placing));
    TRY(context.sync.expect(SyncType::go));
  }
  reset_affinity();
  // Until here our unprivileged runtime had to write our id maps.
  if (!context.late_root.empty()) TRY(sys::wrap("prctl", ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)));
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

/// What the runtime had no right to open: see InitContext::late_root. Our mount namespace is a copy, its paths are the host's.
Result<> open_late(InitContext& context) {
  if (context.late_root.empty()) return {};
  ASSIGN_OR_RETURN(context.root, open_root(context.late_root));
  ASSIGN_OR_RETURN(context.sources, open_sources(context.mounts, context.cgroups, context.cgroup_path, context.source_options));
  return {};
}

/// Puts the detached root where pivot_root can take it: above "/" of this mount namespace, or at `root_place`.
Result<> attach_root(const InitContext& context) {
  mount_attr attributes{};
  attributes.propagation = MS_PRIVATE;
  const bool above = context.own_mounts && context.root_place.empty();
  ASSIGN_OR_RETURN(const auto place, sys::open(above ? "/" : context.root_place, O_PATH | O_DIRECTORY));
  if (context.own_mounts) {
    // Nothing of ours may spread to the host, and the host's later mounts not to us.
    ASSIGN_OR_RETURN(const auto top, sys::open("/", O_PATH | O_DIRECTORY));
    TRY(kernel::mount_setattr(top.borrow(), AT_RECURSIVE, attributes).with("making the mounts private"));
  }
  TRY(kernel::move_mount(context.root.borrow(), place.borrow()).with("attaching the root"));
  // One handed to us may be a clone of a shared mount: what is mounted below it would show up on the host, and pivot_root refuses it.
  return kernel::mount_setattr(context.root.borrow(), AT_RECURSIVE, attributes).with("making the root private");
}

Result<> make_readonly(const InitContext& context, const std::vector<UniqueFd>& mounts) {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  for (const UniqueFd& mount : mounts) TRY(kernel::mount_setattr(mount.borrow(), 0, attributes).with("making a tmpfs read-only"));
  if (!context.config->root.readonly) return {};
  return kernel::mount_setattr(context.root.borrow(), 0, attributes).with("root.readonly");
}

/// After pivot_root(2), which refuses a shared root.
Result<> set_root_propagation(const InitContext& context) {
  const std::string& word = context.config->linux_.rootfs_propagation;
  if (word.empty()) return {};
  const unsigned long flags = *propagation_flags(word);
  mount_attr attributes{};
  attributes.propagation = flags & ~static_cast<unsigned long>(MS_REC);
  ASSIGN_OR_RETURN(const auto root, sys::open("/", O_PATH | O_DIRECTORY));
  return kernel::mount_setattr(root.borrow(), flags & MS_REC ? AT_RECURSIVE : 0, attributes).with("linux.rootfsPropagation");
}

/// What holds the mounts of /dev: the defaults are made unless it is somebody else's folder.
bool makes_default_devices(const InitContext& context) {
  return std::ranges::none_of(context.mounts, [](const PlannedMount& mount) {
    return mount.kind == MountKind::bind && (mount.destination == "/dev" || mount.destination == "/dev/");
  });
}

Result<> build_root(InitContext& context, Stage& stage) {
  const spec::Config& config = *context.config;
  TRY(open_late(context));
  const Fd root = context.root.borrow();
  const bool user_namespace = context.namespaces.has(CLONE_NEWUSER);
  TRY(attach_root(context));
  AttachOptions options{.mount_label = config.linux_.mount_label,
                        .new_cgroup_namespace = context.namespaces.new_cgroup,
                        .user_namespace = user_namespace,
                        .sources = &context.source_options,
                        .map_ids = {}};
  // In a user namespace the right over the host's file systems is the runtime's. (One that had none left the opening to us.)
  if (user_namespace && context.late_root.empty())
    options.map_ids = [&](const PlannedMount& mount, Fd tree) -> Result<> {
      TRY(context.sync.send(SyncType::map_ids, static_cast<int>(&mount - context.mounts.data()), {}, tree));
      TRY(context.sync.expect(SyncType::go));
      return {};
    };
  ASSIGN_OR_RETURN(const auto read_only, attach_mounts(root, context.mounts, context.sources, context.cgroups, options));
  TRY(make_devices(root, config, {.bind = user_namespace, .defaults = makes_default_devices(context), .made = &context.devices}));
  TRY(mask_paths(root, config.linux_.masked_paths, config.linux_.mount_label).with("linux.maskedPaths"));
  TRY(protect_paths(root, config.linux_.readonly_paths).with("linux.readonlyPaths"));
  if (config.process->terminal) {
    ASSIGN_OR_RETURN(stage.terminal, open_terminal(root, config.process->console_size));
    if (!context.console_socket.valid()) keep_lines_plain(stage.terminal.master.borrow());
    TRY(bind_console(root, stage.terminal.slave.borrow()));
  }
  if (context.hooks_before_pivot) {
    TRY(context.sync.send(SyncType::at_pivot));
    TRY(context.sync.expect(SyncType::go));
  }
  // Before the root may become read-only. What fails here fails again, and is told, when the program's turn comes.
  // One with ".." is made on entering it: what is before those may be a link.
  if (config.process->cwd.find("/..") == std::string::npos) (void)open_target(root, config.process->cwd, {}).has_value();
  TRY(run_hooks(config.hooks.create_container, {.state = context.state_json, .working_dir = context.bundle, .annotations = &config.annotations}, "createContainer"));
  // After the hooks: they may still write to the root.
  TRY(make_readonly(context, read_only));
  TRY(enter_root(root, context.root_switch, stage.proc.borrow()));
  context.root.reset();
  return set_root_propagation(context);
}

/// Whoever sees a created container's init, /proc/PID/fd included, must find nothing of the host there (CVE-2024-21626): what is
/// left is what init itself still needs.
Result<> close_inherited(InitContext& context, const Stage& stage) {
  context.namespaces.joined.clear();
  context.sources.clear();
  context.devices.clear();
  return kernel::close_others(3 + context.process.preserve_fds,
                              {context.sync.fd(), context.start_listener.borrow(), context.console_socket.borrow(),
                               context.seccomp_listener_socket.borrow(), stage.proc.borrow(), stage.terminal.master.borrow(),
                               stage.terminal.slave.borrow()});
}

/// PID 1 ignores what it has no handler for: without one `kill ID TERM` would not end a container that was never started. Before
/// `create` returns: its caller may send one at once.
void end_by_signals() {
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) {
    struct sigaction action {};
    action.sa_handler = [](int received) { ::_exit(128 + received); };
    (void)::sigaction(number, &action, nullptr);
  }
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
  if (stage.terminal.master.valid() && context.console_socket.valid()) {
    TRY(send_terminal(context.console_socket.borrow(), stage.terminal.master.borrow()).with("console socket"));
    // Before `create` can return: whoever sees us from then on finds neither.
    stage.terminal.master.reset();
    context.console_socket.reset();
  }
  TRY(context.sync.send(SyncType::ready, 0, {}, stage.terminal.master.borrow()));
  stage.terminal.master.reset();
  return {};
}

/// The program's streams are the terminal from here on: a created container does not hold its creator's.
Result<> use_terminal(const InitContext& context, Stage& stage) {
  if (!stage.terminal.slave.valid()) return {};
  TRY(take_terminal(stage.terminal.slave.borrow(), context.config->process->user.uid));
  stage.terminal.slave.reset();
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
  if (context.without_process) return base::make_error(base::ErrorKind::invalid, "process: missing");
  const auto environment = final_environment(process);
  // Inside the container: our own environment is the host's business.
  ASSIGN_OR_RETURN(const auto hooks, ContainerHooks::prepare(config.hooks.start_container, context.start_state_json, environment));
  auto limited = apply_limits(stage.proc.borrow(), context.process);
  if (!limited) {
    const bool pinned = config.linux_.resources && config.linux_.resources->cpu && !config.linux_.resources->cpu->cpus.empty();
    // sched(7): a deadline task must be free to use every cpu of its root domain.
    if (pinned && process.scheduler && limited.error().number == EPERM)
      return std::move(limited).with("process scheduler can't be used together with AllowedCPUs (linux.resources.cpu.cpus)").error();
    return std::move(limited).error();
  }
  const auto pass_listener = [&](UniqueFd listener) -> Result<> {
    const int fds[] = {listener.number()};
    return sys::send_fds(context.seccomp_listener_socket.borrow(), context.seccomp_state, fds);
  };
  TRY(become_user(context.process, {.proc = stage.proc.borrow(), .make_cwd = true}, pass_listener));
  TRY(hooks.run());
  reset_signals();
  if (context.process.tiny_init) {
    const pid_t child = ::fork();
    if (child < 0) return base::errno_error(errno, "fork");
    if (child > 0) {
      // Every descriptor but the standard ones: the end of the sync socket tells the runtime that the program runs.
      (void)::syscall(SYS_close_range, 0U, ~0U, 0U);
      serve_as_init(child);
    }
    lead_foreground(process.terminal);
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
  TRY(close_inherited(context, stage));
  if (!context.without_process) {
    ASSIGN_OR_RETURN(stage.program, find_executable(*context.config->process));
  }
  TRY(use_terminal(context, stage));
  if (context.start_listener.valid()) end_by_signals();
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
