#pragma once
// The mounts of one container, opened. Internal to the room.
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/containers/containers.h"
#include "runtime/spec/spec.h"

namespace engine::containers {

/// Descriptors on their way to the runtime, numbered in order.
class FdTable {
 public:
  explicit FdTable(int first) : next_(first) {}
  int add(base::UniqueFd fd) {
    fds.push_back({std::move(fd), next_});
    return next_++;
  }
  /// How config.json names it.
  std::string add_path(base::UniqueFd fd) { return "/proc/self/fd/" + std::to_string(add(std::move(fd))); }
  std::vector<PassedFd> fds;

 private:
  int next_;
};

/// What opening the mounts needs of the container.
struct MountContext {
  const ContainerSpec& spec;
  const StartOptions& options;
  base::Fd root;                   ///< the detached root: copy-up reads the image there
  std::filesystem::path run_dir;   ///< paths::container_run: contents of configs and secrets
};

/// Opens options.mounts and spec.files; one OCI mount each, in options.mounts' order, files last. New volumes are filled.
base::Result<std::vector<runtime::spec::Mount>> open_mounts(const MountContext& context, FdTable& fds);

}  // namespace engine::containers
