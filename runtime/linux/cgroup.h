#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/linux/cgroup_plan.h"

namespace runtime {

/// Reads what cgroup hierarchies this machine has. Cheap enough for every start (one read of mountinfo).
base::Result<CgroupHost> cgroup_host();

/// The cgroups of one container, being made. Folders this object made are removed again unless commit() is called.
class ScopedCgroup {
 public:
  /// Makes the folders, applies the writes, attaches the device program (v2). Errors name the file.
  /// A folder that may not be made (no rights, rootless) is left out when nothing must be written into it.
  static base::Result<ScopedCgroup> make(const CgroupPlan& plan, const spec::Resources& resources);
  /// Folders that systemd made for process `pid`: applies the writes and puts it into those of the hierarchies systemd leaves alone.
  static base::Result<ScopedCgroup> adopt(const CgroupPlan& plan, const spec::Resources& resources, pid_t pid);
  ScopedCgroup() = default;
  ScopedCgroup(ScopedCgroup&&) noexcept = default;
  ScopedCgroup& operator=(ScopedCgroup&&) noexcept = default;
  ScopedCgroup(const ScopedCgroup&) = delete;
  ScopedCgroup& operator=(const ScopedCgroup&) = delete;
  ~ScopedCgroup();

  /// Absolute paths of the container's folders, all hierarchies.
  [[nodiscard]] const std::vector<std::string>& paths() const { return paths_; }
  /// The cgroup2 folder for CLONE_INTO_CGROUP; none on a pure v1 machine.
  [[nodiscard]] base::Fd unified() const { return unified_.borrow(); }
  /// Descriptors of the v1 `tasks` files: the child writes "0" to each. See enter_tasks().
  [[nodiscard]] std::vector<base::UniqueFd>& tasks() { return tasks_; }
  /// The child is in it by its clone and must not keep it open.
  void close_unified() { unified_.reset(); }
  void commit() { made_.clear(); }

 private:
  base::Result<> limit_devices(const CgroupPlan& plan, const spec::Resources& resources) const;
  std::vector<std::string> paths_, made_;
  base::UniqueFd unified_;
  std::vector<base::UniqueFd> tasks_;
};

/// Moves the calling, single-threaded process. A write of "0" to `tasks` spares the lock (and its RCU wait) that a pid written to
/// cgroup.procs takes: 0.5 ms instead of 12 for nine hierarchies.
base::Result<> enter_tasks(const std::vector<base::UniqueFd>& tasks);

/// Opens what a further process of the container (exec) needs to join the folders `paths`.
struct CgroupEntry {
  base::UniqueFd unified;
  std::vector<base::UniqueFd> tasks;
};
base::Result<CgroupEntry> open_cgroup(const std::vector<std::string>& paths);

/// Applies the writes of a plan to existing folders (`update`).
base::Result<> write_limits(const CgroupPlan& plan);

/// All processes below the folders, children's included. Missing folders hold none.
std::vector<pid_t> cgroup_processes(const std::vector<std::string>& paths);
/// Sends `signal` to all of them. SIGKILL uses cgroup.kill where there is one, and else freezes first so that no fork slips through.
base::Result<> signal_cgroup(const std::vector<std::string>& paths, int signal);
/// Freezes or thaws; returns when the kernel says it is done. Error unsupported without a freezer.
base::Result<> freeze_cgroup(const std::vector<std::string>& paths, bool frozen);
/// Whether it is frozen now.
bool cgroup_frozen(const std::vector<std::string>& paths);
/// Removes the folders and folders below them; retries while processes are still leaving. Missing ones are success.
base::Result<> remove_cgroup(const std::vector<std::string>& paths,
                             std::chrono::milliseconds limit = std::chrono::seconds(5));

}  // namespace runtime
