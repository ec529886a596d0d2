#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace base {

/// What a caller may want to decide on. The errno, when there is one, stays beside it.
enum class ErrorKind : std::uint8_t {
  internal,     ///< a broken invariant of ours
  invalid,      ///< the caller's data is wrong (config, arguments, bytes from outside)
  not_found,    ///< the named thing is not there
  exists,       ///< the name or address is already taken
  permission,   ///< EPERM, EACCES
  unavailable,  ///< a peer or service does not answer; trying again may help
  timeout,      ///< the deadline passed
  exhausted,    ///< no space, memory, pids, addresses
  cancelled,    ///< the user or a shutdown asked to stop
  unsupported,  ///< this kernel or this version cannot do it
  io,           ///< any other failed system call
};

/// "not_found" and so on: the word used on the wire and in tests.
std::string_view to_string(ErrorKind kind);
/// The inverse; `internal` for an unknown word.
ErrorKind error_kind_from(std::string_view word);

/// A failure as a value: it crosses threads, pipes and sockets. Library code returns it, programs print it once.
struct Error {
  ErrorKind kind = ErrorKind::internal;
  int number = 0;                    ///< errno, 0 when no system call failed
  std::string message;               ///< innermost: what failed, lower case, no final dot
  std::vector<std::string> context;  ///< innermost first: what was being done

  /// "creating container web-1: mount /data: no such file or directory"
  [[nodiscard]] std::string text() const;
};

Error make_error(ErrorKind kind, std::string message);
/// `what` names the call and its object ("open /etc/hosts"); the message becomes "what: strerror(number)".
Error errno_error(int number, std::string what);

}  // namespace base
