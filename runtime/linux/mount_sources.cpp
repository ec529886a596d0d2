// The runtime's half of mounting: detached trees opened on the host.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/sys.h"
#include "runtime/linux/kernel.h"
#include "runtime/linux/mounts.h"

namespace runtime {

using base::Fd;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

std::string id_map_text(const std::vector<spec::IdMap>& maps) {
  std::string out;
  for (const auto& map : maps)
    out += std::to_string(map.container_id) + " " + std::to_string(map.host_id) + " " + std::to_string(map.size) + "\n";
  return out;
}

Result<UniqueFd> user_namespace_with(const std::vector<spec::IdMap>& uids, const std::vector<spec::IdMap>& gids) {
  // A child holds the namespace until its maps are written; it only waits to be killed.
  ASSIGN_OR_RETURN(auto child, kernel::clone3({.flags = CLONE_NEWUSER, .cgroup = -1}));
  if (child.pid == 0)
    while (true) ::pause();
  const std::string proc = "/proc/" + std::to_string(child.pid);
  const auto fill = [&]() -> Result<UniqueFd> {
    TRY(sys::write_file(proc + "/uid_map", id_map_text(uids)));
    TRY(sys::write_file(proc + "/gid_map", id_map_text(gids)));
    return sys::open(proc + "/ns/user", O_RDONLY);
  };
  auto opened = fill();
  (void)::kill(child.pid, SIGKILL);
  while (::waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return opened;
}

namespace {

/// N of "/proc/self/fd/N".
std::optional<int> descriptor_in(const std::string& path) {
  constexpr std::string_view start = "/proc/self/fd/";
  if (!path.starts_with(start) || path.size() == start.size()) return std::nullopt;
  int number = 0;
  for (const char digit : path.substr(start.size())) {
    if (digit < '0' || digit > '9' || number > 1 << 20) return std::nullopt;
    number = number * 10 + (digit - '0');
  }
  return number;
}

Result<UniqueFd> open_bind_tree(const PlannedMount& mount, const std::string& path) {
  const unsigned flags = OPEN_TREE_CLONE | (mount.recursive ? AT_RECURSIVE : 0U) |
                         (mount.source_nofollow ? AT_SYMLINK_NOFOLLOW : 0U);
  const auto number = descriptor_in(mount.source);
  if (!number) return kernel::open_tree(Fd(AT_FDCWD), path.c_str(), flags);
  auto tree = kernel::open_tree(Fd(*number), "", flags | AT_EMPTY_PATH);
  // Before Linux 6.15 a detached mount can't be cloned: then it is used itself.
  if (!tree && tree.error().number == EINVAL) return sys::dup(Fd(*number));
  return tree;
}

/// Attributes that a mount namespace of a lesser user namespace may not change: mount_namespaces(7).
std::uint64_t lockable_attributes(Fd tree) {
  struct statvfs about {};
  if (::fstatvfs(tree.number(), &about) != 0) return 0;
  std::uint64_t out = 0;
  for (const auto& [flag, attribute] : std::initializer_list<std::pair<unsigned long, std::uint64_t>>{
           {ST_RDONLY, MOUNT_ATTR_RDONLY}, {ST_NOSUID, MOUNT_ATTR_NOSUID}, {ST_NODEV, MOUNT_ATTR_NODEV}, {ST_NOEXEC, MOUNT_ATTR_NOEXEC},
           {ST_NOATIME, MOUNT_ATTR_NOATIME}, {ST_NODIRATIME, MOUNT_ATTR_NODIRATIME}})
    if (about.f_flag & flag) out |= attribute;
  // The default, 0 to mount_setattr(2), is relatime: neither of them is the strict one.
  if ((about.f_flag & (ST_NOATIME | ST_RELATIME)) == 0) out |= MOUNT_ATTR_STRICTATIME;
  return out;
}

/// The bind mount's own attributes. A container in a user namespace could not take away what its source has: here that stays, unless an
/// option asks for it, which is an error.
Result<> set_own_attributes(Fd tree, const PlannedMount& mount, const SourceOptions& options) {
  constexpr std::uint64_t times = MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME;
  mount_attr attributes{};
  attributes.attr_set = mount.attributes.set;
  attributes.attr_clr = mount.attributes.clear;
  // What our caller prepared himself only gets more.
  if (descriptor_in(mount.source)) attributes.attr_clr &= mount.unset | times;
  if (!attributes.attr_set && !attributes.attr_clr) return {};
  const std::uint64_t before = options.user_namespace ? lockable_attributes(tree) : 0;
  if (auto done = kernel::mount_setattr(tree, 0, attributes); !done) {
    if (done.error().number != EPERM) return done;
    attributes.attr_clr &= mount.unset | times;  // locked by the kernel
    return kernel::mount_setattr(tree, 0, attributes);
  }
  if (!options.user_namespace) return {};
  const std::uint64_t after = lockable_attributes(tree);
  std::uint64_t lost = before & ~after;
  const bool other_times = ((before ^ after) & times) != 0;
  if ((lost & mount.unset) != 0 || other_times)
    return base::errno_error(EPERM, "options: attributes of the source that a user namespace may not change");
  // The file system itself may be read-only, which hides what the mount is.
  if (before & MOUNT_ATTR_RDONLY & ~mount.unset) lost |= MOUNT_ATTR_RDONLY;
  if (lost == 0) return {};
  mount_attr kept{};
  kept.attr_set = lost;
  return kernel::mount_setattr(tree, 0, kept);
}

/// The user namespace whose mappings the mount shall have: one of its own, or the container's.
Result<UniqueFd> mapping_namespace(const PlannedMount& mount, const SourceOptions& options) {
  const auto& uids = mount.uid_mappings.empty() && options.uid_mappings ? *options.uid_mappings : mount.uid_mappings;
  const auto& gids = mount.gid_mappings.empty() && options.gid_mappings ? *options.gid_mappings : mount.gid_mappings;
  if (!uids.empty() && !gids.empty()) return user_namespace_with(uids, gids);
  if (!options.joined_user_namespace.valid())
    return base::make_error(base::ErrorKind::invalid, "idmap: neither the mount nor a user namespace has id mappings");
  return sys::dup(options.joined_user_namespace);
}

}  // namespace

Result<> map_ids(Fd tree, const PlannedMount& mount, Fd mapping) {
  if (!mapping.valid()) return {};
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<std::uint64_t>(mapping.number());
  return kernel::mount_setattr(tree, mount.id_mapping == IdMapping::recursive ? AT_RECURSIVE : 0, attributes);
}

Result<> set_attributes(Fd tree, const PlannedMount& mount, const SourceOptions& options) {
  TRY(set_own_attributes(tree, mount, options));
  mount_attr for_tree{};
  for_tree.attr_set = mount.tree_attributes.set;
  for_tree.attr_clr = mount.tree_attributes.clear;
  if (for_tree.attr_set || for_tree.attr_clr) TRY(kernel::mount_setattr(tree, AT_RECURSIVE, for_tree));
  mount_attr propagation{};
  propagation.propagation = mount.propagation.value_or(MS_PRIVATE);
  return kernel::mount_setattr(tree, mount.propagation_recursive ? AT_RECURSIVE : 0, propagation);
}

namespace {

Result<MountSource> open_bind(const PlannedMount& mount, const SourceOptions& options) {
  MountSource out;
  const std::string path = mount.source.starts_with('/') ? mount.source : options.bundle + "/" + mount.source;
  struct stat about {};
  if (mount.copy_symlink && ::lstat(path.c_str(), &about) == 0 && S_ISLNK(about.st_mode)) {
    out.link.resize(4096);
    const ssize_t length = ::readlink(path.c_str(), out.link.data(), out.link.size());
    if (length <= 0) return base::errno_error(errno, "readlink " + path);
    out.link.resize(static_cast<std::size_t>(length));
    return out;
  }
  // What is to take part in the host's later mounts must come from there: the container's root is private.
  const bool stays_tied = mount.propagation.value_or(MS_PRIVATE) != MS_PRIVATE;
  if (!stays_tied && !descriptor_in(mount.source)) out.inside = path_inside(path, options.rootfs);
  if (mount.id_mapping != IdMapping::none) {
    ASSIGN_OR_RETURN(out.mapping, mapping_namespace(mount, options));
  }
  if (!out.inside.empty()) return out;
  auto tree = open_bind_tree(mount, path);
  if (!tree) return base::errno_error(tree.error().number, "bind source " + mount.source);
  out.tree = *std::move(tree);
  if (::fstat(out.tree.number(), &about) != 0) return base::errno_error(errno, mount.source);
  out.folder = S_ISDIR(about.st_mode);
  TRY(map_ids(out.tree.borrow(), mount, out.mapping.borrow()));
  TRY(set_attributes(out.tree.borrow(), mount, options));
  out.mapping.reset();
  return out;
}

Result<> set_hierarchy_attributes(Fd tree, const PlannedMount& mount) {
  mount_attr attributes{};
  attributes.attr_set = mount.attributes.set;
  attributes.attr_clr = mount.attributes.clear;
  attributes.propagation = mount.propagation.value_or(MS_PRIVATE);
  return kernel::mount_setattr(tree, 0, attributes);
}

/// Without a cgroup namespace a v1 container sees its own folder of each hierarchy at /sys/fs/cgroup/NAME, as under runc.
Result<MountSource> open_v1_cgroups(const PlannedMount& mount, const CgroupHost& cgroups, const std::string& cgroup_path) {
  MountSource out;
  for (const Hierarchy& hierarchy : cgroups.hierarchies) {
    const std::string path = hierarchy.mount_point + cgroup_path;
    auto tree = kernel::open_tree(Fd(AT_FDCWD), path.c_str(), OPEN_TREE_CLONE);
    if (!tree) {
      if (tree.error().number == ENOENT) continue;  // rootless: not ours to make
      return base::errno_error(tree.error().number, path);
    }
    TRY(set_hierarchy_attributes(tree->borrow(), mount));
    out.hierarchies.emplace_back(hierarchy.mount_point.substr(hierarchy.mount_point.rfind('/') + 1), *std::move(tree));
  }
  return out;
}

}  // namespace

Result<std::vector<MountSource>> open_sources(const std::vector<PlannedMount>& plan, const CgroupHost& cgroups, const std::string& cgroup_path,
                                              const SourceOptions& options) {
  std::vector<MountSource> sources;
  sources.reserve(plan.size());
  for (const PlannedMount& mount : plan) {
    Result<MountSource> source = MountSource{};
    if (mount.kind == MountKind::bind)
      source = open_bind(mount, options);
    else if (mount.kind == MountKind::cgroup && !cgroups.unified_only() && mount.type != "cgroup2" &&
             !options.new_cgroup_namespace)
      source = open_v1_cgroups(mount, cgroups, cgroup_path);
    if (!source) return std::move(source).with("mounting at " + mount.destination).error();
    sources.push_back(*std::move(source));
  }
  return sources;
}

Result<UniqueFd> open_root(const std::string& path) {
  auto tree = kernel::open_tree(Fd(AT_FDCWD), path.c_str(), OPEN_TREE_CLONE | AT_RECURSIVE);
  if (!tree) return base::errno_error(tree.error().number, "root file system " + path);
  struct stat about {};
  if (::fstat(tree->number(), &about) != 0) return base::errno_error(errno, path);
  if (!S_ISDIR(about.st_mode)) return base::errno_error(ENOTDIR, "root file system " + path);
  mount_attr attributes{};
  attributes.propagation = MS_PRIVATE;
  TRY(kernel::mount_setattr(tree->borrow(), AT_RECURSIVE, attributes));
  return tree;
}

}  // namespace runtime
