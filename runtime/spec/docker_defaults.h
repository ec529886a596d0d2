#pragma once
// What Docker 28 gives a container that asks for nothing, as data for whoever writes config.json. Pure unless noted.
// Source: the config.json that dockerd 28.5 hands to runc; moby profiles/seccomp, oci/defaults.go, oci/caps.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/spec/spec.h"

namespace runtime::spec::docker {

/// The 14 capabilities of an ordinary container.
std::vector<std::string> default_capabilities();
/// What `--cap-add ALL` and `--privileged` mean: every capability this process may hand on (its bounding set). Reads /proc.
std::vector<std::string> all_capabilities();

struct CapabilityChange {
  std::vector<std::string> add, drop;  ///< with or without "CAP_", any case, or "ALL"
  bool privileged = false;
};
/// Docker's rule: drop ALL starts from nothing, add ALL from everything. Error invalid naming an unknown capability.
base::Result<std::vector<std::string>> tweak_capabilities(const CapabilityChange& change);
/// The five sets as Docker fills them: bounding, effective and permitted. For another user than root execve itself empties the
/// last two, so `as_root` changes nothing today.
Capabilities capability_sets(const std::vector<std::string>& capabilities, bool as_root);

/// "/proc/kcore" and so on. With `thermal` (per-cpu thermal_throttle paths that exist here): see masked_thermal_paths().
std::vector<std::string> masked_paths();
/// /sys/devices/system/cpu/cpuN/thermal_throttle that exist on this machine. Reads /sys.
std::vector<std::string> masked_thermal_paths();
std::vector<std::string> readonly_paths();

/// Deny all, then null, zero, full, random, urandom, tty, console. The runtime adds ptmx, pts and mknod rights itself.
std::vector<DeviceRule> device_rules();
/// A rule that allows everything (privileged).
DeviceRule allow_all_devices();

struct MountChoice {
  std::int64_t shm_size_bytes = 64 << 20;
  bool privileged = false;      ///< /sys and /sys/fs/cgroup writable
  bool own_shm = true;          ///< false: the caller mounts /dev/shm itself (ipc shared with another container)
};
/// proc, /dev, /dev/pts, /sys, /sys/fs/cgroup, /dev/mqueue, /dev/shm in Docker's order.
std::vector<Mount> mounts(const MountChoice& choice);
inline std::vector<Mount> mounts() { return mounts(MountChoice{}); }

/// mount, network, uts, pid, ipc; and cgroup with `private_cgroup` (Docker's default on cgroup v2 hosts).
std::vector<Namespace> namespaces(bool private_cgroup = false);

/// Ports below 1024 and ping without privileges (only for a container with a network namespace of its own).
std::map<std::string, std::string> sysctls();

/// Docker's default seccomp profile for a container with these capabilities ("CAP_SYS_ADMIN" opens mount, …).
Seccomp seccomp_profile(const std::vector<std::string>& capabilities);
/// A profile in moby's file format (`security_opt: seccomp=FILE`: archMap, includes, excludes) or in OCI's, resolved for these
/// capabilities and this machine. Error invalid with the place.
base::Result<Seccomp> seccomp_from_profile(std::string_view json, const std::vector<std::string>& capabilities);

/// All of the above together for a container run as root: what `docker run IMAGE` gives.
/// The caller fills root.path, process.args, process.env, hostname, cgroups_path and its own mounts.
Config config();

}  // namespace runtime::spec::docker
