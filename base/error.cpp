#include "base/error.h"

#include <cerrno>
#include <cstring>
#include <iterator>

namespace base {
namespace {
constexpr std::string_view kWords[] = {"internal",    "invalid", "not_found", "exists",
                                       "permission",  "unavailable", "timeout", "exhausted",
                                       "cancelled",   "unsupported", "io"};

ErrorKind kind_of(int number) {
  switch (number) {
    case ENOENT:
    case ESRCH:
    case ENODEV:
    case ENXIO:
      return ErrorKind::not_found;
    case EEXIST:
    case EADDRINUSE:
    case EBUSY:
      return ErrorKind::exists;
    case EPERM:
    case EACCES:
    case EROFS:
      return ErrorKind::permission;
    case EINVAL:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
      return ErrorKind::invalid;
    case ENOSPC:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EDQUOT:
    case EAGAIN:
      return ErrorKind::exhausted;
    case ECONNREFUSED:
    case ECONNRESET:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EPIPE:
      return ErrorKind::unavailable;
    case ETIMEDOUT:
      return ErrorKind::timeout;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
      return ErrorKind::unsupported;
    case ECANCELED:
      return ErrorKind::cancelled;
    default:
      return ErrorKind::io;
  }
}

/// glibc says "No such file or directory"; our messages are lower case throughout.
std::string describe(int number) {
  std::string text = strerrordesc_np(number) ? strerrordesc_np(number)
                                             : "error " + std::to_string(number);
  if (text.size() > 1 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a')
    text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}
}  // namespace

std::string_view to_string(ErrorKind kind) { return kWords[static_cast<std::size_t>(kind)]; }

ErrorKind error_kind_from(std::string_view word) {
  for (std::size_t i = 0; i < std::size(kWords); ++i)
    if (kWords[i] == word) return static_cast<ErrorKind>(i);
  return ErrorKind::internal;
}

std::string Error::text() const {
  std::string out;
  for (auto it = context.rbegin(); it != context.rend(); ++it) out += *it + ": ";
  return out + message;
}

Error make_error(ErrorKind kind, std::string message) {
  return Error{kind, 0, std::move(message), {}};
}

Error errno_error(int number, std::string what) {
  return Error{kind_of(number), number, std::move(what) + ": " + describe(number), {}};
}

}  // namespace base
