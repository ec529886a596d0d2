#pragma once
// What we change in the host's own network namespace, all of it here: one nft table, forwarding on the interfaces that need
// it, accept rules in foreign default-drop FORWARD chains, one veth per network ("cps-…").
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "network/allocate.h"

namespace boost::asio {
class io_context;
}

namespace network {

/// The host's side. One per process; the host's namespace is the one the process runs in.
/// Several processes share table `inet compose`; a lock tied to the namespace makes their changes take turns.
/// Thread: any.
class HostNetwork {
 public:
  /// Changes nothing yet. `pools.uplinks` and `uplinks6` must be those the networks were decided with.
  static base::Result<std::unique_ptr<HostNetwork>> open(const Pools& pools = {});
  ~HostNetwork();
  HostNetwork(const HostNetwork&) = delete;
  HostNetwork& operator=(const HostNetwork&) = delete;

  /// Makes the host as the existing uplinks and published ports need it: table, rules, forwarding, accept rules, this
  /// process's port entries; drops entries that point to networks which are gone. Idempotent and cheap when nothing is missing
  /// (about 1 ms). Network and PortPublisher call it themselves.
  base::Result<> ensure();
  /// Removes all of it when no uplink is left: table, accept rules; forwarding goes back to what it was.
  base::Result<> release_if_unused();
  /// Watches firewall, link and route changes from now on and calls ensure() soon after one, so that `nft flush ruleset`,
  /// a firewall reload or a new VPN is answered within half a second. Thread: runs on `io`.
  base::Result<> watch(boost::asio::io_context& io);
  void stop_watching();

  /// What the host can reach, as prefixes, default routes left out. Uplinks of every engine on the machine are among them,
  /// so two engines with separate stores do not choose the same. For InUse::routes.
  static base::Result<std::vector<std::string>> routes();
  /// MTU of the IPv4 default route, else of the IPv6 one, else 1500.
  static base::Result<int> mtu();
  /// Every change to the host as it is now, a line each, for `compose system info`.
  base::Result<std::vector<std::string>> changes();

  struct State;
  [[nodiscard]] State& state() { return *state_; }  ///< for the room's own files

 private:
  explicit HostNetwork(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace network
