#pragma once
// Work inside the container's root, always relative to a descriptor of it.
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/spec/spec.h"

namespace runtime {

enum class TargetKind : unsigned char { folder, file };
struct TargetOptions {
  TargetKind kind = TargetKind::folder;
  bool nofollow = false;   ///< a link at the very end is the target itself
};

/// Opens (O_PATH) `path` inside `root`, making it and the folders above it when missing: folders 0755, files 0644 and empty.
/// Links are followed inside the root only; a dangling link's own target is made.
/// Errors: invalid  it is there and of the other kind.
base::Result<base::UniqueFd> open_target(base::Fd root, const std::string& path, const TargetOptions& options);

/// Device nodes, /dev links, and the terminal's /dev/console come from config.json and the defaults every container gets.
struct DeviceChoice {
  bool bind = false;      ///< mknod(2) is not allowed in a user namespace: mount nodes made outside, or the host's own
  bool defaults = false;  ///< also the defaults and links, unless the host's /dev is bound there
  const std::vector<base::UniqueFd>* made = nullptr;  ///< of open_devices(); empty: clone the host's nodes
};
base::Result<> make_devices(base::Fd root, const spec::Config& config, const DeviceChoice& choice);
/// The runtime's half for a new user namespace: a detached mount of a new node for each of the defaults and config.json's devices,
/// owned by the mapped ids. Empty where the runtime itself may not make nodes.
base::Result<std::vector<base::UniqueFd>> open_devices(const spec::Config& config);

/// Hides `paths`: files behind the host's null device, folders behind one empty read-only tmpfs. Missing ones are skipped.
base::Result<> mask_paths(base::Fd root, const std::vector<std::string>& paths, const std::string& label);
/// Remounts `paths`, with all below them, read-only. Missing ones are skipped.
base::Result<> protect_paths(base::Fd root, const std::vector<std::string>& paths);

/// How the container's root becomes "/".
enum class RootSwitch : unsigned char {
  pivot,   ///< pivot_root(2): nothing of the host is left
  move,    ///< --no-pivot, for hosts whose root pivot_root refuses (initramfs): moved above "/", the host's other mounts dropped
  chroot,  ///< the mount namespace is shared: nothing may be moved or dropped
};
/// Makes the attached mount `root` the root of this process. The working directory becomes "/". `proc` is the host's procfs.
/// pivot and move need a mount namespace that nobody else is in, its mounts private.
base::Result<> enter_root(base::Fd root, RootSwitch how, base::Fd proc);

}  // namespace runtime
