#pragma once
// Which subnets, uplinks and addresses to take. Pure: the caller says what is taken, and stores what was chosen.
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "network/config.h"

namespace network {

struct AddressPool {
  std::string base;  ///< "172.17.0.0/12"
  int size = 24;     ///< prefix length of each subnet cut from it
};

/// Where addresses come from. The defaults are Docker's, so that people find what they know.
struct Pools {
  std::vector<AddressPool> subnets;   ///< empty = Docker's default-address-pools (172.17–31.0.0/16, 192.168.0.0/20s)
  /// ULA subnets are cut from here as /64; "" = derived from `machine_id` as RFC 4193 asks (random, stable per machine).
  std::string ipv6_base;
  std::string machine_id;
  /// /31s that join networks to the host. Link-local addresses by default: no router may carry them (RFC 3927 section 7),
  /// so no VPN or LAN route can cover them legitimately; 100.64.0.0/10 is Tailscale's, which drops it on other interfaces.
  /// The clouds' metadata range (169.254.168.0-175.255) and the two reserved /24s are left out.
  std::string uplinks = "169.254.0.0/16";
  std::string uplinks6 = "fd63:6f6d:706f:7365::/64";
};

/// What is taken already.
struct InUse {
  std::vector<NetworkConfig> networks;  ///< every network in the store, of all projects
  std::vector<std::string> routes;      ///< HostNetwork::routes(): what the host can reach, VPNs included
};

/// Completes a request: driver options parsed, subnets and gateways chosen, an uplink reserved.
///
/// Errors: exhausted    "all predefined address pools have been fully subnetted"
///         exists       an asked-for subnet overlaps another network of ours (named)
///         invalid      addresses that do not parse or fit, an option with a bad value, macvlan without parent
///         unsupported  unknown driver or driver option, named
/// An asked-for subnet that overlaps a host route is allowed, as the subnets never enter the host's routing table then.
base::Result<NetworkConfig> decide(const NetworkRequest& request, const InUse& in_use, const Pools& pools = {});

/// The address for an endpoint, without prefix length. `leased` holds the addresses given out in this network, `wanted` is a
/// static address or "". Gateway, aux addresses, network and broadcast address are never given out.
///
/// Chooses the address after the highest leased one, wrapping to the lowest free one only at the end of the range: an
/// address just released is not given to somebody else at once, where stale caches would send it foreign traffic.
/// Errors: exists (wanted is leased), invalid (wanted is outside or reserved), exhausted.
base::Result<std::string> choose_address(const Subnet& subnet, const std::set<std::string>& leased,
                                         const std::string& wanted = {});

/// "172.18.0.2" in "172.18.0.0/16" → "172.18.0.2/16".
std::string with_prefix_length(const Subnet& subnet, const std::string& address);
/// Whether the subnet is IPv6.
bool is_ipv6(const Subnet& subnet);

}  // namespace network
