#include "engine/supervisor/exit_info.h"

#include <sys/ioctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdint>

namespace engine::supervisor {
namespace {

/// struct pidfd_info of <linux/pidfd.h> as of 6.15, which Debian 12's headers do not have yet.
struct PidfdInfo {
  std::uint64_t mask;
  std::uint64_t cgroupid;
  std::uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  std::int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr unsigned long pidfd_get_info = _IOWR(0xFF, 11, PidfdInfo);
constexpr std::uint64_t pidfd_info_exit = 1u << 3;

}  // namespace

std::optional<base::ExitStatus> reap(base::Fd pidfd) {
  siginfo_t info{};
  int failed;
  do {
    failed = ::waitid(P_PIDFD, static_cast<id_t>(pidfd.number()), &info, WEXITED | WNOHANG);
  } while (failed != 0 && errno == EINTR);
  if (failed != 0 || info.si_pid == 0) return std::nullopt;
  if (info.si_code == CLD_EXITED) return base::ExitStatus{info.si_status, 0, false};
  return base::ExitStatus{128 + info.si_status, info.si_status, info.si_code == CLD_DUMPED};
}

std::optional<base::ExitStatus> remembered_exit(base::Fd pidfd) {
  PidfdInfo info{};
  info.mask = pidfd_info_exit;
  if (::ioctl(pidfd.number(), pidfd_get_info, &info) != 0 || !(info.mask & pidfd_info_exit)) return std::nullopt;
  return base::ExitStatus::from_wait(info.exit_code);
}

}  // namespace engine::supervisor
