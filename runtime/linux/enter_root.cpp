// The container's root becomes "/", and what the host has mounted goes out of reach.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <set>
#include <vector>

#include "base/sys.h"
#include "runtime/linux/kernel.h"
#include "runtime/linux/rootfs.h"
#include "runtime/linux/text.h"

namespace runtime {

using base::Fd;
using base::Result;
namespace sys = base::sys;

namespace {

struct HostMount {
  std::uint64_t id = 0, parent = 0;
  std::string place, type;
};

std::uint64_t number(std::string_view text) {
  std::uint64_t out = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

/// One line of mountinfo: proc_pid_mountinfo(5).
HostMount parse_line(std::string_view line) {
  HostMount out;
  std::size_t index = 0, separator = 0;
  for_each_word(line, ' ', [&](std::string_view word) {
    if (index == 0) out.id = number(word);
    if (index == 1) out.parent = number(word);
    if (index == 4) out.place = unescape_mountinfo(word);
    if (separator != 0 && index == separator + 1) out.type = word;
    if (index > 5 && word == "-") separator = index;
    ++index;
  });
  return out;
}

Result<std::uint64_t> mount_of(Fd file) {
  struct statx about {};
  TRY(sys::wrap("statx", ::statx(file.number(), "", AT_EMPTY_PATH, STATX_MNT_ID, &about)));
  return std::uint64_t{about.stx_mnt_id};
}

/// The mounts of a namespace: paths don't tell those of the host and of the container apart, since its root may lie above "/".
struct MountTable {
  std::uint64_t root_id = 0, top_id = 0;  ///< of the container's root, of the host's "/"
  std::vector<HostMount> host;            ///< in the kernel's order, without "/" itself
  std::string root_place;                 ///< of the container's root
};

Result<MountTable> read_table(Fd proc, Fd root, Fd top) {
  MountTable table;
  ASSIGN_OR_RETURN(const auto text, sys::read_file_at(proc, "self/mountinfo"));
  ASSIGN_OR_RETURN(table.root_id, mount_of(root));
  ASSIGN_OR_RETURN(table.top_id, mount_of(top));
  for_each_word(text, '\n', [&](std::string_view line) { table.host.push_back(parse_line(line)); });
  std::set<std::uint64_t> container{table.root_id};
  for (bool grown = true; grown;) {
    grown = false;
    for (const HostMount& mount : table.host) {
      if (mount.id == table.root_id) table.root_place = mount.place;
      if (container.contains(mount.parent) && container.insert(mount.id).second) grown = true;
    }
  }
  std::erase_if(table.host, [&](const HostMount& mount) { return mount.id == table.top_id || container.contains(mount.id); });
  return table;
}

/// Without pivot_root(2) the namespace keeps the host's mounts below the container's root. No path leads there, but the kernel lets a
/// user namespace mount procfs and sysfs as long as an uncovered one is anywhere in its mount namespace (mount_too_revealing() in
/// fs/namespace.c): the host's would undo what is masked in the container's own.
Result<> drop_host_mounts(Fd proc, Fd root, Fd top) {
  ASSIGN_OR_RETURN(auto table, read_table(proc, root, top));
  // The last first: it may cover an earlier one. What can't go now may when another one is gone.
  for (bool dropped = true; dropped && !table.host.empty();) {
    dropped = false;
    for (auto mount = table.host.rbegin(); mount != table.host.rend(); ++mount)
      if (::umount2(mount->place.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) dropped = true;
    ASSIGN_OR_RETURN(table, read_table(proc, root, top));
  }
  // In a user namespace they are locked to each other. A cover counts for whoever comes below: there it is locked, too.
  for (const HostMount& mount : table.host) {
    if (mount.type != "proc" && mount.type != "sysfs") continue;
    const int done = ::mount("tmpfs", mount.place.c_str(), "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k");
    if (done != 0 && errno != ENOENT && errno != ENOTDIR) return base::errno_error(errno, "covering the host's " + mount.place);
  }
  return {};
}

Result<> move_above(Fd root, Fd proc) {
  ASSIGN_OR_RETURN(const auto top, sys::open("/", O_PATH | O_DIRECTORY));
  ASSIGN_OR_RETURN(const auto table, read_table(proc, root, top.borrow()));
  // First of all: what it lies on is about to go.
  if (table.root_place != "/") TRY(kernel::move_mount(root, top.borrow()).with("moving the root"));
  return drop_host_mounts(proc, root, top.borrow());
}

}  // namespace

Result<> enter_root(Fd root, RootSwitch how, Fd proc) {
  TRY(sys::wrap("fchdir to the root", ::fchdir(root.number())));
  if (how == RootSwitch::pivot) {
    // pivot_root(2): "." for both stacks the old root above the new one; unmounting it uncovers the new one.
    TRY(sys::wrap("pivot_root", ::syscall(SYS_pivot_root, ".", ".")));
    TRY(sys::wrap("unmounting the old root", ::umount2(".", MNT_DETACH)));
  } else {
    if (how == RootSwitch::move) TRY(move_above(root, proc));
    TRY(sys::wrap("chroot", ::chroot(".")));
  }
  TRY(sys::wrap("chdir", ::chdir("/")));
  return {};
}

}  // namespace runtime
