// Copying trees with everything a file has.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <map>

#include "base/sys.h"
#include "volumes/volumes.h"

namespace volumes {
namespace {

/// The unfinished copy; a leading dot and the length make a clash with an image's file practically impossible.
constexpr const char* staging_name = ".compose-copy-up-unfinished";
constexpr int depth_max = 1000;

std::string proc_path(base::Fd fd) { return "/proc/self/fd/" + std::to_string(fd.number()); }

base::Result<std::vector<std::string>> entries(base::Fd dir) {
  ASSIGN_OR_RETURN(auto again, base::sys::openat(dir, ".", O_RDONLY | O_DIRECTORY));
  DIR* stream = ::fdopendir(again.number());
  if (!stream) return base::errno_error(errno, "read directory");
  (void)again.release();
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  ::closedir(stream);
  return names;
}

/// One copy in progress.
class Copier {
 public:
  explicit Copier(base::Fd root) : root_(root) {}

  base::Result<> directory(base::Fd from, base::Fd to, const std::string& below, int depth) {
    if (depth > depth_max) return base::make_error(base::ErrorKind::exhausted, "directories nest too deep");
    ASSIGN_OR_RETURN(const auto names, entries(from));
    for (const auto& name : names) TRY(entry(from, to, name, below, depth).with("copying " + below + name));
    return {};
  }

  /// Owner, xattrs, mode, times: in this order, since a change of owner clears setuid bits and file capabilities.
  static base::Result<> attributes(const std::string& from, const std::string& to, const struct stat& status) {
    TRY(base::sys::wrap("chown", ::lchown(to.c_str(), status.st_uid, status.st_gid)));
    TRY(xattrs(from, to));
    if (!S_ISLNK(status.st_mode)) TRY(base::sys::wrap("chmod", ::chmod(to.c_str(), status.st_mode & 07777)));
    const timespec times[2] = {status.st_atim, status.st_mtim};
    TRY(base::sys::wrap("utimensat", ::utimensat(AT_FDCWD, to.c_str(), times, AT_SYMLINK_NOFOLLOW)));
    return {};
  }

 private:
  static base::Result<> xattrs(const std::string& from, const std::string& to) {
    std::string names(64 * 1024, '\0'), value(64 * 1024, '\0');  // XATTR_LIST_MAX, XATTR_SIZE_MAX
    const ssize_t length = ::llistxattr(from.c_str(), names.data(), names.size());
    if (length < 0 && errno == ENOTSUP) return {};
    if (length < 0) return base::errno_error(errno, "listxattr");
    for (ssize_t at = 0; at < length;) {
      const std::string name = names.c_str() + at;
      at += static_cast<ssize_t>(name.size()) + 1;
      // Overlay's own marks are about its layers and mean nothing in a copy.
      if (name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.")) continue;
      const ssize_t size = ::lgetxattr(from.c_str(), name.c_str(), value.data(), value.size());
      if (size < 0) return base::errno_error(errno, "getxattr " + name);
      if (::lsetxattr(to.c_str(), name.c_str(), value.data(), static_cast<std::size_t>(size), 0) < 0 && errno != ENOTSUP)
        return base::errno_error(errno, "setxattr " + name);
    }
    return {};
  }

  base::Result<> entry(base::Fd from, base::Fd to, const std::string& name, const std::string& below, int depth) {
    struct stat status{};
    TRY(base::sys::wrap("stat", ::fstatat(from.number(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW)));
    const auto source = proc_path(from) + "/" + name, target = proc_path(to) + "/" + name;
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1) {
      const auto [place, first] = links_.try_emplace({status.st_dev, status.st_ino}, below + name);
      if (!first) {
        TRY(base::sys::wrap("link", ::linkat(root_.number(), place->second.c_str(), to.number(), name.c_str(), 0)));
        return {};
      }
    }
    if (S_ISDIR(status.st_mode)) {
      TRY(base::sys::wrap("mkdir", ::mkdirat(to.number(), name.c_str(), 0700)));
      ASSIGN_OR_RETURN(const auto inner_from, base::sys::openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      ASSIGN_OR_RETURN(const auto inner_to, base::sys::openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      TRY(directory(inner_from.borrow(), inner_to.borrow(), below + name + "/", depth + 1));
    } else if (S_ISREG(status.st_mode)) {
      TRY(file(from, to, name, status));
    } else if (S_ISLNK(status.st_mode)) {
      std::string link(static_cast<std::size_t>(status.st_size) + 4096, '\0');
      ASSIGN_OR_RETURN(const long length, base::sys::wrap("readlink", ::readlinkat(from.number(), name.c_str(), link.data(), link.size())));
      link.resize(static_cast<std::size_t>(length));
      TRY(base::sys::wrap("symlink", ::symlinkat(link.c_str(), to.number(), name.c_str())));
    } else {
      TRY(base::sys::wrap("mknod", ::mknodat(to.number(), name.c_str(), status.st_mode, status.st_rdev)));
    }
    return attributes(source, target, status);
  }

  static base::Result<> file(base::Fd from, base::Fd to, const std::string& name, const struct stat& status) {
    ASSIGN_OR_RETURN(const auto in, base::sys::openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    ASSIGN_OR_RETURN(const auto out, base::sys::openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    if (status.st_size == 0 || ::ioctl(out.number(), FICLONE, in.number()) == 0) return {};
    off_t left = status.st_size;
    while (left > 0) {
      const ssize_t count = ::copy_file_range(in.number(), nullptr, out.number(), nullptr, static_cast<std::size_t>(left), 0);
      if (count == 0) return {};  // it became shorter meanwhile
      if (count < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)) break;
      if (count < 0) return base::errno_error(errno, "copy_file_range");
      left -= count;
    }
    if (left == 0) return {};
    std::vector<char> buffer(256 * 1024);  // offsets of both files are where copy_file_range left them
    while (true) {
      ASSIGN_OR_RETURN(const auto count, base::sys::read(in.borrow(), buffer));
      if (count == 0) return {};
      TRY(base::sys::write_all(out.borrow(), {buffer.data(), count}));
    }
  }

  base::Fd root_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;  ///< first place of every file with several names
};

base::Result<> copy_attributes(base::Fd from, base::Fd to) {
  struct stat status{};
  TRY(base::sys::wrap("stat", ::fstat(from.number(), &status)));
  return Copier::attributes(proc_path(from) + "/.", proc_path(to) + "/.", status);
}

}  // namespace

base::Result<> copy_tree(base::Fd from, base::Fd to) {
  Copier copier(to);
  TRY(copier.directory(from, to, "", 0));
  return copy_attributes(from, to);
}

base::Result<bool> copy_up(base::Fd from, base::Fd to) {
  // Two containers may start with the same new volume at once.
  ASSIGN_OR_RETURN(auto lock, base::sys::openat(to, ".", O_RDONLY | O_DIRECTORY));
  TRY(base::sys::wrap("flock", ::flock(lock.number(), LOCK_EX)));
  ASSIGN_OR_RETURN(const auto present, entries(to));
  bool unfinished = false, used = false;
  for (const auto& name : present) {
    if (name == staging_name) unfinished = true;
    else if (name != "lost+found") used = true;
  }
  if (used && !unfinished) return false;
  const std::string staging = proc_path(to) + "/" + staging_name;
  if (unfinished) TRY(base::sys::remove_tree(staging));
  TRY(base::sys::wrap("mkdir", ::mkdirat(to.number(), staging_name, 0700)));
  ASSIGN_OR_RETURN(const auto stage, base::sys::openat(to, staging_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  Copier copier(stage.borrow());
  if (auto copied = copier.directory(from, stage.borrow(), "", 0); !copied) {
    (void)base::sys::remove_tree(staging).has_value();
    return std::move(copied).error();
  }
  ASSIGN_OR_RETURN(const auto names, entries(stage.borrow()));
  for (const auto& name : names) {
    // After a crash some entries are in place already, complete; those stay.
    const int moved = ::renameat2(stage.number(), name.c_str(), to.number(), name.c_str(), RENAME_NOREPLACE);
    if (moved != 0 && errno != EEXIST) return base::errno_error(errno, "rename " + name);
  }
  TRY(copy_attributes(from, to));
  TRY(base::sys::remove_tree(staging));
  return true;
}

}  // namespace volumes
