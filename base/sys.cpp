#include "base/sys.h"

#include <dirent.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/fault.h"

namespace base::sys {
namespace {

/// Runs `call` until it is not interrupted; a due fault stands in for it.
template <class Call>
Result<long> guarded(const std::string& what, Call&& call) {
  if (const int due = fault_due()) return errno_error(due, what);
  long result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  if (result < 0) return errno_error(errno, what);
  return result;
}

template <class Call>
Result<UniqueFd> guarded_fd(const std::string& what, Call&& call) {
  ASSIGN_OR_RETURN(const long number, guarded(what, std::forward<Call>(call)));
  return UniqueFd(static_cast<int>(number));
}

}  // namespace

Result<long> wrap(std::string_view what, long result) {
  const int number = errno;
  if (const int due = fault_due()) return errno_error(due, std::string(what));
  if (result < 0) return errno_error(number, std::string(what));
  return result;
}

Result<UniqueFd> open(const std::filesystem::path& path, int flags, mode_t mode) {
  return guarded_fd("open " + path.string(),
                    [&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); });
}

Result<UniqueFd> openat(Fd dir, const std::filesystem::path& path, int flags, mode_t mode) {
  return guarded_fd("open " + path.string(), [&] {
    return ::openat(dir.number(), path.c_str(), flags | O_CLOEXEC, mode);
  });
}

Result<UniqueFd> openat2(Fd dir, const std::filesystem::path& path, int flags,
                         std::uint64_t resolve, mode_t mode) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
  how.mode = mode;
  how.resolve = resolve;
  return guarded_fd("open " + path.string(), [&] {
    long result;
    // EAGAIN: a rename or mount raced with a ".." step (openat2(2)); the kernel asks to try again.
    do {
      result = ::syscall(SYS_openat2, dir.number(), path.c_str(), &how, sizeof how);
    } while (result < 0 && errno == EAGAIN);
    return result;
  });
}

Result<UniqueFd> dup(Fd fd) {
  return guarded_fd("dup", [&] { return ::fcntl(fd.number(), F_DUPFD_CLOEXEC, 3); });
}

Result<UniqueFd> pidfd_open(pid_t pid) {
  return guarded_fd("pidfd_open " + std::to_string(pid),
                    [&] { return ::syscall(SYS_pidfd_open, pid, 0); });
}

Result<> pidfd_send_signal(Fd pidfd, int signal) {
  TRY(guarded("pidfd_send_signal", [&] {
    return ::syscall(SYS_pidfd_send_signal, pidfd.number(), signal, nullptr, 0);
  }));
  return {};
}

Result<UniqueFd> memfd_create(const std::string& name, unsigned flags) {
  return guarded_fd("memfd_create " + name,
                    [&] { return ::memfd_create(name.c_str(), flags | MFD_CLOEXEC); });
}

Result<std::pair<UniqueFd, UniqueFd>> pipe(int flags) {
  int ends[2];
  TRY(guarded("pipe", [&] { return ::pipe2(ends, flags | O_CLOEXEC); }));
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

Result<std::pair<UniqueFd, UniqueFd>> socketpair(int type) {
  int ends[2];
  TRY(guarded("socketpair",
              [&] { return ::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends); }));
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

Result<UniqueFd> socket(int family, int type, int protocol) {
  return guarded_fd("socket", [&] { return ::socket(family, type | SOCK_CLOEXEC, protocol); });
}

Result<std::size_t> read(Fd fd, std::span<char> into) {
  ASSIGN_OR_RETURN(const long count, guarded("read", [&] {
                     return ::read(fd.number(), into.data(), into.size());
                   }));
  return static_cast<std::size_t>(count);
}

Result<> write_all(Fd fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ASSIGN_OR_RETURN(const long count, guarded("write", [&] {
                       return ::write(fd.number(), bytes.data(), bytes.size());
                     }));
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

namespace {
Result<std::string> read_all(Fd fd, std::size_t limit_bytes, const std::string& name) {
  std::string out;
  struct stat info{};
  if (::fstat(fd.number(), &info) == 0 && info.st_size > 0)
    out.reserve(std::min(static_cast<std::size_t>(info.st_size), limit_bytes) + 1);
  std::array<char, 16384> buffer;
  while (true) {
    ASSIGN_OR_RETURN(const std::size_t count, read(fd, buffer).with("read " + name));
    if (count == 0) return out;
    if (out.size() + count > limit_bytes)
      return make_error(ErrorKind::exhausted,
                        name + ": larger than " + std::to_string(limit_bytes) + " bytes");
    out.append(buffer.data(), count);
  }
}
}  // namespace

Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit_bytes) {
  ASSIGN_OR_RETURN(const UniqueFd fd, open(path, O_RDONLY));
  return read_all(fd.borrow(), limit_bytes, path.string());
}

Result<std::string> read_file_at(Fd dir, const std::filesystem::path& path,
                                 std::size_t limit_bytes) {
  ASSIGN_OR_RETURN(const UniqueFd fd, openat(dir, path, O_RDONLY));
  return read_all(fd.borrow(), limit_bytes, path.string());
}

Result<> write_file(const std::filesystem::path& path, std::string_view bytes, mode_t mode) {
  ASSIGN_OR_RETURN(const UniqueFd fd, open(path, O_WRONLY | O_CREAT | O_TRUNC, mode));
  return write_all(fd.borrow(), bytes).with("write " + path.string());
}

Result<> write_file_at(Fd dir, const std::filesystem::path& path, std::string_view bytes,
                       mode_t mode) {
  ASSIGN_OR_RETURN(const UniqueFd fd, openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC, mode));
  return write_all(fd.borrow(), bytes).with("write " + path.string());
}

Result<> replace_file(const std::filesystem::path& path, std::string_view bytes, mode_t mode) {
  const std::filesystem::path temporary =
      path.string() + ".tmp" + std::to_string(::getpid()) + "-" + std::to_string(::gettid());
  auto written = write_file(temporary, bytes, mode);
  if (written) written = sys::rename(temporary, path);
  if (!written) (void)::unlink(temporary.c_str());
  return written;
}

Result<> make_directories(const std::filesystem::path& path, mode_t mode) {
  if (const int due = fault_due()) return errno_error(due, "mkdir " + path.string());
  if (::mkdir(path.c_str(), mode) == 0) return {};
  if (errno == EEXIST) {
    struct stat info{};
    if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
    return errno_error(ENOTDIR, "mkdir " + path.string());
  }
  if (errno != ENOENT || !path.has_parent_path() || path.parent_path() == path)
    return errno_error(errno, "mkdir " + path.string());
  TRY(make_directories(path.parent_path(), mode));
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return {};
  return errno_error(errno, "mkdir " + path.string());
}

namespace {
/// Removes what is below `dir`; keeps the first failure.
void remove_children(UniqueFd dir, dev_t device, Result<>& first, int depth) {
  constexpr int kMaxDepth = 4096;
  DIR* stream = ::fdopendir(dir.release());
  if (!stream) {
    if (first) first = errno_error(errno, "opendir");
    return;
  }
  const int number = ::dirfd(stream);
  while (const dirent* entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat info{};
    if (::fstatat(number, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISDIR(info.st_mode)) {
      if (info.st_dev != device) {
        if (first) first = errno_error(EBUSY, "remove " + std::string(name) + " (a mount)");
        continue;
      }
      auto child =
          openat(Fd(number), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (child && depth < kMaxDepth) remove_children(*std::move(child), device, first, depth + 1);
      if (::unlinkat(number, entry->d_name, AT_REMOVEDIR) != 0 && errno != ENOENT && first)
        first = errno_error(errno, "rmdir " + std::string(name));
    } else if (::unlinkat(number, entry->d_name, 0) != 0 && errno != ENOENT && first) {
      first = errno_error(errno, "unlink " + std::string(name));
    }
  }
  ::closedir(stream);
}
}  // namespace

Result<> remove_tree(const std::filesystem::path& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return errno_error(errno, "stat " + path.string());
  }
  if (!S_ISDIR(info.st_mode)) return unlink(path);
  Result<> first;
  auto dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!dir) return std::move(dir).error();
  remove_children(*std::move(dir), info.st_dev, first, 0);
  if (::rmdir(path.c_str()) != 0 && errno != ENOENT && first)
    first = errno_error(errno, "rmdir " + path.string());
  return std::move(first).with("removing " + path.string());
}

Result<> unlink(const std::filesystem::path& path) {
  TRY(guarded("unlink " + path.string(), [&] { return ::unlink(path.c_str()); }));
  return {};
}

Result<> rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  TRY(guarded("rename " + from.string() + " to " + to.string(),
              [&] { return ::rename(from.c_str(), to.c_str()); }));
  return {};
}

namespace {
/// Fills the address; a path too long for sun_path is reached through a descriptor of its folder.
Result<UniqueFd> unix_address(const std::filesystem::path& path, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  std::string text = path.string();
  UniqueFd folder;
  if (text.size() >= sizeof address.sun_path) {
    ASSIGN_OR_RETURN(folder, open(path.parent_path(), O_PATH | O_DIRECTORY));
    text = "/proc/self/fd/" + std::to_string(folder.number()) + "/" + path.filename().string();
    if (text.size() >= sizeof address.sun_path)
      return errno_error(ENAMETOOLONG, "socket " + path.string());
  }
  std::memcpy(address.sun_path, text.c_str(), text.size() + 1);
  return folder;
}
}  // namespace

Result<UniqueFd> connect_unix(const std::filesystem::path& path, int type) {
  sockaddr_un address;
  ASSIGN_OR_RETURN(const UniqueFd folder, unix_address(path, address));
  ASSIGN_OR_RETURN(UniqueFd fd, socket(AF_UNIX, type));
  TRY(guarded("connect " + path.string(), [&] {
    return ::connect(fd.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }));
  return fd;
}

Result<UniqueFd> listen_unix(const std::filesystem::path& path, int type) {
  sockaddr_un address;
  ASSIGN_OR_RETURN(const UniqueFd folder, unix_address(path, address));
  ASSIGN_OR_RETURN(UniqueFd fd, socket(AF_UNIX, type));
  (void)::unlink(address.sun_path);
  TRY(guarded("bind " + path.string(), [&] {
    return ::bind(fd.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }));
  TRY(guarded("listen " + path.string(), [&] { return ::listen(fd.number(), 128); }));
  return fd;
}

namespace {
constexpr std::size_t kMaxFds = 16;
}

Result<> send_fds(Fd socket, std::string_view bytes, std::span<const int> fds) {
  if (fds.size() > kMaxFds) return make_error(ErrorKind::invalid, "too many descriptors");
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ASSIGN_OR_RETURN(const long sent, guarded("sendmsg", [&] {
                     return ::sendmsg(socket.number(), &message, MSG_NOSIGNAL);
                   }));
  // A stream socket may take a part; the descriptors went with the first byte.
  bytes.remove_prefix(static_cast<std::size_t>(sent));
  return bytes.empty() ? Result<>() : write_all(socket, bytes);
}

Result<Received> recv_fds(Fd socket, std::size_t limit_bytes, int flags) {
  Received out;
  // Not zeroed: a message is a few hundred bytes, the limit is 64 KiB.
  out.bytes.resize_and_overwrite(limit_bytes, [](char*, std::size_t size) { return size; });
  iovec part{out.bytes.data(), out.bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ASSIGN_OR_RETURN(const long count, guarded("recvmsg", [&] {
                     return ::recvmsg(socket.number(), &message, flags | MSG_CMSG_CLOEXEC);
                   }));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t size = header->cmsg_len - CMSG_LEN(0);
    std::vector<int> numbers(size / sizeof(int));
    std::memcpy(numbers.data(), CMSG_DATA(header), size);
    for (const int number : numbers) out.fds.emplace_back(number);
  }
  out.bytes.resize(static_cast<std::size_t>(count));
  return out;
}

}  // namespace base::sys
