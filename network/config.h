#pragma once
// Plain values of the room. The engine fills the requests and keeps the configs in its store; nothing here has behaviour.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace network {

/// One address range of a network. In a request every field may be empty (chosen then); in a NetworkConfig subnet and
/// gateway are set (gateway stays empty for ipvlan/macvlan on internal networks).
struct Subnet {
  std::string subnet;                                ///< "172.18.0.0/16", "fd12::/64"
  std::string ip_range;                              ///< addresses are chosen from here; "" = the whole subnet
  std::string gateway;                               ///< plain address
  std::map<std::string, std::string> aux_addresses;  ///< name → address never given to a container
  bool operator==(const Subnet&) const = default;
};

/// What a user asked for.
struct NetworkRequest {
  std::string name;                                  ///< "demo_default"
  std::string driver = "bridge";                     ///< bridge | macvlan | ipvlan
  std::map<std::string, std::string> driver_opts;    ///< Docker's names; unknown ones are refused by decide()
  bool internal = false, ipv4 = true, ipv6 = false;
  std::vector<Subnet> subnets;
};

/// Everything decided: a function of this alone builds the network. Stored by the engine as it is.
struct NetworkConfig {
  std::string name;
  std::string driver = "bridge";
  bool internal = false;
  std::vector<Subnet> subnets;
  std::string uplink;         ///< "169.254.1.0/31": host gets the first address, the network the second; "" = no uplink
  std::string uplink6;        ///< the same as a /127; "" = no IPv6 to the host
  int mtu = 0;                ///< 0 = that of the host's default route
  bool isolate_ports = false; ///< com.docker.network.bridge.enable_icc=false: containers cannot reach each other
  bool masquerade = true;     ///< com.docker.network.bridge.enable_ip_masquerade
  std::string host_binding;   ///< com.docker.network.bridge.host_binding_ipv4: default host address of published ports
  std::string bridge_name;    ///< com.docker.network.bridge.name, inside the network's namespace; "" = "br0"
  std::string interface_prefix;  ///< com.docker.network.container_iface_prefix; "" = "eth"
  std::string parent;         ///< macvlan, ipvlan: the host's interface
  std::string mode;           ///< macvlan: bridge|vepa|private|passthru; ipvlan: l2|l3|l3s
  bool operator==(const NetworkConfig&) const = default;
};

/// How a container's interface shall look. Addresses carry prefix lengths: "172.18.0.2/16".
struct EndpointConfig {
  std::string id;             ///< names the link inside the network; unique there, stable (e.g. the container id)
  std::string interface_name; ///< "" = first free of eth0, eth1, …
  std::string ipv4, ipv6;     ///< "" = none of that family
  std::vector<std::string> link_local_ips;  ///< further addresses, with or without prefix length
  std::string mac;            ///< "" = 02:42 + IPv4 address, so that a recreated container keeps it and no ARP cache goes stale
  std::string gateway4, gateway6;  ///< default routes through this interface; "" = leave the default route alone
};

/// What an attachment became.
struct Endpoint {
  std::string interface_name, mac;
};

struct PortMapping {
  std::string protocol = "tcp";      ///< tcp | udp
  std::string host_ip;               ///< "" = every address, IPv4 and IPv6
  std::uint16_t host_port = 0;       ///< 0 = any free one
  std::uint16_t host_port_last = 0;  ///< first free of host_port…host_port_last; 0 = host_port only
  std::uint16_t container_port = 0;
};

/// A mapping as bound: one per family, as `docker ps` shows them.
struct BoundPort {
  std::string protocol, host_ip;     ///< host_ip is "0.0.0.0" or "::" for wildcards
  std::uint16_t host_port = 0, container_port = 0;
  bool operator==(const BoundPort&) const = default;
};

}  // namespace network
