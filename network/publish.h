#pragma once
// Published ports.
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "network/config.h"

namespace boost::asio {
class io_context;
}

namespace network {

class HostNetwork;
class Network;

/// Holds the listening sockets and keeps the kernel's DNAT entries. The kernel carries the traffic; a relay on the sockets
/// carries what it cannot: IPv6 loopback, IPv6 clients of IPv4-only networks, and everything while rules are missing.
///
/// When the process dies the kernel path goes on; publish() with the same arguments after a restart takes it over.
/// Thread: any; relays run on `io`. Must outlive neither `io` nor `host`.
class PortPublisher {
 public:
  static base::Result<std::unique_ptr<PortPublisher>> create(boost::asio::io_context& io, HostNetwork& host);
  ~PortPublisher();  ///< closes sockets; kernel entries stay, for the next process to adopt
  PortPublisher(const PortPublisher&) = delete;
  PortPublisher& operator=(const PortPublisher&) = delete;

  /// Where a container is reached. `network` must be the one that gives the container its default route, as answers leave
  /// by it. Addresses without prefix length; "" = none.
  struct Target {
    std::string ipv4, ipv6;
  };

  /// Publishes all ports of `owner` (any unique text, e.g. the container id) or none. Replaces what `owner` had.
  /// Errors: exists       "port 8080/tcp is already in use by nginx (pid 123)"
  ///         invalid      host_ip is no address
  ///         unavailable  host_ip is not on this machine
  ///         exhausted    no free port in the range
  ///         permission   port below ip_unprivileged_port_start without the capability
  ///         unsupported  the network is internal, or macvlan/ipvlan: it cannot be reached from the host
  base::Result<std::vector<BoundPort>> publish(const std::string& owner, Network& network, const Target& target,
                                               std::span<const PortMapping> ports);
  /// Closes the sockets and removes the entries; unknown owner is success.
  base::Result<> unpublish(const std::string& owner);

 private:
  struct State;
  explicit PortPublisher(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

/// "nginx (pid 123)" for the process that has `port` bound on an address overlapping `host_ip`; "" when unknown (another pid namespace).
std::string port_holder(const std::string& protocol, const std::string& host_ip, std::uint16_t port);

}  // namespace network
