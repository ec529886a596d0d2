#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/linux/kernel.h"
#include "runtime/spec/spec.h"

namespace runtime {

struct JoinedNamespace {
  std::uint64_t flag = 0;   ///< CLONE_NEW…
  std::string type, path;
  base::UniqueFd fd;
};

/// Which namespaces are made by clone3, which are entered, and which later.
struct NamespacePlan {
  std::uint64_t clone_flags = 0;         ///< new ones, made at once. Cgroup is left out: see new_cgroup.
  std::vector<JoinedNamespace> joined;   ///< pid and time are entered by the runtime, the rest by init
  bool new_cgroup = false;               ///< unshared by init once it is in its cgroup, which becomes its root
  bool new_time = false;                 ///< unshared by the runtime, which writes the offsets
  [[nodiscard]] bool has(std::uint64_t flag) const;     ///< new or joined
  [[nodiscard]] bool is_new(std::uint64_t flag) const;
};

/// Opens the joined ones. Errors name the namespace; a contradiction with the rest of the config names the property.
base::Result<NamespacePlan> plan_namespaces(const spec::Config& config);

/// CLONE_NEW… of "pid", "network"…; 0 for an unknown word.
std::uint64_t namespace_flag(std::string_view type);
/// "net" of "network": the name below /proc/PID/ns.
std::string_view namespace_file(std::string_view type);

/// Moves our children to be into joined pid and time namespaces, and into a new time namespace with `offsets`.
/// What it changed in our own process is undone by the destructor.
class ChildNamespaces {
 public:
  static base::Result<ChildNamespaces> enter(const NamespacePlan& plan, const spec::Config& config);
  ChildNamespaces() = default;
  ChildNamespaces(ChildNamespaces&&) noexcept = default;
  ChildNamespaces& operator=(ChildNamespaces&&) noexcept = default;
  ChildNamespaces(const ChildNamespaces&) = delete;
  ChildNamespaces& operator=(const ChildNamespaces&) = delete;
  ~ChildNamespaces();

 private:
  base::UniqueFd own_pid_, own_time_;
};

/// Clones a process from within namespaces that the caller itself must not or can't enter: a helper process runs `enter` (0 or errno),
/// clones with `options` as the caller does with clone3(), and ends; the process is its brother, a child of the caller, with the
/// helper's namespaces. A CLONE_PARENT in `options` is of no effect. Blocks until the helper has ended.
base::Result<kernel::Cloned> clone_by_helper(const kernel::CloneOptions& options, const std::function<int()>& enter);

/// Init's part: setns into the rest. The user namespace was entered before init was cloned.
base::Result<> join_namespaces(const NamespacePlan& plan);

/// Writes the id maps of `pid`'s new user namespace; without the right to, through newuidmap(1) and newgidmap(1).
base::Result<> write_id_maps(pid_t pid, const spec::Linux& config);

/// A fresh network namespace has its loopback down.
base::Result<> raise_loopback();
/// Writes linux.sysctl through the host's procfs `proc`. Only settings of a namespace the container does not share are allowed.
base::Result<> apply_sysctls(base::Fd proc, const std::map<std::string, std::string>& sysctls);
/// Pure part: Error naming a setting that would change the host or a namespace that is not the container's.
base::Result<> check_sysctls(const spec::Config& config);

}  // namespace runtime
