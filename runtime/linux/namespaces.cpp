#include "runtime/linux/namespaces.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"
#include "base/sys.h"
#include "runtime/linux/kernel.h"
#include "runtime/linux/mounts.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace runtime {

using base::ErrorKind;
using base::Fd;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {
struct Kind {
  std::string_view type, file;
  std::uint64_t flag;
};
constexpr Kind kinds[] = {{"user", "user", CLONE_NEWUSER}, {"pid", "pid", CLONE_NEWPID},    {"network", "net", CLONE_NEWNET},
                          {"ipc", "ipc", CLONE_NEWIPC},    {"uts", "uts", CLONE_NEWUTS},    {"cgroup", "cgroup", CLONE_NEWCGROUP},
                          {"time", "time", CLONE_NEWTIME}, {"mount", "mnt", CLONE_NEWNS}};
}  // namespace

std::uint64_t namespace_flag(std::string_view type) {
  const auto* at = std::ranges::find(kinds, type, &Kind::type);
  return at == std::end(kinds) ? 0 : at->flag;
}

std::string_view namespace_file(std::string_view type) {
  const auto* at = std::ranges::find(kinds, type, &Kind::type);
  return at == std::end(kinds) ? std::string_view() : at->file;
}

bool NamespacePlan::is_new(std::uint64_t flag) const {
  return (clone_flags & flag) != 0 || (new_cgroup && flag == CLONE_NEWCGROUP) || (new_time && flag == CLONE_NEWTIME);
}

bool NamespacePlan::has(std::uint64_t flag) const {
  return is_new(flag) ||
         std::ranges::any_of(joined, [&](const JoinedNamespace& space) { return space.flag == flag; });
}

namespace {

Result<> check_contradictions(const spec::Config& config, const NamespacePlan& plan) {
  const auto wrong = [](std::string what) { return base::make_error(ErrorKind::invalid, std::move(what)); };
  const spec::Linux& linux_object = config.linux_;
  if (!plan.has(CLONE_NEWNS) && (plan.has(CLONE_NEWUSER) || !linux_object.rootfs_propagation.empty()))
    return wrong("linux.namespaces: without a mount namespace neither a user namespace nor rootfsPropagation is possible");
  if (!config.hostname.empty() && !plan.has(CLONE_NEWUTS)) return wrong("hostname: needs a uts namespace");
  if (!config.domainname.empty() && !plan.has(CLONE_NEWUTS)) return wrong("domainname: needs a uts namespace");
  if (!linux_object.time_offsets.empty() && !plan.new_time)
    return wrong("linux.timeOffsets: needs a new time namespace");
  if (plan.is_new(CLONE_NEWUSER) && (linux_object.uid_mappings.empty() || linux_object.gid_mappings.empty()))
    return wrong("linux.uidMappings, gidMappings: a new user namespace needs both");
  if (!plan.has(CLONE_NEWUSER) && (!linux_object.uid_mappings.empty() || !linux_object.gid_mappings.empty()))
    return wrong("linux.uidMappings: given without a user namespace");
  return check_sysctls(config);
}

}  // namespace

Result<NamespacePlan> plan_namespaces(const spec::Config& config) {
  NamespacePlan plan;
  for (const spec::Namespace& space : config.linux_.namespaces) {
    const std::uint64_t flag = namespace_flag(space.type);
    if (space.path.empty()) {
      if (flag == CLONE_NEWCGROUP)
        plan.new_cgroup = true;
      else if (flag == CLONE_NEWTIME)
        plan.new_time = true;
      else
        plan.clone_flags |= flag;
      continue;
    }
    auto fd = sys::open(space.path, O_RDONLY);
    if (!fd) return std::move(fd).with("linux.namespaces: " + space.type).error();
    plan.joined.push_back({.flag = flag, .type = space.type, .path = space.path, .fd = *std::move(fd)});
  }
  // User first: it owns the rights to enter the others. Mount last: paths change with it.
  std::ranges::stable_sort(plan.joined, {}, [](const JoinedNamespace& space) {
    return std::ranges::find(kinds, space.flag, &Kind::flag) - std::begin(kinds);
  });
  TRY(check_contradictions(config, plan));
  return plan;
}

Result<ChildNamespaces> ChildNamespaces::enter(const NamespacePlan& plan, const spec::Config& config) {
  ChildNamespaces out;
  for (const JoinedNamespace& space : plan.joined) {
    if (space.flag != CLONE_NEWPID && space.flag != CLONE_NEWTIME) continue;
    UniqueFd& own = space.flag == CLONE_NEWPID ? out.own_pid_ : out.own_time_;
    ASSIGN_OR_RETURN(own, sys::open(space.flag == CLONE_NEWPID ? "/proc/self/ns/pid" : "/proc/self/ns/time", O_RDONLY));
    TRY(kernel::setns(space.fd.borrow(), static_cast<int>(space.flag)).with("joining the " + space.type + " namespace"));
  }
  if (plan.new_time) {
    ASSIGN_OR_RETURN(out.own_time_, sys::open("/proc/self/ns/time", O_RDONLY));
    TRY(sys::wrap("unshare time", ::unshare(CLONE_NEWTIME)));
    std::string offsets;
    for (const auto& [clock, offset] : config.linux_.time_offsets) {
      if (clock != "monotonic" && clock != "boottime")
        return base::make_error(ErrorKind::invalid, "linux.timeOffsets: unknown clock '" + clock + "'");
      offsets += clock + " " + std::to_string(offset.secs) + " " + std::to_string(offset.nanosecs) + "\n";
    }
    if (!offsets.empty()) TRY(sys::write_file("/proc/self/timens_offsets", offsets).with("linux.timeOffsets"));
  }
  return out;
}

ChildNamespaces::~ChildNamespaces() {
  if (own_pid_.valid()) (void)::setns(own_pid_.number(), CLONE_NEWPID);
  if (own_time_.valid()) (void)::setns(own_time_.number(), CLONE_NEWTIME);
}

Result<kernel::Cloned> clone_by_helper(const kernel::CloneOptions& options, const std::function<int()>& enter) {
  ASSIGN_OR_RETURN(auto ends, sys::pipe());
  ASSIGN_OR_RETURN(auto helper, kernel::clone3({.flags = 0, .cgroup = options.cgroup}));
  if (helper.pid == 0) {
    std::int32_t answer[2] = {0, enter()};
    if (answer[1] == 0) {
      // The process itself is told by the 0 and goes on with the caller's code.
      auto process = kernel::clone3({.flags = options.flags | CLONE_PARENT, .cgroup = -1});
      if (process && process->pid == 0) return kernel::Cloned{.pid = 0, .pidfd = UniqueFd()};
      if (process) answer[0] = process->pid;
      if (!process) answer[1] = process.error().number;
    }
    [[maybe_unused]] const ssize_t told = ::write(ends.second.number(), answer, sizeof answer);
    ::_exit(0);
  }
  ends.second.reset();
  std::int32_t answer[2] = {0, EPIPE};
  [[maybe_unused]] const ssize_t heard = ::read(ends.first.number(), answer, sizeof answer);
  while (::waitpid(helper.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (answer[1] != 0) return base::errno_error(answer[1], "joining the user namespace");
  ASSIGN_OR_RETURN(auto pidfd, sys::pidfd_open(answer[0]));
  return kernel::Cloned{.pid = answer[0], .pidfd = std::move(pidfd)};
}

Result<> join_namespaces(const NamespacePlan& plan) {
  for (const JoinedNamespace& space : plan.joined) {
    if (space.flag == CLONE_NEWPID || space.flag == CLONE_NEWTIME || space.flag == CLONE_NEWUSER) continue;
    auto done = kernel::setns(space.fd.borrow(), static_cast<int>(space.flag));
    if (!done) return std::move(done).with("joining the " + space.type + " namespace");
  }
  return {};
}

namespace {

Result<> map_by_helper(const char* program, pid_t pid, const std::vector<spec::IdMap>& maps) {
  for (const char* folder : {"/usr/bin/", "/bin/", "/usr/local/bin/"}) {
    const std::string path = std::string(folder) + program;
    if (::access(path.c_str(), X_OK) != 0) continue;
    base::SpawnOptions options;
    options.program = path;
    options.arguments = {path, std::to_string(pid)};
    for (const auto& map : maps) {
      options.arguments.push_back(std::to_string(map.container_id));
      options.arguments.push_back(std::to_string(map.host_id));
      options.arguments.push_back(std::to_string(map.size));
    }
    options.fds = {{Fd(2), 2}};
    ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(options));
    ASSIGN_OR_RETURN(const auto status, child.wait(std::chrono::seconds(30)));
    if (status.code == 0) return {};
    return base::make_error(ErrorKind::permission, std::string(program) + " failed with exit code " + std::to_string(status.code));
  }
  return base::make_error(ErrorKind::not_found, std::string(program) + " is not installed (package uidmap)");
}

}  // namespace

Result<> write_id_maps(pid_t pid, const spec::Linux& config) {
  const std::string proc = "/proc/" + std::to_string(pid);
  const bool privileged = ::geteuid() == 0;
  const auto single = [](const std::vector<spec::IdMap>& maps, std::uint32_t own) {
    return maps.size() == 1 && maps[0].size == 1 && maps[0].host_id == own;
  };
  if (!privileged && single(config.gid_mappings, ::getegid()))
    TRY(sys::write_file(proc + "/setgroups", "deny"));  // user_namespaces(7): required before an unprivileged gid_map
  auto uids = sys::write_file(proc + "/uid_map", id_map_text(config.uid_mappings));
  if (!uids && uids.error().number == EPERM && !privileged) uids = map_by_helper("newuidmap", pid, config.uid_mappings);
  TRY(std::move(uids).with("linux.uidMappings"));
  auto gids = sys::write_file(proc + "/gid_map", id_map_text(config.gid_mappings));
  if (!gids && gids.error().number == EPERM && !privileged) gids = map_by_helper("newgidmap", pid, config.gid_mappings);
  return std::move(gids).with("linux.gidMappings");
}

Result<> raise_loopback() {
  ASSIGN_OR_RETURN(const auto socket, sys::socket(AF_INET, SOCK_DGRAM));
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  TRY(sys::wrap("raising the loopback interface", ::ioctl(socket.number(), SIOCSIFFLAGS, &request)));
  return {};
}

namespace {

constexpr std::string_view ipc_settings[] = {"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni",          "kernel.sem",
                                             "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"};

/// sysctl(8): "net/ipv4/conf/eth0.1/forwarding" or "net.ipv4.ip_forward"; the first separator decides.
std::string sysctl_path(const std::string& name) {
  std::string path = name;
  const std::size_t first = path.find_first_of("./");
  if (first != std::string::npos && path[first] == '.')
    for (char& letter : path) letter = letter == '.' ? '/' : letter == '/' ? '.' : letter;
  return path;
}

}  // namespace

Result<> check_sysctls(const spec::Config& config) {
  const auto own = [&](std::string_view type) {
    return std::ranges::any_of(config.linux_.namespaces, [&](const spec::Namespace& space) { return space.type == type; });
  };
  for (const auto& [name, value] : config.linux_.sysctl) {
    std::string dotted = sysctl_path(name);
    if (("/" + dotted + "/").find("/../") != std::string::npos)
      return base::make_error(ErrorKind::invalid, "linux.sysctl: '" + name + "' is not a setting");
    std::ranges::replace(dotted, '/', '.');
    const bool ipc = std::ranges::find(ipc_settings, dotted) != std::end(ipc_settings) || dotted.starts_with("fs.mqueue.");
    // As under runc and crun: two properties must not contradict each other.
    if (dotted == "kernel.hostname")
      return base::make_error(ErrorKind::invalid, "linux.sysctl: 'kernel.hostname' is set by the property hostname");
    if (dotted == "kernel.domainname" && !config.domainname.empty() && config.domainname != value)
      return base::make_error(ErrorKind::invalid, "linux.sysctl: 'kernel.domainname' contradicts the property domainname");
    const bool uts = dotted == "kernel.domainname" || dotted == "kernel.hostname";
    const bool net = dotted.starts_with("net.");
    if ((ipc && own("ipc")) || (uts && own("uts")) || (net && own("network"))) continue;
    if (ipc || uts || net)
      return base::make_error(ErrorKind::invalid, "linux.sysctl: '" + name + "' would change the host: the container has no " +
                                                      (ipc ? "ipc" : uts ? "uts" : "network") + " namespace of its own");
    return base::make_error(ErrorKind::invalid, "linux.sysctl: '" + name + "' is not in a separate kernel namespace");
  }
  return {};
}

Result<> apply_sysctls(Fd proc, const std::map<std::string, std::string>& sysctls) {
  for (const auto& [name, value] : sysctls) {
    auto done = kernel::write_at(proc, ("sys/" + sysctl_path(name)).c_str(), value);
    if (!done) return std::move(done).with("linux.sysctl " + name + " = " + value);
  }
  return {};
}

}  // namespace runtime
