#pragma once
// The supervisor's end of the pair to its keeper (keeper.h has the messages). Without a keeper (tests) every call does nothing.
#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::supervisor {

struct ReportedExit {
  pid_t pid = 0;
  int wait_status = 0;
};

class KeeperLink {
 public:
  KeeperLink() = default;
  /// Reads what the keeper has kept: descriptors and exits of children. Blocks until "ready".
  static base::Result<KeeperLink> open(base::UniqueFd socket);

  /// Descriptors of earlier supervisors, by name; each can be taken once. None: invalid descriptor.
  [[nodiscard]] base::UniqueFd take(const std::string& name);
  /// Names not taken: things of containers that are no more. Dropped by the caller.
  [[nodiscard]] std::vector<std::string> names() const;

  /// Keeps a copy of `fd` alive with the keeper. An Error means that the keeper is gone.
  base::Result<> put(const std::string& name, base::Fd fd);
  base::Result<> drop(const std::string& name);
  base::Result<> acknowledge(pid_t pid);

  /// Exits that came with the opening, then those that came since. The socket is non-blocking for this.
  /// Error unavailable: the keeper is gone.
  base::Result<std::vector<ReportedExit>> exits();

  [[nodiscard]] base::Fd socket() const { return socket_.borrow(); }
  [[nodiscard]] bool connected() const { return socket_.valid(); }
  /// Everything put and not dropped, for becoming the keeper: name → our copy.
  [[nodiscard]] const std::map<std::string, base::UniqueFd>& stored() const { return stored_; }

 private:
  base::Result<> send(const std::string& text, base::Fd fd = {});
  base::UniqueFd socket_;
  std::map<std::string, base::UniqueFd> stored_;
  std::map<std::string, bool> untaken_;
  std::vector<ReportedExit> early_;
};

/// Replaces this program by a keeper that keeps `link`'s descriptors and our children. Returns only on failure.
base::Error become_keeper(const std::string& project, const KeeperLink& link, base::UniqueFd lock);

}  // namespace engine::supervisor
