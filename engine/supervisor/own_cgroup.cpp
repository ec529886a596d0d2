#include "engine/supervisor/own_cgroup.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "engine/api/paths.h"

namespace engine::supervisor {
namespace {

pid_t clone_into(const std::filesystem::path& group) {
  const auto folder = base::sys::open(group, O_RDONLY | O_DIRECTORY);
  if (!folder) return -1;
  clone_args arguments{};
  arguments.flags = CLONE_INTO_CGROUP;
  arguments.exit_signal = SIGCHLD;
  arguments.cgroup = static_cast<__u64>(folder->number());
  return static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
}

}  // namespace

pid_t fork_into_own_cgroup(const std::string& project) {
  auto groups = paths::engine_cgroups(project);
  std::erase_if(groups, [](const auto& group) { return !base::sys::make_directories(group, 0755); });
  pid_t child = groups.empty() ? -1 : clone_into(groups.front());
  // What is no unified hierarchy takes a move.
  if (child < 0) child = ::fork();
  else if (!groups.empty()) groups.erase(groups.begin());
  for (std::size_t i = 0; child == 0 && i < groups.size(); ++i) (void)base::sys::write_file(groups[i] / "cgroup.procs", "0");
  return child;
}

}  // namespace engine::supervisor
