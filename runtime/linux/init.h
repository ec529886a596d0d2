#pragma once
// The container's init: what the cloned child does until it becomes the program.
#include <functional>
#include <string>

#include "runtime/linux/cgroup.h"
#include "runtime/linux/mounts.h"
#include "runtime/linux/namespaces.h"
#include "runtime/linux/process.h"
#include "runtime/linux/rootfs.h"
#include "runtime/linux/sync.h"

namespace runtime {

/// Everything init needs, prepared by the runtime and copied by clone3. Descriptors stay open until the execve.
struct InitContext {
  const spec::Config* config = nullptr;
  std::string id, bundle;
  std::string state_json;                   ///< for createContainer hooks; the pid is the one those hooks see
  std::string start_state_json;             ///< the same for startContainer hooks
  std::string seccomp_state;                ///< what the seccomp agent is told; the pid is the host's
  NamespacePlan namespaces;
  std::vector<PlannedMount> mounts;
  std::vector<MountSource> sources;
  SourceOptions source_options;             ///< for those that init opens
  CgroupHost cgroups;
  std::vector<base::UniqueFd>* tasks = nullptr;
  base::UniqueFd root;                      ///< detached mount
  PreparedProcess process;
  base::UniqueFd console_socket;            ///< connected; the terminal's master goes there
  base::UniqueFd start_listener;            ///< `create`: wait here for `start` before the program runs
  base::UniqueFd seccomp_listener_socket;   ///< connected to listenerPath
  SyncSocket sync;                          ///< init's end
  std::vector<base::UniqueFd> devices;      ///< see open_devices()
  /// Whoever may not mount on the host leaves that to init, which has every right in its new user namespace: the root's path and
  /// what open_sources() needs. Empty = `root` and `sources` are there.
  std::string late_root;
  std::string cgroup_path;
  std::string root_place;                   ///< attach the root at this folder of the host; "" = above "/"
  bool own_mounts = true;                   ///< no: the container shares the host's mount namespace and gets a chroot there
  bool without_process = false;             ///< `create` of a config without one: `start` will fail
  RootSwitch root_switch = RootSwitch::pivot;
  bool new_keyring = true, hooks_before_pivot = false, map_ids = false;
  bool placed_outside = false;              ///< the runtime writes our id maps, places us or brings interfaces first
  bool user_joined = false;                 ///< the joined user namespace was entered before the clone
};

/// Never returns: becomes the program, or reports the error over the sync (or start) socket and exits.
[[noreturn]] void run_init(InitContext& context);

}  // namespace runtime
