// exec: a further process in a running container.
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <csignal>

#include "base/sys.h"
#include "runtime/linux/cgroup.h"
#include "runtime/linux/join.h"
#include "runtime/linux/kernel.h"
#include "runtime/linux/namespaces.h"
#include "runtime/linux/scheduling.h"
#include "runtime/linux/text.h"
#include "runtime/oci/foreground.h"
#include "runtime/oci/launch.h"
#include "runtime/oci/logging.h"
#include "runtime/oci/verbs.h"
#include "runtime/spec/json.h"

namespace runtime::oci {

using base::ErrorKind;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

base::Error invalid(std::string what) { return base::make_error(ErrorKind::invalid, std::move(what)); }

Result<std::uint32_t> parse_id(std::string_view text, const char* flag) {
  std::uint32_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    return invalid(concat({flag, ": '", text, "' is not a numeric id"}));
  return out;
}

/// --user UID[:GID].
Result<> set_user(const std::string& text, spec::User& user) {
  const std::size_t colon = text.find(':');
  ASSIGN_OR_RETURN(user.uid, parse_id(std::string_view(text).substr(0, colon), "--user"));
  user.gid = 0;
  if (colon == std::string::npos) return {};
  ASSIGN_OR_RETURN(user.gid, parse_id(std::string_view(text).substr(colon + 1), "--user"));
  return {};
}

void add_capabilities(const std::vector<std::string>& names, std::optional<spec::Capabilities>& into) {
  if (names.empty()) return;
  if (!into) into.emplace();
  for (const auto& name : names)
    for (auto* set : {&into->bounding, &into->effective, &into->permitted})
      if (std::ranges::find(*set, name) == set->end()) set->push_back(name);
  // Where the container hands capabilities on across an execve, the new one is handed on too.
  if (into->inheritable.empty()) return;
  for (const auto& name : names)
    if (std::ranges::find(into->ambient, name) == into->ambient.end()) into->ambient.push_back(name);
}

/// The container's own process, changed by the flags; or the whole of --process.
Result<spec::Process> wanted_process(const Arguments& arguments, const spec::Config& config) {
  if (arguments.has("process")) {
    if (arguments.positional.size() > 1) return invalid("--process: excludes a command");
    ASSIGN_OR_RETURN(const auto text, sys::read_file(arguments.value("process"), 16 << 20));
    ASSIGN_OR_RETURN(auto process, spec::parse_process(text).with("--process " + arguments.value("process")));
    if (arguments.has("tty")) process.terminal = true;
    return process;
  }
  if (arguments.positional.size() < 2) return invalid("exec: no command given");
  spec::Process process = config.process.value_or(spec::Process{});
  process.args.assign(arguments.positional.begin() + 1, arguments.positional.end());
  process.terminal = arguments.has("tty");
  process.console_size.reset();
  if (arguments.has("cwd")) process.cwd = arguments.value("cwd");
  if (!process.cwd.starts_with('/')) return invalid("--cwd: must be an absolute path");
  for (const auto& variable : arguments.values("env")) {
    if (variable.find('=') == std::string::npos) return invalid("--env: '" + variable + "' is not NAME=VALUE");
    process.env.push_back(variable);
  }
  if (arguments.has("user")) TRY(set_user(arguments.value("user"), process.user));
  for (const auto& gid : arguments.values("additional-gids")) {
    ASSIGN_OR_RETURN(const std::uint32_t number, parse_id(gid, "--additional-gids"));
    process.user.additional_gids.push_back(number);
  }
  add_capabilities(arguments.values("cap"), process.capabilities);
  if (arguments.has("no-new-privs")) process.no_new_privileges = true;
  if (arguments.has("apparmor")) process.apparmor_profile = arguments.value("apparmor");
  if (arguments.has("process-label")) process.selinux_label = arguments.value("process-label");
  return process;
}

/// --cgroup PATH, or CONTROLLER[,CONTROLLER]:PATH: folders below the container's own.
Result<std::vector<std::string>> wanted_cgroups(const Arguments& arguments, const ContainerRecord& record) {
  std::vector<std::string> paths = record.cgroup_paths;
  if (!arguments.has("cgroup")) return paths;
  ASSIGN_OR_RETURN(const auto host, cgroup_host());
  for (const auto& choice : arguments.values("cgroup")) {
    const std::size_t colon = choice.find(':');
    const std::string below = colon == std::string::npos ? choice : choice.substr(colon + 1);
    bool found = false;
    if (("/" + below + "/").find("/../") != std::string::npos) return invalid("--cgroup: bad sub cgroup path: '..' is not allowed");
    for (auto& path : paths) {
      bool fits = colon == std::string::npos;
      for (const Hierarchy& hierarchy : host.hierarchies)
        for_each_word(std::string_view(choice).substr(0, colon == std::string::npos ? 0 : colon), ',', [&](std::string_view name) {
          if (path == hierarchy.mount_point + record.cgroup_path &&
              std::ranges::find(hierarchy.controllers, name) != hierarchy.controllers.end())
            fits = true;
        });
      if (!fits || below.empty() || below == "/") continue;
      const std::string folder = path + (below.starts_with('/') ? "" : "/") + below;
      // A v1 folder may be there for one controller only; in the other hierarchies the container's own is meant.
      const bool there = ::access(folder.c_str(), F_OK) == 0;
      found = found || there;
      if (there) path = folder;
    }
    if (!found && !below.empty() && below != "/")
      return base::make_error(ErrorKind::not_found, "--cgroup: the container has no cgroup '" + below + "'");
  }
  return paths;
}

/// cgroup v2 keeps processes out of a group that has controllers enabled for its children (systemd in a container moved
/// init into one of them): then the new process goes where init is.
Result<UniqueFd> cgroup_of_init(pid_t pid) {
  ASSIGN_OR_RETURN(const auto text, sys::read_file("/proc/" + std::to_string(pid) + "/cgroup"));
  ASSIGN_OR_RETURN(const auto host, cgroup_host());
  std::string path;
  for_each_word(text, '\n', [&](std::string_view line) {
    if (line.starts_with("0::")) path = line.substr(3);
  });
  if (!host.unified() || path.empty()) return base::make_error(ErrorKind::not_found, "init's cgroup");
  return sys::open(host.unified()->mount_point + path, O_RDONLY | O_DIRECTORY);
}

struct Exec {
  ContainerRecord record;
  spec::Config config;
  spec::Process process;
  JoinContext context;
  CgroupEntry cgroup;
  bool joins_pid = false, detach = false;
};

/// setns(2) refuses the user namespace one is in: a container that was given its caller's has nothing to join there.
bool same_user_namespace(pid_t pid) {
  struct stat own {}, other {};
  return ::stat("/proc/self/ns/user", &own) == 0 && ::stat(("/proc/" + std::to_string(pid) + "/ns/user").c_str(), &other) == 0 &&
         own.st_ino == other.st_ino && own.st_dev == other.st_dev;
}

std::uint64_t joined_namespaces(const ContainerRecord& record) {
  std::uint64_t flags = 0;
  for (const auto& type : record.namespaces)
    if (type != "pid" && !(type == "user" && same_user_namespace(record.pid))) flags |= namespace_flag(type);
  return flags;
}

Result<> prepare(const Global& global, const Arguments& arguments, Exec& exec) {
  const std::string& id = arguments.positional.front();
  ASSIGN_OR_RETURN(const auto dir, StateDir::open(global.root, id));
  ASSIGN_OR_RETURN(exec.record, dir.load());
  const Status status = current_status(dir, exec.record);
  if (status == Status::stopped) return invalid("cannot exec in a stopped container: " + id);
  if (status == Status::paused && !arguments.has("ignore-paused"))
    return invalid("cannot exec in a paused container (use --ignore-paused to override)");
  ASSIGN_OR_RETURN(exec.config, dir.load_config());
  ASSIGN_OR_RETURN(exec.process, wanted_process(arguments, exec.config));
  exec.detach = arguments.has("detach");
  JoinContext& context = exec.context;
  context.id = id;
  context.process = &exec.process;
  ASSIGN_OR_RETURN(context.prepared, prepare_process(exec.process, exec.config.linux_, seccomp_cache(global.root)));
  for (const auto& text : context.prepared.warnings) report_warning(base::make_error(ErrorKind::unsupported, text));
  context.prepared.keep_groups = exec.config.annotations.contains("run.oci.keep_original_groups");
  ASSIGN_OR_RETURN(const auto preserve, arguments.number("preserve-fds"));
  context.prepared.preserve_fds = static_cast<unsigned>(std::clamp<std::int64_t>(preserve.value_or(0), 0, 65536));
  context.namespaces = joined_namespaces(exec.record);
  exec.joins_pid = std::ranges::find(exec.record.namespaces, "pid") != exec.record.namespaces.end();
  ASSIGN_OR_RETURN(context.init, sys::pidfd_open(exec.record.pid));
  if (process_start_time(exec.record.pid) != exec.record.start_time) return invalid("cannot exec in a stopped container: " + id);
  if (exec.record.no_pivot) {
    ASSIGN_OR_RETURN(context.root, sys::open("/proc/" + std::to_string(exec.record.pid) + "/root", O_PATH | O_DIRECTORY));
  }
  ASSIGN_OR_RETURN(const auto paths, wanted_cgroups(arguments, exec.record));
  ASSIGN_OR_RETURN(exec.cgroup, open_cgroup(paths));
  context.tasks = &exec.cgroup.tasks;
  if (exec.process.terminal && arguments.has("console-socket")) {
    ASSIGN_OR_RETURN(context.console_socket, sys::connect_unix(arguments.value("console-socket")).with("--console-socket"));
  } else if (exec.process.terminal && exec.detach) {
    return invalid("--tty: needs --console-socket when the runtime does not stay");
  }
  if (context.prepared.seccomp && context.prepared.seccomp->notifies) {
    ASSIGN_OR_RETURN(context.seccomp_listener_socket, sys::connect_unix(exec.config.linux_.seccomp->listener_path));
    context.seccomp_state = seccomp_state_json(exec.record, Status::running, exec.record.pid, exec.config.linux_.seccomp->listener_metadata);
  }
  return {};
}

Result<kernel::Cloned> clone_into(Exec& exec) {
  UniqueFd own_pid;
  if ((exec.context.namespaces & CLONE_NEWUSER) != 0 && !may_mount()) {
    // Without privilege the pid namespace can only be joined from inside the user namespace that owns it, where we then stay: our ids,
    // and with them our files, remain what they are, and nobody there may look into us.
    TRY(kernel::setns(exec.context.init.borrow(), CLONE_NEWUSER | (exec.joins_pid ? CLONE_NEWPID : 0)).with("joining the user namespace"));
    exec.context.namespaces &= ~static_cast<std::uint64_t>(CLONE_NEWUSER);
    exec.context.user_joined = true;
  } else if (exec.joins_pid) {
    ASSIGN_OR_RETURN(own_pid, sys::open("/proc/self/ns/pid", O_RDONLY));
    TRY(kernel::setns(exec.context.init.borrow(), CLONE_NEWPID).with("joining the pid namespace"));
  }
  kernel::CloneOptions options;
  options.flags = exec.detach ? CLONE_PARENT : 0;
  options.cgroup = exec.cgroup.unified.number();
  auto child = kernel::clone3(options);
  if (!child && (child.error().number == EBUSY || child.error().number == EOPNOTSUPP)) {
    ASSIGN_OR_RETURN(exec.cgroup.unified, cgroup_of_init(exec.record.pid));
    options.cgroup = exec.cgroup.unified.number();
    child = kernel::clone3(options);
  }
  if ((!child || child->pid != 0) && own_pid.valid()) (void)kernel::setns(own_pid.borrow(), CLONE_NEWPID).has_value();
  return child;
}

/// Kills a process that did not get as far as its execve.
void give_up(const kernel::Cloned& child, bool ours) {
  (void)sys::pidfd_send_signal(child.pidfd.borrow(), SIGKILL).has_value();
  if (ours) (void)::waitpid(child.pid, nullptr, 0);
}

}  // namespace

Result<int> verb_exec(const Global& global, const Arguments& arguments) {
  Exec exec;
  TRY(prepare(global, arguments, exec));
  UniqueFd signals;
  if (!exec.detach) {
    ASSIGN_OR_RETURN(signals, block_signals());
  }
  ASSIGN_OR_RETURN(auto ends, sys::socketpair(SOCK_SEQPACKET));
  if (exec.process.exec_cpu_affinity) TRY(set_affinity(exec.process.exec_cpu_affinity->initial));
  // Processes of the container see the new one from its clone on: they must not look into it (CVE-2016-9962).
  TRY(sys::wrap("prctl", ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)));
  ASSIGN_OR_RETURN(auto child, clone_into(exec));
  if (child.pid == 0) {
    ends.first.reset();
    exec.context.sync = SyncSocket(std::move(ends.second));
    run_join(exec.context);
  }
  ends.second.reset();
  report_debug("process " + std::to_string(child.pid) + " joins container " + exec.record.id + " of init " + std::to_string(exec.record.pid));
  const SyncSocket sync(std::move(ends.first));
  UniqueFd terminal;
  const auto converse = [&]() -> Result<> {
    // First of all: the caller has to reap a child that failed, too. A zombie nobody reaps would keep its pid namespace's init from ending.
    if (arguments.has("pid-file"))
      TRY(sys::replace_file(arguments.value("pid-file"), std::to_string(child.pid)).with("--pid-file"));
    TRY(send_pidfd(arguments.value("pidfd-socket"), child.pidfd.borrow()));
    ASSIGN_OR_RETURN(auto ready, sync.expect(SyncType::ready));
    terminal = std::move(ready.fd);
    return wait_for_exec(sync);
  };
  if (auto done = converse(); !done) {
    give_up(child, !exec.detach);
    return std::move(done).error();
  }
  if (exec.detach) return 0;
  return wait_in_foreground({.pid = child.pid, .pidfd = child.pidfd.borrow(), .signals = signals.borrow(),
                             .terminal = std::move(terminal)});
}

}  // namespace runtime::oci
