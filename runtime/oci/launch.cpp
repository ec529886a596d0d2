#include "runtime/oci/launch.h"

#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <csignal>
#include <cstdlib>

#include "base/sys.h"
#include "runtime/linux/hooks.h"
#include "runtime/linux/kernel.h"
#include "runtime/linux/net_devices.h"
#include "runtime/linux/rootfs.h"
#include "runtime/oci/destroy.h"
#include "runtime/oci/logging.h"
#include "runtime/spec/json.h"

namespace runtime::oci {

using base::ErrorKind;
using base::Fd;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

std::string seccomp_cache(const std::string& root) { return root + "/.cache/seccomp"; }

Result<> send_pidfd(const std::string& path, Fd pidfd) {
  if (path.empty()) return {};
  ASSIGN_OR_RETURN(const auto socket, sys::connect_unix(path).with("--pidfd-socket"));
  const int fds[] = {pidfd.number()};
  return sys::send_fds(socket.borrow(), "pidfd", fds).with("--pidfd-socket");
}

HookRun hook_run(const ContainerRecord& record, Status status) {
  return {.state = state_json(record, status, status == Status::stopped ? 0 : record.pid),
          .working_dir = ::access(record.bundle.c_str(), X_OK) == 0 ? record.bundle : std::string(),
          .annotations = &record.annotations};
}

namespace {

Result<std::string> absolute(const std::string& path) {
  char resolved[PATH_MAX];
  if (!::realpath(path.c_str(), resolved)) return base::errno_error(errno, "bundle " + path);
  return std::string(resolved);
}

/// What is honoured nowhere else is refused here, by name.
Result<> refuse_unsupported(const spec::Config& config) {
  const auto refuse = [](const char* what) { return base::make_error(ErrorKind::unsupported, what); };
  if (config.linux_.seccomp && config.annotations.contains("run.oci.seccomp_fail_unknown_syscall"))
    TRY(check_syscall_names(*config.linux_.seccomp));
  if (!config.linux_.mount_label.empty() && !kernel::has_selinux())
    return refuse("linux.mountLabel: this kernel runs without SELinux");
  if (config.linux_.intel_rdt) return refuse("linux.intelRdt: not supported");
  if (!config.linux_.rootfs_propagation.empty() && !propagation_flags(config.linux_.rootfs_propagation))
    return base::make_error(ErrorKind::invalid, "linux.rootfsPropagation: unknown '" + config.linux_.rootfs_propagation + "'");
  return {};
}

Result<UniqueFd> detached_root(const spec::Config& config, const CreateOptions& options, const std::string& bundle) {
  if (options.rootfs_fd >= 0) return sys::dup(Fd(options.rootfs_fd)).with("--rootfs-fd " + std::to_string(options.rootfs_fd));
  if (config.root.path.empty()) return base::make_error(ErrorKind::invalid, "root.path: missing");
  return open_root(config.root.path.starts_with('/') ? config.root.path : bundle + "/" + config.root.path);
}

}  // namespace

Result<> Launched::prepare(const CreateOptions& options) {
  TRY(check_id(options.id));
  ASSIGN_OR_RETURN(const auto bundle, absolute(options.bundle));
  const std::string file = options.config_file.empty() ? bundle + "/config.json" : options.config_file;
  ASSIGN_OR_RETURN(const auto text, sys::read_file(file, 64 << 20));
  ASSIGN_OR_RETURN(auto config, spec::parse_config(text).with(file));
  config_ = std::make_unique<spec::Config>(std::move(config));
  context_ = std::make_unique<InitContext>();
  InitContext& context = *context_;
  TRY(refuse_unsupported(*config_));
  if (!config_->process) {
    // config.md: only start needs one.
    if (!options.wait_for_start) return base::make_error(ErrorKind::invalid, "process: missing");
    context.without_process = true;
    config_->process.emplace().args = {"/"};
  }
  context.config = config_.get();
  context.id = options.id;
  context.bundle = bundle;
  context.new_keyring = !options.no_new_keyring;
  context.own_mounts = std::ranges::any_of(config_->linux_.namespaces, [](const auto& space) { return space.type == "mount"; });
  context.hooks_before_pivot = !config_->hooks.prestart.empty() || !config_->hooks.create_runtime.empty();
  const bool notifies = pass_notify_socket(*config_, options.root + "/" + options.id);
  ASSIGN_OR_RETURN(context.namespaces, plan_namespaces(*config_));
  // A shared mount namespace can't be given another root: a chroot is all there is. In one that is joined others have mounts, too.
  if (!context.own_mounts)
    context.root_switch = RootSwitch::chroot;
  else if (options.no_pivot)
    context.root_switch = context.namespaces.is_new(CLONE_NEWNS) ? RootSwitch::move : RootSwitch::chroot;
  TRY(check_net_devices(*config_, context.namespaces));
  ASSIGN_OR_RETURN(context.mounts, plan_mounts(*config_));
  ASSIGN_OR_RETURN(context.process, prepare_process(*config_->process, config_->linux_, seccomp_cache(options.root)));
  context.process.preserve_fds = options.preserve_fds + options.listen_fds;
  if (options.listen_fds > 0)
    for (const auto& variable : {"LISTEN_FDS=" + std::to_string(options.listen_fds), std::string("LISTEN_PID=1")})
      config_->process->env.push_back(variable);
  for (const auto& warning : context.process.warnings) report_warning(base::make_error(ErrorKind::unsupported, warning));
  context.process.keep_groups = config_->annotations.contains("run.oci.keep_original_groups");
  context.process.tiny_init = options.tiny_init;
  context.map_ids = context.namespaces.is_new(CLONE_NEWUSER);
  context.placed_outside = context.map_ids || options.cgroups == CgroupManager::systemd || !config_->linux_.net_devices.empty();
  ASSIGN_OR_RETURN(context.cgroups, cgroup_host());
  if (options.cgroups == CgroupManager::systemd) {
    ASSIGN_OR_RETURN(scope_, systemd_unit(config_->linux_.cgroups_path, options.id, ::geteuid() != 0));
    record_.unit = scope_.name;
  } else {
    ASSIGN_OR_RETURN(record_.cgroup_path, cgroup_path(config_->linux_.cgroups_path, options.id));
  }

  report_debug("container " + options.id + ": bundle " + bundle + ", cgroup " + (record_.unit.empty() ? record_.cgroup_path : record_.unit));
  // Without TSYNC, which says nothing of a single thread: so runc counts them.
  if (context.process.seccomp)
    report_debug("seccomp filter flags: " + std::to_string(context.process.seccomp->flags & ~static_cast<unsigned>(SECCOMP_FILTER_FLAG_TSYNC)));

  record_.id = options.id;
  record_.bundle = bundle;
  record_.rootfs = config_->root.path.starts_with('/') ? config_->root.path : bundle + "/" + config_->root.path;
  record_.oci_version = config_->oci_version;
  record_.annotations = config_->annotations;
  record_.created = now_text();
  record_.owner = ::geteuid();
  record_.no_pivot = context.root_switch != RootSwitch::pivot;
  for (const auto& space : config_->linux_.namespaces) record_.namespaces.push_back(space.type);

  ASSIGN_OR_RETURN(state_, StateDir::create(options.root, options.id));
  if (notifies) {
    TRY(sys::wrap("mkdir notify", ::mkdir(notify_folder(state_.path()).c_str(), 0755)));
    if (!options.wait_for_start) {  // else `start` will listen
      ASSIGN_OR_RETURN(notify_, NotifyRelay::open(state_));
    }
  }
  return state_.save_config(text);
}

/// Hooks that run before pivot_root look for the mounts below the root's path; without a mount namespace they stay there.
Result<> Launched::place_root(const CreateOptions& options) {
  InitContext& context = *context_;
  const bool looked_at = context.hooks_before_pivot || !config_->hooks.create_container.empty();
  struct stat about {};
  const bool folder = options.rootfs_fd < 0 && ::stat(record_.rootfs.c_str(), &about) == 0 && S_ISDIR(about.st_mode);
  if (context.own_mounts) {
    if (looked_at && folder) context.root_place = record_.rootfs;
    return {};
  }
  if (!folder) return base::make_error(ErrorKind::invalid, "linux.namespaces: without a mount namespace the root must be a folder");
  context.root_place = record_.rootfs;
  ASSIGN_OR_RETURN(record_.root_mount, mount_id(context.root.borrow()));
  return {};
}

/// Without the right to mount here, a new user namespace gives it to init: see InitContext::late_root.
bool Launched::opens_late(const CreateOptions& options) const {
  return context_->own_mounts && context_->namespaces.has(CLONE_NEWUSER) && options.rootfs_fd < 0 && !may_mount();
}

/// The root, the nodes of /dev and what is bound, opened with the host's rights.
Result<> Launched::open_trees(const CreateOptions& options) {
  InitContext& context = *context_;
  ASSIGN_OR_RETURN(context.root, detached_root(*config_, options, context.bundle));
  TRY(place_root(options));
  if (context.namespaces.is_new(CLONE_NEWUSER)) {
    ASSIGN_OR_RETURN(context.devices, open_devices(*config_));
  }
  ASSIGN_OR_RETURN(context.sources, open_sources(context.mounts, context.cgroups, record_.cgroup_path, context.source_options));
  return {};
}

/// How the sources of binds are opened, here or by init.
void Launched::plan_sources(const CreateOptions& options) {
  InitContext& context = *context_;
  SourceOptions& wanted = context.source_options;
  wanted.bundle = context.bundle;
  if (options.rootfs_fd < 0) wanted.rootfs = record_.rootfs;
  wanted.new_cgroup_namespace = context.namespaces.new_cgroup;
  wanted.user_namespace = context.namespaces.has(CLONE_NEWUSER);
  for (const JoinedNamespace& space : context.namespaces.joined)
    if (space.flag == CLONE_NEWUSER) wanted.joined_user_namespace = space.fd.borrow();
  wanted.uid_mappings = &config_->linux_.uid_mappings;
  wanted.gid_mappings = &config_->linux_.gid_mappings;
  // Some name their targets by the host's path, and runc takes it.
  for (PlannedMount& mount : context.mounts)
    if (const std::string inside = path_inside(mount.destination, wanted.rootfs); !inside.empty()) mount.destination = inside;
}

Result<> Launched::prepare_files(const CreateOptions& options) {
  InitContext& context = *context_;
  if (options.cgroups == CgroupManager::direct) {
    spec::Resources resources = config_->linux_.resources.value_or(spec::Resources{});
    // Nobody makes device nodes in a user namespace: without the right to set device rules none are needed there, as under runc.
    if (opens_late(options)) resources.devices.clear();
    ASSIGN_OR_RETURN(const auto plan, plan_cgroup(context.cgroups, record_.cgroup_path, resources));
    ASSIGN_OR_RETURN(cgroup_, ScopedCgroup::make(plan, resources));
    record_.cgroup_paths = cgroup_.paths();
  }
  const auto shows_cgroups = [](const PlannedMount& mount) { return mount.kind == MountKind::cgroup; };
  if (!record_.unit.empty() && !context.cgroups.unified_only() && !context.namespaces.new_cgroup && std::ranges::any_of(context.mounts, shows_cgroups))
    return base::make_error(ErrorKind::unsupported, "--systemd-cgroup: on cgroup v1 a cgroup mount needs a cgroup namespace of its own");
  context.tasks = &cgroup_.tasks();
  plan_sources(options);
  if (opens_late(options)) {
    if (config_->root.path.empty()) return base::make_error(ErrorKind::invalid, "root.path: missing");
    context.late_root = record_.rootfs;
    context.cgroup_path = record_.cgroup_path;
    TRY(place_root(options));
  } else {
    TRY(open_trees(options));
  }
  if (config_->process->terminal && !options.console_socket.empty()) {
    ASSIGN_OR_RETURN(context.console_socket, sys::connect_unix(options.console_socket).with("--console-socket"));
  } else if (config_->process->terminal && options.child_of_caller) {
    return base::make_error(ErrorKind::invalid, "process.terminal: needs --console-socket when the runtime does not stay");
  } else if (!config_->process->terminal && !options.console_socket.empty()) {
    return base::make_error(ErrorKind::invalid, "--console-socket: process.terminal is not set");
  }
  if (context.process.seccomp && context.process.seccomp->notifies) {
    ASSIGN_OR_RETURN(context.seccomp_listener_socket,
                     sys::connect_unix(config_->linux_.seccomp->listener_path).with("linux.seccomp.listenerPath: failed to connect with seccomp agent"));
  }
  if (options.wait_for_start) {
    ASSIGN_OR_RETURN(context.start_listener, sys::listen_unix(state_.start_socket(), SOCK_SEQPACKET));
  }
  return {};
}

namespace {

/// Our pid as the host sees it, whatever pid namespace we are in: its procfs is still the one mounted.
pid_t pid_on_host() {
  char text[32];
  const ssize_t length = ::readlink("/proc/self", text, sizeof text - 1);
  return length > 0 ? std::atoi(std::string(text, static_cast<std::size_t>(length)).c_str()) : 0;
}

/// A new pid namespace must belong to a joined user namespace, which can only be entered first. (Everything else is owned rightly
/// because init's clone makes it.)
Result<kernel::Cloned> clone_in_joined_user(NamespacePlan& plan, const spec::Config& config, const kernel::CloneOptions& options) {
  return clone_by_helper(options, [&] {
    // Here and not in the runtime: the helper itself stays in our pid namespace, whose numbers it has to answer with.
    // Never destroyed: init goes on with a copy of it and must not be led back.
    const auto& children = *new Result<ChildNamespaces>(ChildNamespaces::enter(plan, config));
    if (!children) return children.error().number;
    // User namespaces are sorted to the front. Those that do not belong to it are entered with the rights we still have.
    const UniqueFd user = std::move(plan.joined.front().fd);
    std::erase_if(plan.joined, [](const JoinedNamespace& space) {
      constexpr std::uint64_t early = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
      return (space.flag & early) != 0 && ::setns(space.fd.number(), static_cast<int>(space.flag)) == 0;
    });
    return ::setns(user.number(), CLONE_NEWUSER) == 0 ? 0 : errno;
  });
}

}  // namespace

void Launched::become_init(UniqueFd sync) {
  InitContext& context = *context_;
  context.sync = SyncSocket(std::move(sync));
  if (!config_->hooks.create_container.empty()) context.state_json = state_json(record_, Status::creating, ::getpid());
  if (!config_->hooks.start_container.empty()) context.start_state_json = state_json(record_, Status::created, ::getpid());
  if (context.seccomp_listener_socket.valid())
    context.seccomp_state = seccomp_state_json(record_, Status::creating, pid_on_host(), config_->linux_.seccomp->listener_metadata);
  run_init(context);
}

Result<> Launched::start_init(const CreateOptions& options) {
  InitContext& context = *context_;
  ASSIGN_OR_RETURN(auto ends, sys::socketpair(SOCK_SEQPACKET));
  // Nobody who shares a namespace with init may look into it before it is the program (CVE-2016-9962). An unprivileged runtime has to:
  // the id maps of what can't be looked into belong to root. There init itself does this once they are written.
  if (context.late_root.empty()) TRY(sys::wrap("prctl", ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)));
  context.user_joined = !context.namespaces.joined.empty() && context.namespaces.joined.front().flag == CLONE_NEWUSER;
  ChildNamespaces child_namespaces;
  if (!context.user_joined) {
    ASSIGN_OR_RETURN(child_namespaces, ChildNamespaces::enter(context.namespaces, *config_));
  }
  kernel::CloneOptions clone;
  clone.flags = context.namespaces.clone_flags | (options.child_of_caller ? CLONE_PARENT : 0U);
  clone.cgroup = cgroup_.unified().number();
  // There init is our child even where it should be our caller's; it is handed on when we end.
  ASSIGN_OR_RETURN(auto child, context.user_joined ? clone_in_joined_user(context.namespaces, *config_, clone) : kernel::clone3(clone));
  if (child.pid == 0) {
    ends.first.reset();
    cgroup_.close_unified();
    become_init(std::move(ends.second));
  }
  armed_ = true;
  ours_ = !options.child_of_caller || context.user_joined;
  pidfd_ = std::move(child.pidfd);
  record_.pid = child.pid;
  sync_ = SyncSocket(std::move(ends.first));
  report_debug("init is process " + std::to_string(record_.pid));
  return {};
}

/// systemd can only make a scope around a process that is there: init waits meanwhile. Everything systemd does not manage, the
/// other hierarchies of a v1 machine included, is written by us.
Result<> Launched::start_scope() {
  const spec::Resources resources = config_->linux_.resources.value_or(spec::Resources{});
  const CgroupHost& host = context_->cgroups;
  auto properties = unit_properties(resources, host.unified_only());
  ASSIGN_OR_RETURN(const auto annotated, annotated_properties(config_->annotations));
  properties.insert(properties.end(), annotated.begin(), annotated.end());
  TRY(start_unit(scope_, record_.pid, "container " + record_.id, properties));
  ASSIGN_OR_RETURN(const auto text, sys::read_file("/proc/" + std::to_string(record_.pid) + "/cgroup"));
  record_.cgroup_path = systemd_cgroup(text);
  if (record_.cgroup_path.size() < 2) return base::make_error(ErrorKind::internal, "systemd: the container is in no cgroup of its own");
  ASSIGN_OR_RETURN(const auto plan, plan_cgroup(host, record_.cgroup_path, resources));
  ASSIGN_OR_RETURN(cgroup_, ScopedCgroup::adopt(plan, resources, record_.pid));
  record_.cgroup_paths = cgroup_.paths();
  return {};
}

/// Before init sets sysctls, which may name an interface.
Result<> Launched::bring_net_devices() {
  if (config_->linux_.net_devices.empty()) return {};
  for (const JoinedNamespace& space : context_->namespaces.joined)
    if (space.flag == CLONE_NEWNET) return move_net_devices(config_->linux_.net_devices, space.fd.borrow());
  ASSIGN_OR_RETURN(const auto own, sys::open("/proc/" + std::to_string(record_.pid) + "/ns/net", O_RDONLY));
  return move_net_devices(config_->linux_.net_devices, own.borrow());
}

/// What init sends next, after having mapped the ids of as many mounts as it asks for.
Result<SyncMessage> Launched::expect(SyncType type) {
  while (true) {
    ASSIGN_OR_RETURN(auto message, sync_.expect(type, SyncType::map_ids));
    if (message.type == type) return message;
    const auto index = static_cast<std::size_t>(message.code);
    if (index >= context_->sources.size()) return base::make_error(ErrorKind::internal, "init asked for the ids of an unknown mount");
    const PlannedMount& mount = context_->mounts[index];
    TRY(map_ids(message.fd.borrow(), mount, context_->sources[index].mapping.borrow())
            .with("mounting at " + mount.destination + ": the id mappings of " + mount.source));
    TRY(sync_.send(SyncType::go));
  }
}

Result<> Launched::converse(const CreateOptions& options) {
  InitContext& context = *context_;
  // Init has its own copies by now; ours would keep mounts and sockets alive.
  for (MountSource& source : context.sources) {
    source.tree.reset();
    source.hierarchies.clear();
  }
  context.root.reset();
  context.console_socket.reset();
  context.start_listener.reset();
  context.seccomp_listener_socket.reset();
  // First of all: the caller has to reap a child that failed, too.
  if (!options.pid_file.empty())
    TRY(sys::replace_file(options.pid_file, std::to_string(record_.pid)).with("--pid-file"));
  TRY(send_pidfd(options.pidfd_socket, pidfd_.borrow()));
  if (context.placed_outside) {
    TRY(sync_.expect(SyncType::need_placing));
    if (!record_.unit.empty()) {
      // Whatever cuts us off from here on: delete --force finds the unit.
      record_.start_time = process_start_time(record_.pid);
      TRY(state_.save(record_));
      TRY(start_scope());
    }
    if (context.map_ids) TRY(write_id_maps(record_.pid, config_->linux_));
    TRY(bring_net_devices());
    TRY(sync_.send(SyncType::go));
  }
  record_.start_time = process_start_time(record_.pid);
  if (context.hooks_before_pivot) {
    TRY(state_.save(record_));  // hooks may ask for the state
    TRY(expect(SyncType::at_pivot));
    report_debug("mounts are made, running prestart and createRuntime hooks");
    // prestart hooks are older than the status "creating": they expect what runtime-spec 1.0.0 gave them.
    TRY(run_hooks(config_->hooks.prestart, hook_run(record_, Status::created), "prestart"));
    TRY(run_hooks(config_->hooks.create_runtime, hook_run(record_, Status::creating), "createRuntime"));
    TRY(sync_.send(SyncType::go));
  }
  ASSIGN_OR_RETURN(auto ready, expect(SyncType::ready));
  context.sources.clear();
  report_debug("init is ready for the program");
  terminal_ = std::move(ready.fd);
  // Until now it is "creating" for everybody else.
  return state_.save(record_);
}

Result<Launched> Launched::make(const CreateOptions& options) {
  Launched launched;
  TRY(launched.prepare(options));
  TRY(launched.prepare_files(options));
  TRY(launched.start_init(options));
  TRY(launched.converse(options));
  return launched;
}

Launched::Launched(Launched&& other) noexcept
    : config_(std::move(other.config_)), context_(std::move(other.context_)), record_(std::move(other.record_)),
      state_(std::move(other.state_)), cgroup_(std::move(other.cgroup_)), sync_(std::move(other.sync_)),
      pidfd_(std::move(other.pidfd_)), terminal_(std::move(other.terminal_)), notify_(std::move(other.notify_)),
      armed_(std::exchange(other.armed_, false)), ours_(other.ours_) {}

Launched::~Launched() {
  if (armed_) kill_init();
}

void Launched::kill_init() {
  (void)base::sys::pidfd_send_signal(pidfd_.borrow(), SIGKILL).has_value();
  (void)detach_root(record_).has_value();
  if (!record_.unit.empty()) (void)stop_unit(record_.unit).has_value();
  // The cgroups can only go once it left them. With CLONE_PARENT our caller reaps it, but its end is seen here too.
  pollfd wait{.fd = pidfd_.number(), .events = POLLIN, .revents = 0};
  while (::poll(&wait, 1, 5000) < 0 && errno == EINTR) {
  }
  if (ours_) (void)::waitpid(record_.pid, nullptr, 0);
}

void Launched::commit() {
  armed_ = false;
  state_.commit();
  cgroup_.commit();
}

Result<> wait_for_exec(const SyncSocket& sync) {
  TRY(sync.expect(SyncType::started));
  ASSIGN_OR_RETURN(const auto message, sync.receive());
  if (!message) return {};  // closed by the execve
  if (message->type == SyncType::error) return decode_error(*message);
  return base::make_error(ErrorKind::internal, "unexpected message from init");
}

Result<> Launched::finish() {
  TRY(wait_for_exec(sync_));
  auto done = run_hooks(config_->hooks.poststart, hook_run(record_, Status::running), "poststart");
  if (done) return {};
  // config.md, "Lifecycle": the container stops, and goes on with its deletion and the poststop hooks.
  kill_init();
  for (const auto& error : run_all_hooks(config_->hooks.poststop, hook_run(record_, Status::stopped), "poststop"))
    report_warning(error);
  return done;
}

}  // namespace runtime::oci
