#pragma once
// Names: what containers resolve, and the server at 127.0.0.11 in each of their namespaces.
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace boost::asio {
class io_context;
}

namespace network {

/// A running container in one network.
struct DnsHost {
  std::string name;                    ///< what PTR answers: the container's name
  std::vector<std::string> aliases;    ///< service name, network aliases, short id; shared by replicas
  std::vector<std::string> addresses;  ///< IPv4 and IPv6, with or without prefix length
};

/// The names of one network, shared by all its containers. update() replaces all of them at once: a query sees the old
/// names or the new ones. Thread: any.
class DnsZone {
 public:
  explicit DnsZone(std::string network);
  ~DnsZone();
  DnsZone(const DnsZone&) = delete;
  DnsZone& operator=(const DnsZone&) = delete;

  /// Addresses that do not parse are left out.
  void update(const std::vector<DnsHost>& hosts);
  [[nodiscard]] const std::string& network() const { return network_; }

  struct Table;
  [[nodiscard]] std::shared_ptr<const Table> table() const;  ///< for the room's own files

 private:
  std::string network_;
  struct Slot;
  std::unique_ptr<Slot> slot_;
};

/// What one container sees.
struct DnsClient {
  std::vector<std::shared_ptr<DnsZone>> zones;  ///< its networks; the first that knows a name answers
  std::vector<std::string> upstreams;           ///< its `dns:`, asked from inside its namespace; empty = the host's, asked from the host
  bool forward = true;                          ///< false when all its networks are internal: SERVFAIL for foreign names, as Docker answers
};

/// Serves names to containers. Sockets are opened inside each container's namespace on a free port, and 127.0.0.11:53 is
/// redirected there, so a container may itself bind port 53. TTL 1 s: a moved name is found at once, a busy client still caches.
/// Thread: any; queries are answered on `io`.
class DnsServer {
 public:
  struct Options {
    std::string resolv_conf = "/etc/resolv.conf";  ///< the host's; followed while it changes
    unsigned forwards_max = 4096;                  ///< queries waiting for an upstream; more get SERVFAIL
  };
  static base::Result<std::unique_ptr<DnsServer>> create(boost::asio::io_context& io, Options options);
  static base::Result<std::unique_ptr<DnsServer>> create(boost::asio::io_context& io);
  ~DnsServer();
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  /// Starts (or restarts, after adoption) serving the namespace. `id` is any unique text, e.g. the container id.
  base::Result<> serve(const std::string& id, base::Fd container, DnsClient client);
  /// Changes what it sees (connected to or disconnected from a network). Unknown id: nothing.
  void update(const std::string& id, DnsClient client);
  void stop(const std::string& id);

 private:
  struct State;
  explicit DnsServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

/// A container's /etc/resolv.conf: nameserver 127.0.0.11, `search` (else the host's), options (ndots:0 unless given), as Docker
/// writes it. For network_mode host pass the host's file through instead.
struct ResolvConfRequest {
  std::vector<std::string> search, options;
  std::string host_resolv_conf;  ///< text of the host's file
};
std::string container_resolv_conf(const ResolvConfRequest& request);

}  // namespace network
