// The runtime's half of mounting: detached trees opened on the host.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
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

}  // namespace

Result<> set_attributes(Fd tree, const PlannedMount& mount) {
  mount_attr attributes{};
  attributes.attr_set = mount.attributes.set;
  attributes.attr_clr = mount.attributes.clear;
  if (!mount.recursive && !mount.tree_attributes.set && !mount.tree_attributes.clear) {  // one mount, one call
    attributes.propagation = mount.propagation.value_or(MS_PRIVATE);
    return kernel::mount_setattr(tree, 0, attributes);
  }
  if (attributes.attr_set || attributes.attr_clr) TRY(kernel::mount_setattr(tree, 0, attributes));
  mount_attr for_tree{};
  for_tree.attr_set = mount.tree_attributes.set;
  for_tree.attr_clr = mount.tree_attributes.clear;
  if (for_tree.attr_set || for_tree.attr_clr) TRY(kernel::mount_setattr(tree, AT_RECURSIVE, for_tree));
  mount_attr propagation{};
  propagation.propagation = mount.propagation.value_or(MS_PRIVATE);
  return kernel::mount_setattr(tree, mount.propagation_recursive ? AT_RECURSIVE : 0, propagation);
}

namespace {

Result<> map_ids(Fd tree, const PlannedMount& mount, const SourceOptions& options) {
  const auto& uids = mount.uid_mappings.empty() && options.uid_mappings ? *options.uid_mappings : mount.uid_mappings;
  const auto& gids = mount.gid_mappings.empty() && options.gid_mappings ? *options.gid_mappings : mount.gid_mappings;
  if (uids.empty() || gids.empty())
    return base::make_error(base::ErrorKind::invalid, "idmap: neither the mount nor a user namespace has id mappings");
  ASSIGN_OR_RETURN(const auto space, user_namespace_with(uids, gids));
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<std::uint64_t>(space.number());
  return kernel::mount_setattr(tree, mount.id_mapping == IdMapping::recursive ? AT_RECURSIVE : 0, attributes);
}

/// `path` as seen from `rootfs`; "" when it is not below it. Nothing but the words are looked at: what a link or ".." on the way would
/// mean depends on the mounts that come before.
std::string path_inside(const std::string& path, const std::string& rootfs) {
  // With the host's own root every source would be below it.
  const auto root = std::filesystem::path(rootfs + "/").lexically_normal().string();
  if (rootfs.empty() || root == "/" || path.find("/../") != std::string::npos || path.ends_with("/..")) return {};
  const auto source = std::filesystem::path(path).lexically_normal().string();
  return source.size() > root.size() && source.starts_with(root) ? source.substr(root.size() - 1) : std::string();
}

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
  if (mount.id_mapping == IdMapping::none && !stays_tied && !descriptor_in(mount.source)) out.inside = path_inside(path, options.rootfs);
  if (!out.inside.empty()) return out;
  auto tree = open_bind_tree(mount, path);
  if (!tree) return base::errno_error(tree.error().number, "bind source " + mount.source);
  out.tree = *std::move(tree);
  if (::fstat(out.tree.number(), &about) != 0) return base::errno_error(errno, mount.source);
  out.folder = S_ISDIR(about.st_mode);
  if (mount.id_mapping != IdMapping::none) TRY(map_ids(out.tree.borrow(), mount, options));
  TRY(set_attributes(out.tree.borrow(), mount));
  return out;
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
    TRY(set_attributes(tree->borrow(), mount));
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
