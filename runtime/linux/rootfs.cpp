#include "runtime/linux/rootfs.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <set>
#include <string_view>

#include "base/sys.h"
#include "runtime/linux/kernel.h"

namespace runtime {

using base::Fd;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

constexpr int links_max = 40;  // as the kernel's own path walk

/// "/a/b/" → {"/a", "b"}.
std::pair<std::string, std::string> split(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

/// The path a dangling link at parent/name points to, as a path inside the root; "" when it is no link.
std::string link_target(Fd parent, const std::string& parent_path, const std::string& name) {
  std::string text(4096, '\0');
  const ssize_t length = ::readlinkat(parent.number(), name.c_str(), text.data(), text.size());
  if (length <= 0) return {};
  text.resize(static_cast<std::size_t>(length));
  return text.starts_with('/') ? text : parent_path + "/" + text;
}

Result<UniqueFd> make_target(Fd root, const std::string& path, const TargetOptions& options, int links_left);

Result<UniqueFd> open_or_make_parent(Fd root, const std::string& path, int links_left) {
  auto parent = kernel::open_in_root(root, path.empty() ? "/" : path.c_str(), O_PATH | O_DIRECTORY);
  if (parent || parent.error().number != ENOENT) return parent;
  return make_target(root, path, {.kind = TargetKind::folder, .nofollow = false}, links_left);
}

Result<UniqueFd> make_target(Fd root, const std::string& path, const TargetOptions& options, int links_left) {
  if (links_left == 0) return base::errno_error(ELOOP, path);
  const auto [parent_path, name] = split(path);
  ASSIGN_OR_RETURN(const auto parent, open_or_make_parent(root, parent_path, links_left - 1));
  const auto made = options.kind == TargetKind::folder
                        ? sys::wrap("mkdir", ::mkdirat(parent.number(), name.c_str(), 0755))
                        : sys::wrap("mknod", ::mknodat(parent.number(), name.c_str(), S_IFREG | 0644, 0));
  if (!made) {
    if (made.error().number != EEXIST) return base::errno_error(made.error().number, "making " + path);
    // Either a neighbour was faster or it is a dangling link.
    if (const auto target = link_target(parent.borrow(), parent_path, name); !target.empty() && !options.nofollow)
      return make_target(root, target, options, links_left - 1);
  }
  return kernel::open_in_root(parent.borrow(), name.c_str(), O_PATH | O_NOFOLLOW);
}

}  // namespace

Result<UniqueFd> open_target(Fd root, const std::string& path, const TargetOptions& options) {
  const int flags = O_PATH | (options.nofollow ? O_NOFOLLOW : 0);
  auto opened = kernel::open_in_root(root, path.c_str(), flags);
  if (!opened) {
    if (opened.error().number != ENOENT) return opened;
    return make_target(root, path, options, links_max);
  }
  struct stat about {};
  if (::fstat(opened->number(), &about) != 0) return base::errno_error(errno, path);
  if (S_ISDIR(about.st_mode) != (options.kind == TargetKind::folder))
    return base::make_error(base::ErrorKind::invalid, options.kind == TargetKind::folder
                                                          ? "the target is not a directory"
                                                          : "the target is a directory, the source is not");
  return opened;
}

Result<> mask_paths(Fd root, const std::vector<std::string>& paths, const std::string& label) {
  UniqueFd null_device, empty_folder;
  std::set<std::string_view> done;
  for (const std::string& path : paths) {
    if (!done.insert(path).second) continue;
    auto target = kernel::open_in_root(root, path.c_str(), O_PATH);
    if (!target) {
      if (target.error().number == ENOENT || target.error().number == ENOTDIR) continue;
      return std::move(target).error();
    }
    struct stat about {};
    if (::fstat(target->number(), &about) != 0) return base::errno_error(errno, path);
    if (!S_ISDIR(about.st_mode)) {
      if (!null_device.valid()) {
        // From the host's /dev and verified: the container's own could be a link to what must be hidden (CVE-2025-31133).
        ASSIGN_OR_RETURN(null_device, sys::open("/dev/null", O_PATH | O_NOFOLLOW));
        if (::fstat(null_device.number(), &about) != 0 || !S_ISCHR(about.st_mode) || about.st_rdev != makedev(1, 3))
          return base::make_error(base::ErrorKind::permission, "/dev/null is not the null device");
      }
      ASSIGN_OR_RETURN(const auto tree, kernel::open_tree(null_device.borrow(), "", OPEN_TREE_CLONE | AT_EMPTY_PATH));
      TRY(kernel::move_mount(tree.borrow(), target->borrow()).with(path));
      continue;
    }
    UniqueFd tree;
    if (!empty_folder.valid()) {
      ASSIGN_OR_RETURN(const auto context, kernel::fsopen("tmpfs"));
      TRY(kernel::fsconfig_set(context.borrow(), "nr_blocks", "1"));
      TRY(kernel::fsconfig_set(context.borrow(), "mode", "0755"));
      if (!label.empty()) TRY(kernel::fsconfig_set(context.borrow(), "context", label.c_str()));
      ASSIGN_OR_RETURN(tree, kernel::fsmount(context.borrow(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                                                   MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
      TRY(kernel::move_mount(tree.borrow(), target->borrow()).with(path));
      empty_folder = std::move(tree);
    } else {
      ASSIGN_OR_RETURN(tree, kernel::open_tree(empty_folder.borrow(), "", OPEN_TREE_CLONE | AT_EMPTY_PATH));
      TRY(kernel::move_mount(tree.borrow(), target->borrow()).with(path));
    }
  }
  return {};
}

Result<> protect_paths(Fd root, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    auto target = kernel::open_in_root(root, path.c_str(), O_PATH);
    if (!target) {
      if (target.error().number == ENOENT || target.error().number == ENOTDIR) continue;
      return std::move(target).error();
    }
    ASSIGN_OR_RETURN(const auto tree,
                     kernel::open_tree(target->borrow(), "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE));
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY;
    TRY(kernel::mount_setattr(tree.borrow(), AT_RECURSIVE, attributes).with(path));
    TRY(kernel::move_mount(tree.borrow(), target->borrow()).with(path));
  }
  return {};
}

}  // namespace runtime
