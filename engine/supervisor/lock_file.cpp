#include "engine/supervisor/lock_file.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/sys.h"

namespace engine::supervisor {

base::Result<base::UniqueFd> take_lock(const std::filesystem::path& path) {
  while (true) {
    TRY(base::sys::make_directories(path.parent_path(), 0700));
    ASSIGN_OR_RETURN(auto fd, base::sys::open(path, O_RDWR | O_CREAT, 0600));
    if (::flock(fd.number(), LOCK_EX | LOCK_NB) != 0) {
      auto error = base::errno_error(errno, "lock " + path.string());
      if (error.number == EWOULDBLOCK) error.kind = base::ErrorKind::unavailable;
      return error;
    }
    struct stat ours {}, there {};
    if (::fstat(fd.number(), &ours) == 0 && ::stat(path.c_str(), &there) == 0 && ours.st_ino == there.st_ino) return fd;
  }
}

}  // namespace engine::supervisor
