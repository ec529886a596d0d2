#pragma once
// Moves what a container prints from its FIFOs to its log and to whoever is attached. Exactly-once: engine/logs/journal.h.
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/api/types.h"
#include "engine/logs/format.h"

namespace boost::asio {
class io_context;
}

namespace engine::supervisor {

class KeeperLink;

/// Somebody attached to a container. Called on the supervisor's thread.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void output(logs::Stream stream, std::string_view bytes) = 0;
  /// False while it has more queued than it can send: the container waits then (its FIFO fills), as it would on a slow terminal.
  [[nodiscard]] virtual bool ready() const = 0;
  /// The container is about to be started (again): nothing to do but to know.
  virtual void ended(std::optional<int> exit_code) = 0;
};

/// One container's. Used on the supervisor's thread only.
class LogPump {
 public:
  struct Options {
    std::string project, id;
    logs::Settings settings;
    bool tty = false, stdin_open = false;
  };
  /// Makes (or finds) the FIFOs in the run folder and gives the keeper copies, then recovers the journal and starts reading.
  static base::Result<std::shared_ptr<LogPump>> open(boost::asio::io_context& io, KeeperLink& keeper, Options options);
  virtual ~LogPump() = default;

  /// The container's ends, for a start.
  struct Ends {
    base::UniqueFd input, output, error;
  };
  virtual base::Result<Ends> container_ends() = 0;
  /// The terminal's master after a start, or as the keeper has kept it.
  virtual base::Result<> set_terminal(base::UniqueFd master) = 0;
  /// Takes in all that is there; called when the container has ended. The unfinished last lines become lines.
  virtual void drain() = 0;
  /// Stops reading, and takes back what the keeper holds: the container has ended and nothing is left in the FIFOs.
  virtual void close() = 0;

  virtual void attach(std::weak_ptr<Listener> listener) = 0;
  virtual void end_listeners(std::optional<int> exit_code) = 0;
  /// A listener is ready again.
  virtual void resume() = 0;
  /// Somebody was attached when the supervisor before us was killed, and has not come back yet: for a moment nothing is read, so that
  /// they miss nothing.
  [[nodiscard]] virtual bool expects_listener() const = 0;
  /// Bytes for its standard input; false when it has none or does not read (try again later).
  virtual bool input(std::string_view& bytes) = 0;
  virtual void close_input() = 0;
  virtual base::Result<> resize(unsigned rows, unsigned columns) = 0;
};

}  // namespace engine::supervisor
