#pragma once
// The project's API: HTTP on a unix socket. README.md of engine/client lists the requests.
#include <memory>

#include "base/result.h"

namespace boost::asio {
class io_context;
}

namespace engine::supervisor {

class Project;

class ApiServer {
 public:
  /// Listens on paths::api_socket(project), replacing a stale socket.
  static base::Result<std::unique_ptr<ApiServer>> open(boost::asio::io_context& io, Project& project);
  virtual ~ApiServer() = default;
  /// Connections being served.
  [[nodiscard]] virtual int clients() const = 0;
  /// Takes no more connections and removes the socket.
  virtual void close() = 0;
};

/// Set by the API: the supervisor shall end and be started anew (upgrade).
bool upgrade_requested();

}  // namespace engine::supervisor
