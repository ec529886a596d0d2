#pragma once
// Storage a container can have mounted. Everything is handed out as a *detached* mount (a descriptor): the host's mount table never
// shows it and a crash leaks nothing. Needs CAP_SYS_ADMIN in the mount namespace's owner.
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace volumes {

enum class ReadOnly : std::uint8_t {
  no,
  shallow,    ///< this mount only; mounts below it stay writable
  recursive,  ///< with every mount below, where the kernel can (5.12)
  forced,     ///< the same, else Error unsupported
};

struct BindOptions {
  ReadOnly read_only = ReadOnly::no;
  bool recursive = true;          ///< with the mounts below the source
  std::string propagation;        ///< "" = rprivate | private | rshared | shared | rslave | slave
  bool create_directory = false;  ///< make a missing source directory, 0755, owned by `owner`
  std::optional<std::pair<uid_t, gid_t>> owner;  ///< absent: the owner of the nearest existing parent folder (the caller's own project)
};

/// A clone of the tree at `source` (directory, file, socket or device).
/// A missing source is created as a directory only with create_directory, and never when its name looks like a file's ("init.sql",
/// "config.yaml": Docker makes such a directory and the service fails in obscure ways): that is Error not_found with a hint.
/// Errors: not_found, invalid (propagation), permission, unsupported (forced).
/// Source: open_tree(2), mount_setattr(2).
base::Result<base::UniqueFd> bind(const std::filesystem::path& source, const BindOptions& options);

/// The same for something below `root` that is resolved without leaving it ("..", absolute and magic links cannot): subpaths.
base::Result<base::UniqueFd> bind_beneath(base::Fd root, const std::filesystem::path& subpath, const BindOptions& options);

struct TmpfsOptions {
  std::int64_t size_bytes = 0;    ///< 0 = the kernel's default, half of memory
  std::uint32_t mode = 01777;
  /// Comma-separated, as in `tmpfs: /run:size=64m,uid=1000,exec`; wins over the fields. Flags: ro rw exec noexec suid nosuid dev nodev
  /// noatime …; data: size mode uid gid nr_inodes nr_blocks huge mpol. Default flags: noexec nosuid nodev (Docker's).
  std::string options;
  bool read_only = false;
};
/// The same as mount option words for an OCI config: "noexec", "size=64m" … Pure. Errors: invalid (unknown option).
base::Result<std::vector<std::string>> tmpfs_words(const TmpfsOptions& options);
/// Errors: invalid (unknown option).
base::Result<base::UniqueFd> tmpfs(const TmpfsOptions& options);

/// How a named volume is kept: `data` is its folder, `driver_opts` the Compose file's (type, o, device of the local driver).
struct Volume {
  std::filesystem::path data;     ///< state/volumes/NAME/_data
  std::map<std::string, std::string> driver_opts;
};

/// Makes the folder of a volume. Existing is success. Errors: invalid (driver_opts), permission, exhausted.
base::Result<> create(const Volume& volume);
/// Removes the folder with all in it. Missing is success. What driver_opts point at (a bind's device, an nfs share) is not touched.
base::Result<> remove(const Volume& volume);
/// Checks driver_opts without doing anything: Error invalid names the option.
base::Result<> check(const std::map<std::string, std::string>& driver_opts);

struct UseOptions {
  std::string subpath;            ///< must exist in the volume; resolved beneath it
  ReadOnly read_only = ReadOnly::no;
  std::string propagation;
};
/// The volume as a detached mount: its folder, or with driver_opts the bind, tmpfs, nfs, cifs or block file system they describe.
/// nfs and cifs resolve a host name in `addr=` and may block on the network for the kernel's mount time-out.
/// Errors: not_found (subpath, device), invalid, unavailable (server), unsupported (no such file system in this kernel).
base::Result<base::UniqueFd> use(const Volume& volume, const UseOptions& options);

/// Makes a detached mount read-only.
base::Result<> restrict(base::Fd mount, ReadOnly how);

/// The mount at `path` in the mount namespace of process `pid`, cloned: what that process sees there can be shared with another container
/// (its /dev/shm, a tmpfs volume). `path` is resolved inside the process's root. `recursive`: with what is mounted below it. Uses a short-lived thread.
/// Errors: not_found (process, path), invalid (no mount there).
base::Result<base::UniqueFd> clone_from(pid_t pid, const std::filesystem::path& path, bool recursive = true);

/// Fills an empty volume with what the image has at the mount point: files, links, hard links, owners, modes, times, xattrs. The
/// volume's root takes owner and mode of the image's folder. Nothing happens (false) when `to` is not empty.
/// Crash-safe: copied into a hidden folder first, then moved; a half copy is not mistaken for content.
/// `from` and `to` are directory descriptors (O_RDONLY|O_DIRECTORY, not O_PATH). Uses reflink or copy_file_range.
base::Result<bool> copy_up(base::Fd from, base::Fd to);

/// The tree copied as above, no emptiness asked: for `cp`, export and the builder.
base::Result<> copy_tree(base::Fd from, base::Fd to);

}  // namespace volumes
