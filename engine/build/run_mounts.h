#pragma once
// RUN --mount made real: binds, caches, tmpfs, secrets, agents, and the name files every step has.
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/build/solver.h"

namespace engine::build {

/// A tree a mount comes from, attached where the runtime can clone from it.
struct ReadyTree {
  UniqueFd root;                       ///< a folder; invalid: no tree
  const IgnoreRules* ignore = nullptr;
  Layers layers;                       ///< of a stage or image; empty for a context
};

class AgentProxy;

/// Collects the mounts of one step; what they need lives as long as this does.
class RunMounts {
 public:
  RunMounts(Workbench& bench, RunStep& step);
  RunMounts(const RunMounts&) = delete;
  RunMounts& operator=(const RunMounts&) = delete;
  ~RunMounts();
  /// /etc/resolv.conf and /etc/hosts.
  Result<> add_names();
  /// The heredoc program at `path`.
  Result<> add_script(const std::string& path, const std::string& text);
  /// Before add(): takes the locks of all cache mounts in one order for every step, so that no two wait for each other.
  /// `trees`: where the mounts come from, by the same index.
  Result<> take_caches(const std::vector<RunMount>& mounts, const std::vector<ReadyTree>& trees);
  Result<> add(const RunMount& mount, ReadyTree tree);
  /// Paths that must exist before the step starts, and whether as folders.
  [[nodiscard]] std::vector<std::pair<std::string, bool>> targets() const;

 private:
  Result<> add_bind(const RunMount& mount, ReadyTree tree);
  Result<UniqueFd> context_part(const RunMount& mount, Fd context, const IgnoreRules* ignore, bool read_only);
  Result<std::filesystem::path> take_cache(const std::string& name, const RunMount& mount);
  Result<> make_cache(const RunMount& mount, const ReadyTree& tree, const std::filesystem::path& path);
  Result<> add_cache(const RunMount& mount, ReadyTree tree);
  Result<> add_tmpfs(const RunMount& mount);
  Result<> add_secret(const RunMount& mount);
  Result<> add_ssh(const RunMount& mount);
  /// Binds what `fd` is at `target`.
  void bind(UniqueFd fd, const std::string& target, bool read_only, bool folder);

  Workbench& bench_;
  RunStep& step_;
  std::vector<UniqueFd> kept_;         ///< descriptors the runtime inherits, and locks
  std::vector<std::pair<std::string, bool>> targets_;
  std::vector<std::filesystem::path> attached_;
  std::map<std::string, std::filesystem::path> caches_;  ///< by cache_name: one folder for all mounts of it in the step
  std::vector<std::unique_ptr<AgentProxy>> agents_;
};

}  // namespace engine::build
