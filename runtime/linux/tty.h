#pragma once
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/spec/spec.h"

namespace runtime {

struct Terminal {
  base::UniqueFd master, slave;
};

/// A new pseudo terminal from the devpts at dev/pts below `root` (which may be "/" itself).
/// The slave comes from the master by TIOCGPTPEER, so nothing in the container can put another file in its place.
base::Result<Terminal> open_terminal(base::Fd root, const std::optional<spec::ConsoleSize>& size);

/// Shows the slave as dev/console below `root`.
base::Result<> bind_console(base::Fd root, base::Fd slave);

/// Makes the slave the controlling terminal and descriptors 0 to 2, owned by `uid`. The caller is a session leader.
base::Result<> take_terminal(base::Fd slave, std::uint32_t uid);

/// Sends `master` over the unix socket at the other end of `socket` as runc and crun do: its name and one descriptor.
base::Result<> send_terminal(base::Fd socket, base::Fd master);

/// For a terminal the runtime relays to its own standard output: where that is a file or a pipe, nobody moves a cursor, and it gets
/// the program's lines as written, as under runc. Before the program starts.
void keep_lines_plain(base::Fd master);

/// Copies between our standard streams and `master` until the other side is gone, our terminal in raw mode meanwhile, with its
/// size kept in step. Signals pending on `signals` (a signalfd) and the end of `child` (a pidfd) are left to `on_signal` and stop it.
class TerminalRelay {
 public:
  explicit TerminalRelay(base::UniqueFd master);
  ~TerminalRelay();
  TerminalRelay(const TerminalRelay&) = delete;
  TerminalRelay& operator=(const TerminalRelay&) = delete;
  void resize() const;
  /// One round of copying, for a poll loop: what poll(2) said about stdin and about the master.
  void on_input();
  /// False when the slave side is closed.
  bool on_output();
  [[nodiscard]] base::Fd master() const { return master_.borrow(); }
  [[nodiscard]] bool reads_input() const { return reads_input_; }

 private:
  base::UniqueFd master_;
  bool raw_ = false, reads_input_ = true;
  struct Saved;
  Saved* saved_ = nullptr;
};

}  // namespace runtime
