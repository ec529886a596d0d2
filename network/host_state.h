#pragma once
// What HostNetwork keeps. Internal to the room.
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "network/allocate.h"
#include "network/host.h"
#include "network/netlink.h"
#include "network/nft.h"

namespace network {

/// Entries of the maps in a table, by map name.
using Entries = std::map<std::string, std::map<std::string, std::string>>;

/// Holds the lock of the namespace the process runs in: flock(2) on the namespace's own file, so that it needs no path, is
/// seen by every process there and by none elsewhere, and ends with the process.
class HostLock {
 public:
  static base::Result<HostLock> take();
 private:
  explicit HostLock(base::UniqueFd fd) : fd_(std::move(fd)) {}
  base::UniqueFd fd_;
};

struct HostNetwork::State {
  State(Pools pools_, Nft nft_, netlink::Socket socket_)
      : pools(std::move(pools_)), nft(std::move(nft_)), socket(std::move(socket_)) {}
  ~State();

  struct Known {  ///< a network this process serves
    std::vector<Prefix> subnets;
    bool v6 = false;
  };

  Pools pools;
  std::mutex mutex;  ///< guards all below; taken before HostLock
  Nft nft;
  netlink::Socket socket;
  std::string good_rules;                  ///< NftTable::rules as our own text made them; "" = not known yet
  Entries entries;                         ///< published by this process
  std::set<std::string> opened4, opened6;  ///< as last seen in the table, to be put back after a flush
  std::map<std::string, Known> networks;   ///< by uplink interface
  struct Watch;
  std::shared_ptr<Watch> watch;

  // All need `mutex` and a HostLock.
  base::Result<> ensure_locked();
  base::Result<NftTable> ensure_table();
  base::Result<> drop_stale(NftTable& table, const std::vector<netlink::Link>& links);
  base::Result<> open_forwarding(const std::vector<netlink::Link>& links, const std::vector<netlink::RouteEntry>& routes);
  base::Result<> open_forwarding6(const std::vector<netlink::Link>& links, const std::vector<netlink::RouteEntry>& routes);
  base::Result<> route_subnets(const std::vector<netlink::Link>& links, const std::vector<netlink::RouteEntry>& routes);
};

/// nft commands that turn `present` into `wanted` for the given keys; "" when nothing differs.
std::string entry_changes(const Entries& present, const Entries& wanted);
/// nft commands that delete `keys` where present.
std::string entry_removals(const Entries& present, const Entries& keys);

/// Accept rules in other programs' FORWARD chains that drop (foreign_chains.cpp).
base::Result<> accept_in_foreign_chains(Nft& nft);
base::Result<> leave_foreign_chains(Nft& nft);
/// "ip filter DOCKER-USER", one for each chain that has our rules.
base::Result<std::vector<std::string>> foreign_chains_with_our_rules(Nft& nft);

/// /proc/sys files: "net/ipv4/conf/eth0/forwarding". Writes only a value that differs.
std::string read_sysctl(const std::string& name);
base::Result<> write_sysctl(const std::string& name, const std::string& value);

}  // namespace network
