#pragma once
// Carries traffic of one listening socket in user space, where the kernel's translation cannot. Internal to the room.
#include <cstdint>
#include <functional>
#include <memory>

#include "base/unique_fd.h"
#include "network/address.h"

namespace boost::asio {
class io_context;
}

namespace network {

/// A listening TCP or bound UDP socket and where its traffic goes. Runs on the thread of `io`.
class Relay {
 public:
  struct Options {
    bool udp = false;
    Address target;
    std::uint16_t port = 0;
  };
  virtual ~Relay() = default;
  /// Takes the socket over (non-blocking). Thread: any.
  static std::shared_ptr<Relay> start(boost::asio::io_context& io, base::UniqueFd socket, const Options& options);
  /// Closes the socket, then calls `closed`. Connections under way are cut. Thread: any.
  virtual void stop(std::function<void()> closed) = 0;
};

}  // namespace network
