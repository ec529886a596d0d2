// tmpcopyup: what the image has at a tmpfs's mount point is copied into it first.
#include <dirent.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/sys.h"
#include "runtime/linux/mounts.h"

namespace runtime {

using base::Fd;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

constexpr int depth_max = 256;

Result<> copy_attributes(Fd from, Fd to, const struct stat& about) {
  TRY(sys::wrap("chown", ::fchown(to.number(), about.st_uid, about.st_gid)));
  TRY(sys::wrap("chmod", ::fchmod(to.number(), about.st_mode & 07777)));
  char names[4096];
  const ssize_t size = ::flistxattr(from.number(), names, sizeof names);
  for (ssize_t at = 0; at < size; at += static_cast<ssize_t>(std::strlen(names + at)) + 1) {
    char value[65536];
    const ssize_t length = ::fgetxattr(from.number(), names + at, value, sizeof value);
    if (length < 0) continue;
    if (::fsetxattr(to.number(), names + at, value, static_cast<std::size_t>(length), 0) != 0 && errno != EOPNOTSUPP &&
        errno != EPERM)
      return base::errno_error(errno, std::string("setxattr ") + (names + at));
  }
  const timespec times[2] = {about.st_atim, about.st_mtim};
  TRY(sys::wrap("utimens", ::futimens(to.number(), times)));
  return {};
}

Result<> copy_file(Fd from_folder, Fd to_folder, const std::string& name, const struct stat& about) {
  ASSIGN_OR_RETURN(const auto from, sys::openat(from_folder, name, O_RDONLY | O_NOFOLLOW));
  ASSIGN_OR_RETURN(const auto to, sys::openat(to_folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  while (true) {
    ASSIGN_OR_RETURN(const long count, sys::wrap("copy", ::sendfile(to.number(), from.number(), nullptr, 1 << 20)));
    if (count == 0) break;
  }
  return copy_attributes(from.borrow(), to.borrow(), about);
}

Result<> copy_link(Fd from_folder, Fd to_folder, const std::string& name, const struct stat& about) {
  std::string text(4096, '\0');
  ASSIGN_OR_RETURN(const long length,
                   sys::wrap("readlink", ::readlinkat(from_folder.number(), name.c_str(), text.data(), text.size())));
  text.resize(static_cast<std::size_t>(length));
  TRY(sys::wrap("symlink", ::symlinkat(text.c_str(), to_folder.number(), name.c_str())));
  TRY(sys::wrap("chown", ::fchownat(to_folder.number(), name.c_str(), about.st_uid, about.st_gid, AT_SYMLINK_NOFOLLOW)));
  return {};
}

Result<> copy_folder(Fd from, Fd to, int depth);

Result<> copy_entry(Fd from, Fd to, const std::string& name, int depth) {
  struct stat about {};
  if (::fstatat(from.number(), name.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0) return base::errno_error(errno, name);
  if (S_ISREG(about.st_mode)) return copy_file(from, to, name, about);
  if (S_ISLNK(about.st_mode)) return copy_link(from, to, name, about);
  if (S_ISDIR(about.st_mode)) {
    TRY(sys::wrap("mkdir", ::mkdirat(to.number(), name.c_str(), 0700)));
    ASSIGN_OR_RETURN(const auto inner_from, sys::openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    ASSIGN_OR_RETURN(const auto inner_to, sys::openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    TRY(copy_folder(inner_from.borrow(), inner_to.borrow(), depth + 1));
    return copy_attributes(inner_from.borrow(), inner_to.borrow(), about);
  }
  if (S_ISSOCK(about.st_mode)) return {};  // nobody listens there any more
  TRY(sys::wrap("mknod", ::mknodat(to.number(), name.c_str(), about.st_mode, about.st_rdev)));
  TRY(sys::wrap("chown", ::fchownat(to.number(), name.c_str(), about.st_uid, about.st_gid, AT_SYMLINK_NOFOLLOW)));
  return {};
}

Result<> copy_folder(Fd from, Fd to, int depth) {
  if (depth > depth_max) return base::make_error(base::ErrorKind::invalid, "folders are nested too deeply");
  ASSIGN_OR_RETURN(auto again, sys::openat(from, ".", O_RDONLY | O_DIRECTORY));
  DIR* dir = ::fdopendir(again.number());
  if (!dir) return base::errno_error(errno, "opendir");
  (void)again.release();
  Result<> done;
  while (const dirent* entry = done ? ::readdir(dir) : nullptr) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") done = copy_entry(from, to, name, depth).with(name);
  }
  ::closedir(dir);
  return done;
}

}  // namespace

Result<> copy_tree(Fd from, Fd to) {
  struct stat about {};
  if (::fstat(from.number(), &about) != 0) return base::errno_error(errno, "stat");
  // A fresh mount's descriptor is O_PATH, which fchown(2) and its kin refuse.
  ASSIGN_OR_RETURN(const auto open_to, sys::openat(to, ".", O_RDONLY | O_DIRECTORY));
  TRY(copy_folder(from, open_to.borrow(), 0));
  return copy_attributes(from, open_to.borrow(), about);
}

}  // namespace runtime
