#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::build {

/// A socket a RUN may talk to, forwarded to the caller's ssh agent. The agent's own socket is not handed in: its owner and
/// mode would be the host's. Ends with its destruction.
class AgentProxy {
 public:
  /// Listens at `path` and forwards each connection to `agent`. Errors: not_found, unavailable (no agent there).
  static base::Result<std::unique_ptr<AgentProxy>> start(const std::filesystem::path& path, const std::string& agent);
  ~AgentProxy();
  AgentProxy(const AgentProxy&) = delete;
  AgentProxy& operator=(const AgentProxy&) = delete;

 private:
  AgentProxy() = default;
  void serve();
  base::UniqueFd listener_, stop_;
  std::string agent_;
  std::thread thread_;
};

}  // namespace engine::build
