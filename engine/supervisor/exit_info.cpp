#include "engine/supervisor/exit_info.h"

#include <sys/ioctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <charconv>

#include "base/sys.h"

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

std::optional<base::ExitStatus> zombie_exit(pid_t pid, std::uint64_t start, const std::filesystem::path& proc) {
  const auto stat = base::sys::read_file(proc / std::to_string(pid) / "stat", 4096);
  if (!stat) return std::nullopt;
  // Fields are counted from the ')' that ends the name: it may hold anything. proc(5)
  std::size_t at = stat->rfind(')');
  if (at == std::string::npos || stat->compare(at, 4, ") Z ") != 0) return std::nullopt;
  std::uint64_t started = 0;
  int status = 0;
  const char* const end = stat->data() + stat->size();
  for (int field = 3; field <= 52; ++field) {
    at = stat->find(' ', at + 1);
    if (at == std::string::npos) return std::nullopt;
    if (field == 22) std::from_chars(stat->data() + at + 1, end, started);
    if (field == 52) std::from_chars(stat->data() + at + 1, end, status);
  }
  if (started != start) return std::nullopt;
  return base::ExitStatus::from_wait(status);
}

}  // namespace engine::supervisor
