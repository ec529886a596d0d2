#include "runtime/linux/process.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <climits>
#include <csignal>

#include "base/sys.h"
#include "runtime/linux/kernel.h"
#include "runtime/linux/scheduling.h"

namespace runtime {

using base::ErrorKind;
using base::Fd;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

struct LimitName {
  std::string_view name;
  int number;
};
constexpr LimitName limit_names[] = {
    {"RLIMIT_AS", RLIMIT_AS},         {"RLIMIT_CORE", RLIMIT_CORE},       {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},     {"RLIMIT_FSIZE", RLIMIT_FSIZE},     {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK}, {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE}, {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE}, {"RLIMIT_NPROC", RLIMIT_NPROC},     {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO}, {"RLIMIT_RTTIME", RLIMIT_RTTIME},   {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK}};

Result<std::uint32_t> personality_value(const spec::Personality& wanted) {
  if (!wanted.flags.empty())
    return base::make_error(ErrorKind::unsupported, "linux.personality.flags: none are defined by the specification");
  if (wanted.domain == "LINUX") return static_cast<std::uint32_t>(PER_LINUX);
  if (wanted.domain == "LINUX32") return static_cast<std::uint32_t>(PER_LINUX32);
  return base::make_error(ErrorKind::invalid, "linux.personality.domain: unknown '" + wanted.domain + "'");
}

Result<> check_limits(const spec::Process& process) {
  std::set<std::string_view> seen;
  for (const auto& limit : process.rlimits) {
    if (!rlimit_number(limit.type))
      return base::make_error(ErrorKind::invalid, "process.rlimits: unknown limit '" + limit.type + "'");
    if (!seen.insert(limit.type).second)
      return base::make_error(ErrorKind::invalid, "process.rlimits: '" + limit.type + "' is listed twice");
    if (limit.soft > limit.hard)
      return base::make_error(ErrorKind::invalid, "process.rlimits: '" + limit.type + "' has its soft limit above the hard one");
  }
  return {};
}

/// Whoever asks for a label relies on it: without its security module it is an error, as under runc. (crun goes on without.)
Result<> check_labels(const spec::Process& process) {
  if (!process.apparmor_profile.empty() && process.apparmor_profile != "unconfined" && !kernel::has_apparmor())
    return base::make_error(ErrorKind::unsupported, "process.apparmorProfile '" + process.apparmor_profile + "': this kernel runs without AppArmor");
  if (!process.selinux_label.empty() && !kernel::has_selinux())
    return base::make_error(ErrorKind::unsupported, "process.selinuxLabel '" + process.selinux_label + "': this kernel runs without SELinux");
  return {};
}

}  // namespace

std::optional<int> rlimit_number(std::string_view name) {
  const auto* at = std::ranges::find(limit_names, name, &LimitName::name);
  if (at == std::end(limit_names)) return std::nullopt;
  return at->number;
}

std::vector<std::string> known_rlimits() {
  std::vector<std::string> out;
  for (const auto& limit : limit_names) out.emplace_back(limit.name);
  return out;
}

Result<PreparedProcess> prepare_process(const spec::Process& process, const spec::Linux& config,
                                        const std::string& seccomp_cache) {
  if (process.args.empty() || process.args.front().empty())
    return base::make_error(ErrorKind::invalid, "process.args: no command to run");
  PreparedProcess out;
  out.process = &process;
  out.user_namespace = std::ranges::any_of(config.namespaces, [](const auto& space) { return space.type == "user"; });
  TRY(check_limits(process));
  TRY(check_scheduling(process));
  if (process.capabilities) {
    std::uint64_t held = ~std::uint64_t{0};  // inside a new user namespace
    if (!out.user_namespace) {
      ASSIGN_OR_RETURN(held, held_capabilities());
    }
    out.capabilities = capability_masks(*process.capabilities, held, out.warnings);
  }
  TRY(check_labels(process));
  if (config.personality) {
    ASSIGN_OR_RETURN(out.personality, personality_value(*config.personality));
  }
  if (config.memory_policy) {
    ASSIGN_OR_RETURN(out.memory_policy, memory_policy_call(*config.memory_policy));
  }
  if (config.seccomp) {
    ASSIGN_OR_RETURN(out.seccomp, cached_seccomp(*config.seccomp, seccomp_cache));
    if (out.seccomp->notifies && config.seccomp->listener_path.empty())
      return base::make_error(ErrorKind::invalid, "linux.seccomp: SCMP_ACT_NOTIFY needs listenerPath");
  }
  return out;
}

Result<> apply_limits(Fd proc, const PreparedProcess& prepared) {
  const spec::Process& process = *prepared.process;
  if (process.oom_score_adj) {
    const std::string wanted = std::to_string(*process.oom_score_adj);
    // Writing what is there already would need no right, but the kernel asks for CAP_SYS_RESOURCE all the same.
    const auto now = sys::read_file_at(proc, "self/oom_score_adj");
    if (!now || *now != wanted + "\n")
      TRY(kernel::write_at(proc, "self/oom_score_adj", wanted).with("process.oomScoreAdj " + wanted));
  }
  for (const auto& limit : process.rlimits) {
    const rlimit value{.rlim_cur = limit.soft, .rlim_max = limit.hard};
    if (::setrlimit(static_cast<__rlimit_resource_t>(*rlimit_number(limit.type)), &value) != 0)
      return base::errno_error(errno, "process.rlimits: setting " + limit.type + " to " + std::to_string(limit.soft) + ":" +
                                          std::to_string(limit.hard));
  }
  TRY(apply_scheduling(process));
  if (prepared.memory_policy) TRY(apply_memory_policy(*prepared.memory_policy));
  if (prepared.personality)
    TRY(sys::wrap("linux.personality", ::personality(*prepared.personality)));
  return {};
}

Result<> own_stdio(std::uint32_t uid, std::uint32_t gid) {
  for (int number = 0; number < 3; ++number) {
    struct stat about {};
    if (::fstat(number, &about) != 0) continue;
    // /dev/null belongs to everyone; regular files and sockets are the caller's business.
    const bool terminal = S_ISCHR(about.st_mode) && major(about.st_rdev) != 1;
    if ((about.st_uid == uid && (terminal || about.st_gid == gid)) || !(S_ISFIFO(about.st_mode) || terminal)) continue;
    if (::fchown(number, uid, terminal ? static_cast<gid_t>(-1) : gid) == 0) continue;
    // EINVAL, EPERM: the owner has no id in this user namespace; EROFS: the node is on a read-only file system.
    if (errno != EINVAL && errno != EPERM && errno != EROFS) return base::errno_error(errno, "fchown of standard stream");
  }
  return {};
}

namespace {

Result<> set_labels(const FinalStep& step, const spec::Process& process) {
  if (!process.apparmor_profile.empty() && kernel::has_apparmor()) {
    auto own = kernel::write_at(step.proc, "self/attr/apparmor/exec", "exec " + process.apparmor_profile);
    if (!own && own.error().number == ENOENT)
      own = kernel::write_at(step.proc, "self/attr/exec", "exec " + process.apparmor_profile);
    TRY(std::move(own).with("process.apparmorProfile " + process.apparmor_profile));
  }
  if (!process.selinux_label.empty())
    TRY(kernel::write_at(step.proc, "self/attr/exec", process.selinux_label).with("process.selinuxLabel"));
  return {};
}

/// CVE-2024-21626: a descriptor of a host folder as working directory shows as a path outside of the root.
Result<> check_cwd() {
  char path[PATH_MAX];
  // The system call itself: the C library would walk up by hand instead of telling "(unreachable)".
  const long length = ::syscall(SYS_getcwd, path, sizeof path);
  if (length <= 0 || path[0] != '/')
    return base::make_error(ErrorKind::permission, "process.cwd: the working directory is outside of the container's root");
  return {};
}

Result<> make_cwd(const std::string& cwd) {
  std::string part;
  for (std::size_t end = cwd.find('/', 1);; end = cwd.find('/', end + 1)) {
    part = cwd.substr(0, end);
    if (::mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) return base::errno_error(errno, "process.cwd: mkdir " + part);
    if (end == std::string::npos) return {};
  }
}

Result<> set_user(Fd proc, const spec::User& user, const PreparedProcess& prepared) {
  const std::vector<gid_t> groups(user.additional_gids.begin(), user.additional_gids.end());
  if (prepared.keep_groups) {
    // The caller's own groups give rootless containers access to what only such a group may read.
  } else if (::setgroups(groups.size(), groups.data()) != 0) {
    // user_namespaces(7): where setgroups is denied no group was asked for, the call is only our tidiness.
    const int number = errno;
    const auto allowed = sys::read_file_at(proc, "self/setgroups");  // also in a user namespace of our caller's making
    const bool denied = prepared.user_namespace || (allowed && *allowed == "deny\n");
    if (!(number == EPERM && groups.empty() && denied)) return base::errno_error(number, "process.user.additionalGids");
  }
  TRY(sys::wrap("process.user.gid", ::setresgid(user.gid, user.gid, user.gid)));
  TRY(sys::wrap("process.user.uid", ::setresuid(user.uid, user.uid, user.uid)));
  return {};
}

}  // namespace

Result<> become_user(const PreparedProcess& prepared, const FinalStep& step,
                     const std::function<Result<>(UniqueFd)>& on_listener) {
  const spec::Process& process = *prepared.process;
  const auto filter = [&]() -> Result<> {
    ASSIGN_OR_RETURN(auto listener, load_seccomp(*prepared.seccomp));
    if (!listener.valid()) return {};
    return on_listener(std::move(listener));
  };
  TRY(set_labels(step, process));
  bool in_cwd = ::chdir(process.cwd.c_str()) == 0;
  if (!in_cwd && errno == ENOENT && step.make_cwd) {
    TRY(make_cwd(process.cwd));
    in_cwd = ::chdir(process.cwd.c_str()) == 0;
  }
  if (!in_cwd && errno != EACCES) return base::errno_error(errno, "process.cwd: chdir " + process.cwd);
  if (in_cwd) TRY(check_cwd());  // before a filter may forbid to ask
  TRY(own_stdio(process.user.uid, process.user.gid));
  if (prepared.capabilities) TRY(drop_bounding(*prepared.capabilities));
  // Without no_new_privs the kernel wants CAP_SYS_ADMIN for a filter, so it comes before the capabilities go.
  if (prepared.seccomp && !process.no_new_privileges) TRY(filter());
  TRY(sys::wrap("keepcaps", ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)));
  TRY(set_user(step.proc, process.user, prepared));
  if (prepared.capabilities) TRY(set_capabilities(*prepared.capabilities));
  // A folder only the user may enter (a root-squashing network file system).
  if (!in_cwd) {
    TRY(sys::wrap("process.cwd: chdir " + process.cwd, ::chdir(process.cwd.c_str())));
    TRY(check_cwd());
  }
  if (process.no_new_privileges) {
    TRY(sys::wrap("process.noNewPrivileges", ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)));
    if (prepared.seccomp) TRY(filter());
  }
  (void)::umask(process.user.umask.value_or(0022));
  return {};
}

void reset_signals() {
  // struct sigaction as the kernel has it: the C library's function refuses 32 and 33, which it uses itself.
  struct KernelAction {
    void* handler;
    unsigned long flags;
    void* restorer;
    std::uint64_t mask;
  };
  for (int number = 1; number <= 64; ++number) {
    if (number == SIGKILL || number == SIGSTOP) continue;
    const KernelAction none{};
    (void)::syscall(SYS_rt_sigaction, number, &none, nullptr, sizeof none.mask);
  }
  sigset_t none;
  ::sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace runtime
