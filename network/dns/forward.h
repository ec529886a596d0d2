#pragma once
// Asks upstream servers. Internal to the room; runs on the event loop's thread.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "network/relay_parts.h"

namespace boost::asio {
class io_context;
}

namespace network::dns {

/// Opens an unconnected, non-blocking socket where the upstream shall be asked from: socket(family, type).
using OpenSocket = std::function<base::Result<base::UniqueFd>(int family, int type)>;

struct Exchange {
  std::string message;                  ///< the client's, as it came
  std::string question;                 ///< its question bytes
  std::vector<SocketAddress> upstreams; ///< asked in turn
  OpenSocket open;
  bool tcp = false;
  /// The response with the client's id, or nothing when nobody answered in time.
  std::function<void(std::optional<std::string>)> done;
};

/// Each try has a fresh socket (so a random port) and a random id; a late or forged answer does not match. A server that
/// answers "cannot" (SERVFAIL, REFUSED) or is not there is followed by the next at once; silence is, after 1.5 s. The whole
/// takes at most 4.5 s: resolvers in libc wait 5.
void forward(boost::asio::io_context& io, Exchange exchange);

/// "10.0.0.1", "fe80::1%eth0" → port 53 there. Texts that are no address are left out.
std::vector<SocketAddress> upstream_addresses(const std::vector<std::string>& texts);

}  // namespace network::dns
