#include "network/netns.h"

#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/log.h"
#include "base/sys.h"

namespace network {
namespace {

/// Brings the calling thread back to the namespace it was in when this was made. A thread of its own for every visit, which would
/// need no way back, costs ten times as much: its stack, its heap, two switches.
class Return {
 public:
  static base::Result<Return> remember() {
    ASSIGN_OR_RETURN(auto home, base::sys::open("/proc/thread-self/ns/net", O_RDONLY));
    return Return(std::move(home));
  }
  Return(Return&&) = default;
  Return& operator=(Return&&) = delete;
  ~Return() {
    if (!home_.valid() || ::setns(home_.number(), CLONE_NEWNET) == 0) return;
    // A thread lost in a container's namespace would do what comes next to the wrong network.
    base::log::error("network", "cannot leave a network namespace: " + base::errno_error(errno, "setns").text());
    std::abort();
  }

 private:
  explicit Return(base::UniqueFd home) : home_(std::move(home)) {}
  base::UniqueFd home_;
};

base::Result<> loopback_up() {
  ASSIGN_OR_RETURN(const auto socket, base::sys::socket(AF_INET, SOCK_DGRAM));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
  TRY(base::sys::wrap("set lo up", ::ioctl(socket.number(), SIOCSIFFLAGS, &request)));
  return {};
}

/// No IPv6 on interfaces that get no IPv6 address, as in Docker. Kernels without IPv6 lack the file.
void ipv6_off_by_default() { (void)base::sys::write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").has_value(); }

base::Result<bool> is_namespace(base::Fd fd) {
  struct statfs facts{};
  TRY(base::sys::wrap("fstatfs", ::fstatfs(fd.number(), &facts)));
  return facts.f_type == NSFS_MAGIC;
}

}  // namespace

base::Result<base::UniqueFd> make_netns() {
  ASSIGN_OR_RETURN(const auto back, Return::remember());
  TRY(base::sys::wrap("unshare network namespace", ::unshare(CLONE_NEWNET)));
  TRY(loopback_up());
  ipv6_off_by_default();
  return base::sys::open("/proc/thread-self/ns/net", O_RDONLY);
}

base::Result<base::UniqueFd> netns_of(pid_t pid) {
  return base::sys::open("/proc/" + std::to_string(pid) + "/ns/net", O_RDONLY);
}

base::Result<> in_netns(base::Fd netns, const std::function<base::Result<>()>& body) {
  ASSIGN_OR_RETURN(const auto back, Return::remember());
  TRY(base::sys::wrap("enter network namespace", ::setns(netns.number(), CLONE_NEWNET)));
  return body();
}

base::Result<> pin(base::Fd netns, const std::filesystem::path& path) {
  TRY(unpin(path));
  TRY(base::sys::make_directories(path.parent_path()));
  TRY(base::sys::open(path, O_WRONLY | O_CREAT, 0600));
  const auto source = "/proc/self/fd/" + std::to_string(netns.number());
  auto mounted =
      base::sys::wrap("pin " + path.string(), ::mount(source.c_str(), path.c_str(), nullptr, MS_BIND, nullptr));
  if (!mounted) {
    (void)base::sys::unlink(path).has_value();
    return std::move(mounted).error();
  }
  return {};
}

base::Result<base::UniqueFd> open_pinned(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(auto fd, base::sys::open(path, O_RDONLY));
  ASSIGN_OR_RETURN(const bool valid, is_namespace(fd.borrow()));
  if (!valid) return base::make_error(base::ErrorKind::not_found, path.string() + " is not a pinned namespace");
  return fd;
}

base::Result<> unpin(const std::filesystem::path& path) {
  // Pins may be stacked when a crash came between mount and bookkeeping.
  while (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
  }
  if (errno != EINVAL && errno != ENOENT)
    return base::errno_error(errno, "unpin " + path.string());
  auto removed = base::sys::unlink(path);
  if (!removed && removed.error().number != ENOENT) return removed;
  return {};
}

}  // namespace network
