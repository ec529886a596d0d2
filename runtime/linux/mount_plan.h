#pragma once
// What config.json's mounts mean to the kernel, decided before anything is mounted.
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "runtime/spec/spec.h"

namespace runtime {

enum class MountKind : std::uint8_t {
  filesystem,  ///< a new instance by fsopen
  bind,        ///< a clone of an existing tree
  cgroup,      ///< the container's cgroups: cgroup2, or a tmpfs with every v1 hierarchy
  remount,     ///< new attributes for what is mounted there already
};

/// mount_setattr(2) in the making: bits to set and to clear.
struct AttributeChange {
  std::uint64_t set = 0, clear = 0;
  bool operator==(const AttributeChange&) const = default;
};

enum class IdMapping : std::uint8_t { none, mount, recursive };

struct PlannedMount {
  MountKind kind = MountKind::filesystem;
  std::string type, source, destination;             ///< destination is absolute in the container
  std::vector<std::pair<std::string, std::optional<std::string>>> data;  ///< file system parameters; no value = a flag
  AttributeChange attributes;                        ///< of the mount itself
  std::uint64_t unset = 0;                           ///< of a bind mount: attributes its options take away by name ("rw")
  AttributeChange tree_attributes;                   ///< of it and all below ("rro")
  std::optional<std::uint64_t> propagation;          ///< MS_PRIVATE …; absent = private
  bool propagation_recursive = true;
  bool recursive = false;                            ///< rbind
  bool copy_up = false;                              ///< tmpcopyup
  bool copy_symlink = false, source_nofollow = false, destination_nofollow = false;
  IdMapping id_mapping = IdMapping::none;
  std::vector<spec::IdMap> uid_mappings, gid_mappings;  ///< its own; empty = those of the container's user namespace
  std::size_t index = 0;                             ///< in config.mounts
};

/// Pure. Errors (invalid) name the mount and the option. Source: runtime-spec config.md "Mounts".
base::Result<std::vector<PlannedMount>> plan_mounts(const spec::Config& config);

/// `path` as seen from `rootfs`, both absolute; "" when it is not below it, or `rootfs` is "" or "/". Nothing but the words are looked at,
/// and a path with ".." is not below: what links and ".." mean depends on what is mounted.
std::string path_inside(const std::string& path, const std::string& rootfs);

/// MS_… flags of "rprivate" and so on, MS_REC included; nothing for another word.
std::optional<unsigned long> propagation_flags(std::string_view word);

/// Every option word the runtime gives a meaning to (for `features`).
std::vector<std::string> known_mount_options();

}  // namespace runtime
