#include "engine/build/mount_points.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/sys.h"

namespace engine::build {
namespace {

bool same_time(const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

std::pair<std::string, std::string> split(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

/// Remembers the existing folders above `path`, outermost first, before anything is made in them.
Result<> MountPoints::note_folders(const std::string& path) {
  for (std::string folder = split(path).first;; folder = split(folder).first) {
    const bool known = std::any_of(touched_.begin(), touched_.end(), [&](const Folder& one) { return one.path == folder; }) ||
                       std::any_of(made_.begin(), made_.end(), [&](const auto& one) { return one.first == folder; });
    if (!known) {
      // Only real folders: a link's target is noted when make_in_root reports the real path.
      if (const auto fd = base::sys::openat2(root_, folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY, 0x10 | 0x04)) {
        Folder one{.path = folder, .before = {}, .after = {}};
        TRY(base::sys::wrap("stat", ::fstat(fd->number(), &one.before)));
        touched_.push_back(one);
      }
    }
    if (folder.empty()) return {};
  }
}

Result<> MountPoints::need(const std::string& path, bool folder) {
  const std::string below = clean_path("/" + path).substr(1);
  if (below.empty() || open_in_root(root_, below, O_PATH)) return {};
  TRY(note_folders(below));
  std::vector<std::string> made;
  const auto [parent, name] = split(below);
  ASSIGN_OR_RETURN(const UniqueFd parent_fd, make_in_root(root_, folder ? below : parent, {}, &made));
  for (auto& one : made) {
    TRY(note_folders(one));
    made_.emplace_back(one, true);
  }
  if (!folder) {
    // Where links led, the real place is not known by name: found again through the same links.
    ASSIGN_OR_RETURN(const UniqueFd file, base::sys::openat(parent_fd.borrow(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
    made_.emplace_back(below, false);
  }
  for (auto& one : touched_)
    if (const auto fd = open_in_root(root_, one.path, O_PATH)) TRY(base::sys::wrap("stat", ::fstat(fd->number(), &one.after)));
  return {};
}

Result<> MountPoints::remove() {
  std::vector<bool> quiet;  // folders whose times nobody changed since we made our mount points
  for (auto& one : touched_) {
    struct stat now {};
    const auto fd = open_in_root(root_, one.path, O_PATH);
    quiet.push_back(fd && ::fstat(fd->number(), &now) == 0 && same_time(now.st_mtim, one.after.st_mtim));
  }
  for (auto made = made_.rbegin(); made != made_.rend(); ++made) {
    const auto [parent, name] = split(made->first);
    const auto folder = open_in_root(root_, parent, O_PATH | O_DIRECTORY);
    if (!folder) continue;
    struct stat info {};
    if (::fstatat(folder->number(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    // A mount point the command filled (through another path) is the command's now.
    if (!made->second && (!S_ISREG(info.st_mode) || info.st_size != 0)) continue;
    (void)::unlinkat(folder->number(), name.c_str(), made->second ? AT_REMOVEDIR : 0);
  }
  for (std::size_t i = 0; i < touched_.size(); ++i) {
    if (!quiet[i]) continue;
    const auto fd = open_in_root(root_, touched_[i].path, O_RDONLY | O_DIRECTORY);
    if (!fd) continue;
    const timespec times[2] = {touched_[i].before.st_atim, touched_[i].before.st_mtim};
    (void)::futimens(fd->number(), times);
  }
  return {};
}

Result<> MountPoints::prune(const std::string& upper) const {
  ASSIGN_OR_RETURN(const UniqueFd root, base::sys::open(upper, O_RDONLY | O_DIRECTORY));
  auto folders = touched_;
  std::sort(folders.begin(), folders.end(), [](const Folder& a, const Folder& b) { return a.path.size() > b.path.size(); });
  for (const auto& one : folders) {
    if (one.path.empty()) continue;
    const auto fd = open_in_root(root.borrow(), one.path, O_RDONLY | O_DIRECTORY);
    if (!fd) continue;
    struct stat now {};
    TRY(base::sys::wrap("stat", ::fstat(fd->number(), &now)));
    char mark[4];
    const bool opaque = ::fgetxattr(fd->number(), "trusted.overlay.opaque", mark, sizeof mark) > 0;
    if (opaque || now.st_mode != one.before.st_mode || now.st_uid != one.before.st_uid || now.st_gid != one.before.st_gid ||
        !same_time(now.st_mtim, one.before.st_mtim))
      continue;
    const auto [parent, name] = split(one.path);
    ASSIGN_OR_RETURN(const UniqueFd parent_fd, open_in_root(root.borrow(), parent, O_RDONLY | O_DIRECTORY));
    struct stat times {};
    TRY(base::sys::wrap("stat", ::fstat(parent_fd.number(), &times)));
    if (::unlinkat(parent_fd.number(), name.c_str(), AT_REMOVEDIR) != 0) continue;  // something is in it
    const timespec kept[2] = {times.st_atim, times.st_mtim};
    (void)::futimens(parent_fd.number(), kept);
  }
  return {};
}

}  // namespace engine::build
