#pragma once
// A container's root file system: overlay of the image's layers and the container's own writable layer.
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::containers {

/// Where the writable layer of a container is: paths::container(id)/{upper,work}.
struct WritableLayer {
  std::filesystem::path upper, work;
  /// Overlay's "volatile": unmounting does not flush the whole file system below. For layers that are lost with a crash anyway (builds).
  bool no_sync = false;
};
WritableLayer writable_layer(const std::string& id);

/// Mounts the overlay detached. `layers` bottom → top, possibly empty. The folders of the writable layer are made when missing; without
/// upper (both paths empty) the root is read-only.
/// Before Linux 6.5 (fsconfig takes 256 bytes a string, no lowerdir+) it is mounted in a scratch mount namespace and cloned from there.
/// Errors: not_found (a layer), invalid (too many layers: 500), unsupported, io.
/// Source: Documentation/filesystems/overlayfs.rst; fsopen(2), fsmount(2).
base::Result<base::UniqueFd> mount_root(const std::vector<std::filesystem::path>& layers, const WritableLayer& writable);

/// The way for kernels before 6.5 (mount_root falls back to it by itself).
base::Result<base::UniqueFd> mount_root_legacy(const std::vector<std::filesystem::path>& layers, const WritableLayer& writable);

/// The root of a stopped container as a detached mount to read and write through: cp, export. For a running one use /proc/PID/root:
/// two overlays on one upper directory at a time are undefined.
base::Result<base::UniqueFd> open_stopped_root(const std::string& id, const std::vector<std::filesystem::path>& layers);

enum class ChangeKind : char { added = 'A', changed = 'C', deleted = 'D' };
struct Change {
  ChangeKind kind;
  std::string path;  ///< absolute in the container
  bool operator==(const Change&) const = default;
};
/// What the writable layer changes, parents before children (`docker diff`); its folder itself is the layer that commit packs.
base::Result<std::vector<Change>> changes(const std::string& id, const std::vector<std::filesystem::path>& layers);

/// Bytes in the writable layer.
base::Result<std::int64_t> size_of_changes(const std::string& id);

/// Deletes the container's folder: writable layer, config, logs and all. Missing is success.
base::Result<> remove_files(const std::string& id);
/// Removes the folders of containers that nobody has a record of: what a kill in the middle of a creation leaves. Young ones stay: they
/// may be somebody's who is about to write his record.
void sweep_files(const std::set<std::string>& recorded, std::chrono::seconds young);

}  // namespace engine::containers
