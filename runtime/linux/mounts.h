#pragma once
// Carrying out a mount plan. Trees are opened by the runtime, in the host's namespaces, and attached by the container's init.
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/linux/cgroup_plan.h"
#include "runtime/linux/mount_plan.h"

namespace runtime {

/// What the runtime opened for one planned mount. Empty for file systems, which init makes in its own namespaces.
struct MountSource {
  base::UniqueFd tree;       ///< detached mount, its attributes and propagation set
  bool folder = true;
  std::string link;          ///< copy-symlink: the source is a link with this text
  base::UniqueFd mapping;    ///< of a source inside: the user namespace that maps its ids, which init could not make
  std::string inside;        ///< the source is this path of the container's root, as the mounts before have left it; opened by init
  /// v1 cgroups without a cgroup namespace: each hierarchy's folder of the container.
  std::vector<std::pair<std::string, base::UniqueFd>> hierarchies;
};

struct SourceOptions {
  std::string bundle;                          ///< relative sources start here
  std::string rootfs;                          ///< absolute path of the container's root; "" = unknown
  bool new_cgroup_namespace = false;
  bool user_namespace = false;                 ///< the container has one, new or joined
  base::Fd joined_user_namespace;              ///< its mappings serve "idmap" when there are no others
  const std::vector<spec::IdMap>* uid_mappings = nullptr;  ///< of the container's user namespace, for "idmap" without its own
  const std::vector<spec::IdMap>* gid_mappings = nullptr;
};

/// Opens every tree. Errors name the mount. Runs in the host's namespaces with its rights. A source below the root is left to
/// attach_mounts(): mounts that come before may cover or make it. (Not where it stays tied to the host by its propagation.)
base::Result<std::vector<MountSource>> open_sources(const std::vector<PlannedMount>& plan, const CgroupHost& cgroups, const std::string& cgroup_path,
                                                    const SourceOptions& options);

/// Gives a bind mount's detached tree the id mappings of the user namespace `mapping`; does nothing when that is invalid.
/// Error EPERM: no CAP_SYS_ADMIN over the file system, as in a user namespace. Source: mount_setattr(2).
base::Result<> map_ids(base::Fd tree, const PlannedMount& mount, base::Fd mapping);

/// The attributes and the propagation that were planned for a bind mount's detached tree.
base::Result<> set_attributes(base::Fd tree, const PlannedMount& mount, const SourceOptions& options);

/// The detached root mount: a private clone of `path` with all below it.
base::Result<base::UniqueFd> open_root(const std::string& path);

struct AttachOptions {
  std::string mount_label;
  bool new_cgroup_namespace = false;
  bool user_namespace = false;
  const SourceOptions* sources = nullptr;      ///< for sources inside the root
  /// Has the ids of a source inside the root mapped by whoever has the right to; without it map_ids() is tried here.
  std::function<base::Result<>(const PlannedMount& mount, base::Fd tree)> map_ids;
};

/// Attaches everything below `root`, in order. Runs in the container's namespaces before pivot_root.
/// Returns the tmpfs mounts that must become read-only once everything is in them, /dev and its nodes above all.
base::Result<std::vector<base::UniqueFd>> attach_mounts(base::Fd root, const std::vector<PlannedMount>& plan, std::vector<MountSource>& sources,
                                                        const CgroupHost& cgroups, const AttachOptions& options);

/// Copies what is below `from` to `to`: modes, owners, links, devices, extended attributes (tmpcopyup).
base::Result<> copy_tree(base::Fd from, base::Fd to);

/// A descriptor of a user namespace with these maps, for mount_setattr(MOUNT_ATTR_IDMAP).
base::Result<base::UniqueFd> user_namespace_with(const std::vector<spec::IdMap>& uids, const std::vector<spec::IdMap>& gids);

/// "0 1000 1\n…" for /proc/PID/uid_map. Pure.
std::string id_map_text(const std::vector<spec::IdMap>& maps);

}  // namespace runtime
