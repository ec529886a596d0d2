#pragma once
// Links, addresses and routes over rtnetlink. Internal to the room. libnl encodes, a batch goes out in one system call.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "network/address.h"

struct nl_msg;

namespace network::netlink {

struct Link {
  int index = 0;
  std::string name, kind;  ///< kind: "veth", "bridge", … or ""
  int mtu = 0;
  bool up = false;
  bool running = false;  ///< carries packets: its carrier has been noticed (IFLA_OPERSTATE up)
};

struct RouteEntry {
  std::optional<Prefix> destination;  ///< absent = default route
  bool v6 = false;
  int interface = 0;
  unsigned metric = 0;
  int table = 0, type = 0, protocol = 0;
  int mtu = 0;  ///< RTAX_MTU, 0 = none
};

struct VethSpec {
  std::string name;
  /// 0 = the kernel's choice. Where both ends get the same number in their namespaces, the kernel takes the pair for one
  /// device without a lower one and reports the link a second late (linkwatch_urgent_event()): no IPv6 until then.
  int index = 0;
  int mtu = 0;
  int master = 0;  ///< index of a bridge; 0 = none
  std::string peer_name, peer_mac;
  base::Fd peer_netns;
};

struct VlanSpec {  ///< macvlan and ipvlan
  std::string name, kind, mode, mac;
  int parent = 0, mtu = 0;
  base::Fd netns;
};

struct RouteSpec {
  std::optional<Prefix> destination;  ///< absent = default
  bool v6 = false;
  std::optional<Address> gateway;
  int interface = 0;
  unsigned metric = 0;
  bool replace = false;
  bool link_scope = false;
};

/// Requests that go out together. The kernel carries each out in turn and goes on past failures.
class Batch {
 public:
  Batch();
  ~Batch();
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  void add_bridge(const std::string& name, const std::string& mac, int mtu);
  void add_veth(const VethSpec& spec);
  void add_vlan(const VlanSpec& spec);
  void set_up(int interface, bool up = true);
  /// Of a link that is down.
  void set_name(int interface, const std::string& name);
  /// Missing is success.
  void set_down(const std::string& name);
  /// Missing is success.
  void set_group(const std::string& name, unsigned group);
  void isolate_port(int interface);
  /// Missing is success.
  void remove_link(const std::string& name);
  void remove_group(unsigned group);
  /// Present already is success.
  void add_address(int interface, const Prefix& address);
  void add_route(const RouteSpec& spec);
  /// Missing is success.
  void remove_route(const RouteSpec& spec);
  [[nodiscard]] bool empty() const { return requests_.empty(); }

 private:
  friend class Socket;
  struct Request {
    nl_msg* message;
    std::string label;
    int tolerated;  ///< an errno that counts as success; 0 = none
  };
  nl_msg* request(int type, int flags, std::string label, int tolerated = 0);
  std::vector<Request> requests_;
};

/// An rtnetlink socket. It stays in the namespace it was opened in. Not for several threads at once.
class Socket {
 public:
  /// In the calling thread's namespace.
  static base::Result<Socket> open();
  static base::Result<Socket> open(base::Fd netns);

  /// Sends all and waits for the answers; the first failure, labelled.
  base::Result<> run(const Batch& batch);
  /// Error not_found when there is no such link.
  base::Result<Link> link(const std::string& name);
  /// Waits until the kernel has noticed the link's carrier. It does so by a work queue; until then packets sent are dropped
  /// silently and a bridge takes none from the port, which costs the container a second: that of ARP's first repetition.
  /// Asking for the link makes it notice at once since Linux 6.8 (rtnl_getlink()); before, this looks again every
  /// millisecond. IPv6 addresses among `addresses` get their local route by a work queue too (addrconf_dad_work()); until then
  /// what is sent to them is taken for a stranger's, and a neighbour asked for answers in vain, for a second again.
  /// Gives up without an error after 200 ms.
  base::Result<> settle(const std::string& name, const std::vector<Prefix>& addresses = {});
  base::Result<std::vector<Link>> links();
  base::Result<std::vector<RouteEntry>> routes();

 private:
  explicit Socket(base::UniqueFd fd) : fd_(std::move(fd)) {}
  base::Result<> send(const std::string& bytes);
  /// Whether what is sent to each IPv6 address would be taken in.
  base::Result<bool> reachable(const std::vector<Prefix>& addresses);
  base::UniqueFd fd_;
  std::uint32_t sequence_ = 0;
};

/// "02:42:ac:12:00:02" → 6 bytes. Error invalid; multicast addresses too.
base::Result<std::string> parse_mac(const std::string& text);

}  // namespace network::netlink
