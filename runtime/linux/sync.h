#pragma once
// The one socket between the runtime and the container's init while it is being made: SOCK_SEQPACKET, typed messages.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace runtime {

enum class SyncType : std::uint8_t {
  need_placing,  ///< init → runtime: I am there; write my id maps, make my systemd scope
  map_ids,       ///< init → runtime: this tree is the bind mount number `code`, whose ids I have no right to map
  at_pivot,      ///< init → runtime: mounts are done; run the hooks that precede pivot_root
  go,            ///< runtime → init: answer to the three above
  ready,         ///< init → runtime: all is set up; a terminal's descriptor may come with it
  listener,      ///< init → runtime: the seccomp notification descriptor
  started,       ///< init → start: the next thing is execve; the socket closes by it
  error,         ///< init → anyone: an Error; `code` is the exit code of the command line
  log,           ///< init → anyone: a line for the log, `code` is base::log::Level
};

struct SyncMessage {
  SyncType type{};
  int code = 0;
  std::string text;
  base::UniqueFd fd;
};

/// One end. Blocking, single-threaded.
class SyncSocket {
 public:
  SyncSocket() = default;
  explicit SyncSocket(base::UniqueFd fd) : fd_(std::move(fd)) {}

  base::Result<> send(SyncType type, int code = 0, std::string_view text = {}, base::Fd with = {}) const;
  /// An error that crosses: kind, errno, message and context survive. `code` 0 = the default of the verb.
  base::Result<> send_error(const base::Error& error, int code) const;
  /// Nothing at end of stream.
  base::Result<std::optional<SyncMessage>> receive() const;
  /// Waits for `type`; an error message or the end of the stream becomes an Error. Log lines are passed on meanwhile.
  base::Result<SyncMessage> expect(SyncType type) const { return expect(type, type); }
  /// The same for whichever of the two comes first.
  base::Result<SyncMessage> expect(SyncType type, SyncType other) const;

  [[nodiscard]] base::Fd fd() const { return fd_.borrow(); }
  void close() { fd_.reset(); }

 private:
  base::UniqueFd fd_;
};

/// The Error inside a message of type error.
base::Error decode_error(const SyncMessage& message);

/// Exit codes for errors about the program itself travel in Error.context as a last element "exit:127".
/// Docker's convention: 127 not found, 126 not executable.
base::Error with_exit_code(base::Error error, int code);
/// The code, removed from the error; `fallback` when there is none.
int take_exit_code(base::Error& error, int fallback);

}  // namespace runtime
