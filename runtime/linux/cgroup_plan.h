#pragma once
// Where a container's cgroups are and what is written into them, decided before anything is made. Pure.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/spec/spec.h"

namespace runtime {

/// One mounted cgroup hierarchy.
struct Hierarchy {
  std::string mount_point;               ///< "/sys/fs/cgroup/cpu,cpuacct"
  std::string root;                      ///< which cgroup is mounted there: "/" unless we are in a container
  std::vector<std::string> controllers;  ///< v1: "cpu", "name=systemd"; v2: those the root offers
  bool unified = false;
};

/// What this machine has. Read once by cgroup_host().
struct CgroupHost {
  std::vector<Hierarchy> hierarchies;    ///< v1 ones, and at most one unified
  [[nodiscard]] const Hierarchy* with(std::string_view controller) const;
  [[nodiscard]] const Hierarchy* unified() const;
  [[nodiscard]] bool unified_only() const;
};

/// From the text of /proc/self/mountinfo. The unified hierarchy's controllers are left empty.
CgroupHost parse_cgroup_mounts(std::string_view mountinfo);

struct CgroupWrite {
  std::string file, value;
  bool operator==(const CgroupWrite&) const = default;
};

/// One folder to make and its writes, in order.
struct CgroupFolder {
  const Hierarchy* hierarchy = nullptr;  ///< into the CgroupHost it was planned with
  std::string path;                      ///< absolute path of the folder
  std::vector<CgroupWrite> writes;
};

struct CgroupPlan {
  std::string path;                      ///< in every hierarchy, below its mount point: "/docker/0123"
  std::vector<CgroupFolder> folders;
};

/// The path below each hierarchy's mount point. Relative paths and an empty one ("" → id) start at the root.
base::Result<std::string> cgroup_path(const std::string& cgroups_path, const std::string& id);

/// Folders for all hierarchies with the writes for `resources`. A limit whose controller this machine lacks is an error
/// (unsupported) naming it. Device rules of the unified hierarchy are a program, not a write: see device_bpf.h.
base::Result<CgroupPlan> plan_cgroup(const CgroupHost& host, const std::string& path, const spec::Resources& resources);

/// cgroup v2 cpu.weight for v1 cpu.shares (config-linux.md, "CPU").
std::uint64_t cpu_weight_from_shares(std::uint64_t shares);

/// What pids.limit 0 means: since runtime-spec 1.3 a limit like any other (in 1.2 "none"), and 1 because systemd takes no 0.
constexpr std::int64_t least_pids(std::int64_t limit) { return limit == 0 ? 1 : limit; }

/// Device rules in the order the v1 controller must get them, defaults of every container included.
/// Rules before the last "all devices" rule are dropped: it overrides them.
struct DeviceRules {
  bool allow_by_default = true;
  std::vector<spec::DeviceRule> exceptions;
};
DeviceRules effective_device_rules(const std::vector<spec::DeviceRule>& rules);

}  // namespace runtime
