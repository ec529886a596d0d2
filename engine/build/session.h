#pragma once
// The scratch folders of one build. They are locked while it lives; the next build removes those of the dead.
#include <atomic>
#include <filesystem>
#include <mutex>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::build {

using base::Result;

class Session {
 public:
  /// Removes what killed builds left (folders, containers of their RUN steps), then makes folders of its own:
  /// state/build/tmp/NAME on the layers' file system, and run/build/NAME in memory for secrets and sockets.
  static Result<Session> open();
  Session(Session&& other) noexcept;
  Session& operator=(Session&&) = delete;
  ~Session();

  /// A new empty folder beside the layers. Thread-safe.
  Result<std::filesystem::path> new_folder();
  /// The same in memory, mode 0700.
  Result<std::filesystem::path> new_private_folder();
  /// An id for a RUN's container, noted so that a later build can remove it should we be killed.
  Result<std::string> new_container_id();
  void forget_container(const std::string& id);

 private:
  Session() = default;
  std::filesystem::path folder_, private_folder_;
  base::UniqueFd lock_;
  std::atomic<unsigned> counter_ = 0;
  std::atomic<bool> ran_containers_ = false;
};

/// --root of the runtime for RUN steps.
std::filesystem::path step_runtime_root();

}  // namespace engine::build
