#pragma once
// One function per system call, named like it, returning Result. The only place with raw descriptors and errno.
// Every wrapper passes the fault sweep (base/fault.h). All retry on EINTR unless they say otherwise.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace base::sys {

/// For calls without a wrapper of their own: wrap("setns net", ::setns(fd, CLONE_NEWNET)).
/// A negative `result` becomes errno's Error; otherwise the value is returned.
Result<long> wrap(std::string_view what, long result);

/// `flags` gets O_CLOEXEC added.
Result<UniqueFd> open(const std::filesystem::path& path, int flags, mode_t mode = 0);
Result<UniqueFd> openat(Fd dir, const std::filesystem::path& path, int flags, mode_t mode = 0);
/// openat2(2); `resolve` is RESOLVE_IN_ROOT, RESOLVE_BENEATH and so on.
Result<UniqueFd> openat2(Fd dir, const std::filesystem::path& path, int flags, std::uint64_t resolve,
                         mode_t mode = 0);
Result<UniqueFd> dup(Fd fd);
Result<UniqueFd> pidfd_open(pid_t pid);
Result<> pidfd_send_signal(Fd pidfd, int signal);
Result<UniqueFd> memfd_create(const std::string& name, unsigned flags);
/// O_CLOEXEC is added. first = read end.
Result<std::pair<UniqueFd, UniqueFd>> pipe(int flags = 0);
/// AF_UNIX pair, SOCK_CLOEXEC added.
Result<std::pair<UniqueFd, UniqueFd>> socketpair(int type);
Result<UniqueFd> socket(int family, int type, int protocol = 0);

/// Bytes read; 0 at end of file.
Result<std::size_t> read(Fd fd, std::span<char> into);
/// Writes all of it.
Result<> write_all(Fd fd, std::string_view bytes);

/// The whole file; Error exhausted past `limit_bytes`.
Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit_bytes = 64u << 20);
Result<std::string> read_file_at(Fd dir, const std::filesystem::path& path,
                                 std::size_t limit_bytes = 64u << 20);
/// Creates or truncates. Not atomic: for cgroup, proc and scratch files.
Result<> write_file(const std::filesystem::path& path, std::string_view bytes, mode_t mode = 0644);
Result<> write_file_at(Fd dir, const std::filesystem::path& path, std::string_view bytes,
                       mode_t mode = 0644);
/// Writes beside `path` and renames over it: readers see the old or the new text, never a part.
Result<> replace_file(const std::filesystem::path& path, std::string_view bytes, mode_t mode = 0644);

/// Like mkdir -p; existing directories keep their mode.
Result<> make_directories(const std::filesystem::path& path, mode_t mode = 0755);
/// Like rm -r, without following links and without crossing into another mount (st_dev); missing is success.
/// Goes on past failures and returns the first.
Result<> remove_tree(const std::filesystem::path& path);
Result<> unlink(const std::filesystem::path& path);
Result<> rename(const std::filesystem::path& from, const std::filesystem::path& to);

/// connect() to a unix stream socket. not_found when there is no socket, unavailable when nobody listens.
Result<UniqueFd> connect_unix(const std::filesystem::path& path, int type = SOCK_STREAM);
/// Binds and listens, replacing a stale socket file. Paths over 107 bytes are reached through /proc/self/fd.
Result<UniqueFd> listen_unix(const std::filesystem::path& path, int type = SOCK_STREAM);
/// One message with descriptors (SCM_RIGHTS), at most 16.
Result<> send_fds(Fd socket, std::string_view bytes, std::span<const int> fds);
struct Received {
  std::string bytes;  ///< empty at end of stream
  std::vector<UniqueFd> fds;
};
/// Non-blocking sockets give Error{exhausted, EAGAIN} when nothing is there.
Result<Received> recv_fds(Fd socket, std::size_t limit_bytes = 65536, int flags = 0);

}  // namespace base::sys
