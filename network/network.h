#pragma once
// A network: a namespace of its own with a bridge, gateway addresses, NAT and an uplink to the host.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "network/config.h"

namespace network {

class HostNetwork;

/// Dropping the object changes nothing in the kernel: the namespace stays pinned, and open() adopts it again.
/// Thread: any; calls on one object take turns.
class Network {
 public:
  /// Builds what `config` says and pins the namespace at `pin` (run/networks/NAME/netns; parent folders are made).
  /// Idempotent: what is there already is completed, so it also repairs after a crash half-way or a flush inside.
  /// macvlan and ipvlan networks have no namespace of their own and only check that the parent interface exists.
  /// Errors: exists (the uplink /31 is used by another engine: decide() again), not_found (parent), permission.
  /// About 3 ms.
  static base::Result<Network> create(HostNetwork& host, NetworkConfig config, std::filesystem::path pin);
  /// Adopts an existing one without touching it. Error not_found when nothing is pinned at `pin`: create() it then.
  static base::Result<Network> open(HostNetwork& host, NetworkConfig config, std::filesystem::path pin);
  /// Deletes uplink, namespace and pin of a network, whether or not there is an object for it; missing parts are success.
  /// Goes on past failures and returns the first. Containers still attached lose their interfaces.
  static base::Result<> remove(HostNetwork& host, const NetworkConfig& config, const std::filesystem::path& pin);

  Network(Network&&) noexcept;
  Network& operator=(Network&&) noexcept;
  ~Network();

  /// Gives the namespace `container` an interface in this network: veth, addresses, MTU, routes, loopback up. One round of
  /// netlink, about 1 ms. On failure nothing stays. An endpoint of the same id is replaced.
  /// Errors: exists (interface name taken in the container), invalid (addresses), not_found (network gone).
  base::Result<Endpoint> attach(base::Fd container, const EndpointConfig& endpoint);
  /// Removes endpoints; missing is success. Many at once cost as much as one.
  base::Result<> detach(const std::vector<std::string>& endpoint_ids);
  /// For endpoints whose containers have ended: nobody hears of them any more when this returns, and the kernel deletes them with
  /// the containers' namespaces. A lone one is not waited for, which deleting takes (rcu_barrier() in netdev_run_todo(), 20 ms).
  base::Result<> silence(const std::vector<std::string>& endpoint_ids);

  [[nodiscard]] const NetworkConfig& config() const;
  [[nodiscard]] base::Fd netns() const;
  /// The address under which containers of this network reach the host (for `host-gateway`): the IPv4 gateway, whose TCP and
  /// UDP is passed on to the host; "" for internal networks and networks without uplink.
  [[nodiscard]] std::string host_gateway() const;

  struct State;
  [[nodiscard]] const std::shared_ptr<State>& state() { return state_; }  ///< for the room's own files

 private:
  explicit Network(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;  ///< shared with what the network has published
};

/// Deletes an interface of a container that lives on (disconnecting it, macvlan and ipvlan too); missing is success.
base::Result<> remove_interface(base::Fd container, const std::string& name);

/// Moves the default routes of a container (after its gateway network was disconnected). Empty = remove that family's.
base::Result<> set_default_routes(base::Fd container, const std::string& gateway4, const std::string& gateway6);

}  // namespace network
