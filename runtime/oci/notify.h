#pragma once
// Readiness as systemd's services report it (sd_notify(3)): the program of a container tells the manager of our caller.
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/oci/state.h"
#include "runtime/spec/spec.h"

namespace runtime::oci {

/// Where our caller has NOTIFY_SOCKET, the container gets a socket of its own: a folder below `state_folder` is bound at that path and
/// the program's variable names the socket "notify" in it, as under crun. True when the folder is to be made.
bool pass_notify_socket(spec::Config& config, const std::string& state_folder);
std::string notify_folder(const std::string& state_folder);

/// The runtime's end of that socket.
class NotifyRelay {
 public:
  /// Binds the socket. One without a socket() when the container was made without, or our caller has no NOTIFY_SOCKET.
  static base::Result<NotifyRelay> open(const StateDir& state);
  /// Invalid once READY=1 has been passed on.
  [[nodiscard]] base::Fd socket() const { return socket_.borrow(); }
  /// Reads what has come; a READY=1 in it goes on with `init` as MAINPID. Waits up to five seconds until the manager has seen it: it finds
  /// the unit by the sender, who may end at once. Other states stay here, as under runc and crun.
  void relay(pid_t init);
  /// Blocks until that happened or `pidfd`'s process has ended.
  void wait(pid_t init, base::Fd pidfd);

 private:
  base::UniqueFd socket_;
  std::string manager_;
};

}  // namespace runtime::oci
