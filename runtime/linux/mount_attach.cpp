// Init's half of mounting: new file systems in its own namespaces, and everything moved into the root.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "runtime/linux/kernel.h"
#include "runtime/linux/mounts.h"
#include "runtime/linux/rootfs.h"

namespace runtime {

using base::Fd;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

/// Attributes fsmount(2) takes directly, which saves a mount_setattr.
unsigned fsmount_attributes(const PlannedMount& mount) {
  return static_cast<unsigned>(mount.attributes.set | (mount.tree_attributes.set & ~static_cast<std::uint64_t>(MOUNT_ATTR__ATIME)));
}

Result<UniqueFd> make_filesystem(const PlannedMount& mount, const AttachOptions& options) {
  ASSIGN_OR_RETURN(const auto context, kernel::fsopen(mount.type.c_str()));
  const Fd fs = context.borrow();
  if (!mount.source.empty()) TRY(kernel::fsconfig_set(fs, "source", mount.source.c_str()));
  for (const auto& [key, value] : mount.data) {
    if (key == "newinstance") continue;  // always so since Linux 4.7, and unknown to some kernels
    TRY(kernel::fsconfig_set(fs, key.c_str(), value ? value->c_str() : nullptr));
  }
  if (!options.mount_label.empty() && mount.type != "sysfs" && mount.type != "proc" && mount.type != "cgroup" &&
      mount.type != "cgroup2")
    TRY(kernel::fsconfig_set(fs, "context", options.mount_label.c_str()));
  // Read-only is a matter of the mount, except for file systems on devices, whose superblock is this container's alone.
  return kernel::fsmount(fs, fsmount_attributes(mount));
}

/// Without a network namespace of its own a user namespace may not mount sysfs: the host's tree is what it would show.
Result<UniqueFd> filesystem_or_substitute(const PlannedMount& mount, const AttachOptions& options) {
  auto tree = make_filesystem(mount, options);
  if (tree || !options.user_namespace || tree.error().number != EPERM || mount.type != "sysfs") return tree;
  return kernel::open_tree(Fd(AT_FDCWD), "/sys", OPEN_TREE_CLONE | AT_RECURSIVE);
}

Result<> set_propagation(Fd tree, const PlannedMount& mount) {
  if (!mount.propagation) return {};
  mount_attr attributes{};
  attributes.propagation = *mount.propagation;
  return kernel::mount_setattr(tree, mount.propagation_recursive ? AT_RECURSIVE : 0, attributes);
}

Result<> attach_cgroup_v2(Fd target, const PlannedMount& mount, const AttachOptions& options) {
  PlannedMount filesystem = mount;
  filesystem.type = "cgroup2";
  filesystem.source = "cgroup2";
  filesystem.data.clear();  // options of the hierarchy belong to the host's mount of it
  auto tree = make_filesystem(filesystem, options);
  // In a user namespace without a cgroup namespace of its own only the existing mount can be shown.
  if (!tree && (tree.error().number == EPERM || tree.error().number == EBUSY))
    tree = kernel::open_tree(Fd(AT_FDCWD), "/sys/fs/cgroup", OPEN_TREE_CLONE | AT_RECURSIVE);
  if (!tree) return std::move(tree).error();
  return kernel::move_mount(tree->borrow(), target);
}

Result<UniqueFd> make_v1_hierarchy(const Hierarchy& hierarchy, const PlannedMount& mount) {
  ASSIGN_OR_RETURN(const auto context, kernel::fsopen(hierarchy.unified ? "cgroup2" : "cgroup"));
  for (const std::string& name : hierarchy.controllers) {
    if (hierarchy.unified) break;
    if (name.starts_with("name=")) {
      TRY(kernel::fsconfig_set(context.borrow(), "none", nullptr));
      TRY(kernel::fsconfig_set(context.borrow(), "name", name.c_str() + 5));
    } else {
      TRY(kernel::fsconfig_set(context.borrow(), name.c_str(), nullptr));
    }
  }
  return kernel::fsmount(context.borrow(), fsmount_attributes(mount));
}

/// A tmpfs with a folder for each hierarchy, links for controllers that share one, as systemd lays it out.
Result<> attach_cgroup_v1(Fd target, const PlannedMount& mount, MountSource& source, const CgroupHost& cgroups,
                          const AttachOptions& options) {
  PlannedMount folder = mount;
  folder.type = "tmpfs";
  folder.source = "tmpfs";
  folder.data = {{"mode", "755"}};
  const std::uint64_t read_only = folder.attributes.set & MOUNT_ATTR_RDONLY;
  folder.attributes.set &= ~read_only;
  ASSIGN_OR_RETURN(const auto tree, make_filesystem(folder, options));
  TRY(kernel::move_mount(tree.borrow(), target));
  if (options.new_cgroup_namespace)
    for (const Hierarchy& hierarchy : cgroups.hierarchies) {
      ASSIGN_OR_RETURN(auto mounted, make_v1_hierarchy(hierarchy, mount));
      source.hierarchies.emplace_back(hierarchy.mount_point.substr(hierarchy.mount_point.rfind('/') + 1), std::move(mounted));
    }
  for (const auto& [name, hierarchy] : source.hierarchies) {
    TRY(sys::wrap("mkdir " + name, ::mkdirat(tree.number(), name.c_str(), 0755)));
    ASSIGN_OR_RETURN(const auto place, sys::openat(tree.borrow(), name, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    TRY(kernel::move_mount(hierarchy.borrow(), place.borrow()));
  }
  for (const Hierarchy& hierarchy : cgroups.hierarchies) {
    if (hierarchy.unified || hierarchy.controllers.size() < 2) continue;
    const auto name = hierarchy.mount_point.substr(hierarchy.mount_point.rfind('/') + 1);
    for (const auto& controller : hierarchy.controllers)
      if (controller != name && ::symlinkat(name.c_str(), tree.number(), controller.c_str()) != 0 && errno != EEXIST)
        return base::errno_error(errno, "symlink " + controller);
  }
  if (!read_only) return {};
  mount_attr attributes{};
  attributes.attr_set = read_only;
  return kernel::mount_setattr(tree.borrow(), 0, attributes);
}

Result<> remount(Fd target, const PlannedMount& mount) {
  mount_attr attributes{};
  attributes.attr_set = mount.attributes.set;
  attributes.attr_clr = mount.attributes.clear;
  TRY(kernel::mount_setattr(target, 0, attributes));
  return set_propagation(target, mount);
}

Result<> make_link(Fd root, const PlannedMount& mount, const std::string& text) {
  const std::size_t slash = mount.destination.rfind('/');
  const std::string folder = mount.destination.substr(0, std::max<std::size_t>(slash, 1));
  ASSIGN_OR_RETURN(const auto parent, open_target(root, folder, {}));
  const std::string name = mount.destination.substr(slash + 1);
  if (::symlinkat(text.c_str(), parent.number(), name.c_str()) == 0 || errno == EEXIST) return {};
  return base::errno_error(errno, "symlink");
}

/// The permissions of the folder a tmpfs without "mode" is put on, for it to look the same: as under runc. "" where there is none.
std::string mode_to_inherit(Fd root, const PlannedMount& mount) {
  const auto is_mode = [](const auto& parameter) { return parameter.first == "mode"; };
  if (mount.type != "tmpfs" || std::ranges::any_of(mount.data, is_mode)) return {};
  const auto folder = kernel::open_in_root(root, mount.destination.c_str(), O_PATH | O_DIRECTORY);
  struct stat about {};
  if (!folder || ::fstat(folder->number(), &about) != 0) return {};
  char text[16];
  std::snprintf(text, sizeof text, "%o", about.st_mode & 07777U);
  return text;
}

/// A source inside the root, now that everything before it is mounted; links in it stay inside, too.
Result<> open_inside(Fd root, const PlannedMount& mount, MountSource& source, const AttachOptions& options) {
  ASSIGN_OR_RETURN(const auto place, kernel::open_in_root(root, source.inside.c_str(), O_PATH | (mount.source_nofollow ? O_NOFOLLOW : 0)));
  struct stat about {};
  if (::fstat(place.number(), &about) != 0) return base::errno_error(errno, mount.source);
  source.folder = S_ISDIR(about.st_mode);
  ASSIGN_OR_RETURN(source.tree, kernel::open_tree(place.borrow(), "", OPEN_TREE_CLONE | AT_EMPTY_PATH | (mount.recursive ? AT_RECURSIVE : 0U)));
  if (source.mapping.valid())
    TRY(options.map_ids ? options.map_ids(mount, source.tree.borrow()) : map_ids(source.tree.borrow(), mount, source.mapping.borrow()));
  return set_attributes(source.tree.borrow(), mount, *options.sources);
}

Result<> attach_one(Fd root, const PlannedMount& mount, MountSource& source, const CgroupHost& cgroups,
                    const AttachOptions& options, std::vector<UniqueFd>& read_only) {
  if (!source.link.empty()) return make_link(root, mount, source.link);
  if (!source.inside.empty()) TRY(open_inside(root, mount, source, options).with("bind source " + mount.source));
  // What is masked and written below /proc and /sys relies on their being there and nowhere else (CVE-2019-19921).
  const bool kernel_files = mount.kind == MountKind::filesystem && (mount.type == "proc" || mount.type == "sysfs");
  const std::string inherited = mount.kind == MountKind::filesystem ? mode_to_inherit(root, mount) : std::string();
  const auto target = open_target(root, mount.destination,
                                  {.kind = source.folder ? TargetKind::folder : TargetKind::file,
                                   .nofollow = mount.destination_nofollow || kernel_files});
  if (!target && kernel_files && target.error().kind == base::ErrorKind::invalid)
    return base::make_error(base::ErrorKind::invalid, "filesystem \"" + mount.type + "\" must be mounted on ordinary directory");
  if (!target) return target.error();
  switch (mount.kind) {
    case MountKind::remount: return remount(target->borrow(), mount);
    case MountKind::bind: return kernel::move_mount(source.tree.borrow(), target->borrow());
    case MountKind::cgroup:
      if (cgroups.unified_only() || mount.type == "cgroup2") return attach_cgroup_v2(target->borrow(), mount, options);
      return attach_cgroup_v1(target->borrow(), mount, source, cgroups, options);
    case MountKind::filesystem: break;
  }
  PlannedMount plain = mount;
  // A new tmpfs is empty: what is copied, mounted or made in it comes before it may become read-only.
  const bool later = mount.type == "tmpfs" && (mount.attributes.set & MOUNT_ATTR_RDONLY) != 0;
  if (!inherited.empty()) plain.data.emplace_back("mode", inherited);
  if (later) plain.attributes.set &= ~static_cast<std::uint64_t>(MOUNT_ATTR_RDONLY);
  ASSIGN_OR_RETURN(auto tree, filesystem_or_substitute(plain, options));
  if (mount.copy_up) {
    ASSIGN_OR_RETURN(const auto from, kernel::open_in_root(root, mount.destination.c_str(), O_RDONLY | O_DIRECTORY));
    TRY(copy_tree(from.borrow(), tree.borrow()));
  }
  TRY(kernel::move_mount(tree.borrow(), target->borrow()));
  TRY(set_propagation(tree.borrow(), mount));
  if (later) read_only.push_back(std::move(tree));
  return {};
}

}  // namespace

Result<std::vector<UniqueFd>> attach_mounts(Fd root, const std::vector<PlannedMount>& plan, std::vector<MountSource>& sources,
                                            const CgroupHost& cgroups, const AttachOptions& options) {
  std::vector<UniqueFd> read_only;
  for (std::size_t index = 0; index < plan.size(); ++index) {
    auto done = attach_one(root, plan[index], sources[index], cgroups, options, read_only);
    if (!done) TRY(std::move(done).with("mounting " + (plan[index].type.empty() ? "bind" : plan[index].type) + " at " + plan[index].destination));
    sources[index] = MountSource{};
  }
  return read_only;
}

}  // namespace runtime
