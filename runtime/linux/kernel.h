#pragma once
// System calls newer than Debian 12's C library, and constants newer than its headers (Linux 6.1). Every wrapper passes the
// fault sweep. Flags are the kernel's.
#include <linux/mount.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

namespace runtime::kernel {

/// fsopen(2).
base::Result<base::UniqueFd> fsopen(const char* type);
/// fsconfig(2) FSCONFIG_SET_STRING, or SET_FLAG with a null `value`.
base::Result<> fsconfig_set(base::Fd context, const char* key, const char* value);
/// FSCONFIG_CMD_CREATE, then fsmount(2) with MOUNT_ATTR_… flags. The error carries the kernel's own log line, when it left one.
base::Result<base::UniqueFd> fsmount(base::Fd context, unsigned attributes);
/// open_tree(2); OPEN_TREE_CLOEXEC is added.
base::Result<base::UniqueFd> open_tree(base::Fd dir, const char* path, unsigned flags);
/// move_mount(2) of the detached mount `tree` onto the object `target`, both by descriptor.
base::Result<> move_mount(base::Fd tree, base::Fd target);
/// mount_setattr(2) on the mount `tree`. `flags`: AT_RECURSIVE or 0.
base::Result<> mount_setattr(base::Fd tree, unsigned flags, const mount_attr& attributes);
/// openat2(2) with RESOLVE_IN_ROOT: nothing in `path`, links included, leads out of `root`.
base::Result<base::UniqueFd> open_in_root(base::Fd root, const char* path, int flags, mode_t mode = 0);

/// Opens a file of the host's procfs and checks that it is one: a bind mount or link in its place must not be written to.
base::Result<base::UniqueFd> open_proc(const char* path, int flags);
/// One write(2) of all of `text`.
base::Result<> write_once(base::Fd file, std::string_view text);
/// The same to a file below `dir`, a procfs: what is no file of one is refused.
base::Result<> write_at(base::Fd dir, const char* path, std::string_view text);

/// Whether these security modules are active: their file systems are there.
bool has_apparmor();
bool has_selinux();

/// setns(2) by a pidfd or a namespace descriptor.
base::Result<> setns(base::Fd fd, int flags);

struct CloneOptions {
  std::uint64_t flags = 0;       ///< CLONE_NEW…, CLONE_PARENT
  int cgroup = -1;               ///< CLONE_INTO_CGROUP of this cgroup2 folder
};
struct Cloned {
  pid_t pid = -1;                ///< 0 in the child
  base::UniqueFd pidfd;
};
/// clone3(2) without shared memory, like fork. With CLONE_PARENT our caller gets the SIGCHLD.
base::Result<Cloned> clone3(const CloneOptions& options);

/// Marks every descriptor from `first` on close-on-exec, except nothing.
base::Result<> close_on_exec_from(unsigned first);

/// Closes every descriptor from `first` on that is not in `kept` (invalid ones there are passed over).
base::Result<> close_others(unsigned first, std::vector<base::Fd> kept);

}  // namespace runtime::kernel
