#pragma once
// The name server of one container. Internal to the room; runs on the event loop's thread.
#include <functional>
#include <memory>
#include <mutex>
#include <random>

#include "base/unique_fd.h"
#include "network/dns.h"
#include "network/dns/forward.h"
#include "network/dns/policy.h"

namespace boost::asio {
class io_context;
}

namespace network::dns {

/// What the services of a server share.
struct Shared {
  Shared(boost::asio::io_context& io_, DnsServer::Options options_) : io(io_), options(std::move(options_)) {}
  boost::asio::io_context& io;
  const DnsServer::Options options;
  std::minstd_rand random{std::random_device{}()};
  unsigned forwards = 0;  ///< under way

  /// The host's nameservers as they are now: resolv.conf is looked at again at most once a second.
  const std::vector<SocketAddress>& host_upstreams();

 private:
  std::chrono::steady_clock::time_point looked_{};
  std::string text_;
  std::vector<SocketAddress> upstreams_;
};

/// Opened in the container's namespace.
struct Sockets {
  base::UniqueFd udp, tcp, netns;
};

class Service {
 public:
  virtual ~Service() = default;
  static std::shared_ptr<Service> start(std::shared_ptr<Shared> shared, Sockets sockets, DnsClient client);
  /// Thread: any.
  virtual void update(DnsClient client) = 0;
  virtual void stop() = 0;
};

}  // namespace network::dns
