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
#include "network/nf_socket.h"

namespace network {

/// Holds the lock of the namespace the process runs in: flock(2) on the namespace's own file, so that it needs no path, is
/// seen by every process there and by none elsewhere, and ends with the process.
class HostLock {
 public:
  static base::Result<HostLock> take();
 private:
  explicit HostLock(base::UniqueFd fd) : fd_(std::move(fd)) {}
  base::UniqueFd fd_;
};

/// Table `inet compose` of one namespace as last read, and how to tell whether that is still true.
class TableView {
 public:
  explicit TableView(NfSocket socket) : socket_(std::move(socket)) {}
  /// Whether nobody changed the namespace's ruleset since the last read or change().
  base::Result<bool> fresh();
  /// The table, read again when it is not fresh.
  base::Result<const NfTable*> table();
  /// Reads it again whatever is known.
  base::Result<const NfTable*> reread();
  /// Makes the table where there is none: it is known then without reading it. Error exists where there is one.
  base::Result<> make(const NfTableSpec& spec);
  /// Changes elements and remembers that.
  base::Result<> change(const std::vector<ElementChange>& changes);
  NfSocket& socket() { return socket_; }

 private:
  NfSocket socket_;
  std::uint32_t generation_ = 0;  ///< 0 = nothing known
  NfTable table_;
};

struct HostNetwork::State {
  State(Pools pools_, NfTableSpec wanted_, NfSocket rules, netlink::Socket socket_)
      : pools(std::move(pools_)), wanted(std::move(wanted_)), good_rules(canonical(wanted)), view(std::move(rules)),
        socket(std::move(socket_)) {}
  ~State();

  struct Known {  ///< a network this process serves
    std::vector<Prefix> subnets;
    bool v6 = false;
  };

  Pools pools;
  NfTableSpec wanted;      ///< the host's table
  std::string good_rules;  ///< NfTable::rules as it should read: as we wrote it, or as this kernel lists what we wrote
  std::mutex mutex;        ///< guards all below; taken before HostLock
  TableView view;
  netlink::Socket socket;
  Entries entries;                         ///< published by this process
  std::set<std::string> opened4, opened6;  ///< as last seen in the table, to be put back after a flush
  std::map<std::string, Known> networks;   ///< by uplink interface
  struct Watch;
  std::shared_ptr<Watch> watch;

  // All need `mutex` and a HostLock.
  base::Result<> ensure_locked();
  /// Like ensure_locked(), but free while nobody touches the ruleset; links and routes are not looked at then.
  base::Result<> ensure_rules_locked();
  base::Result<> ensure_table();
  base::Result<> drop_stale(const std::vector<netlink::Link>& links);
  base::Result<> open_forwarding(const std::vector<netlink::Link>& links, const std::vector<netlink::RouteEntry>& routes);
  base::Result<> open_forwarding6(const std::vector<netlink::Link>& links, const std::vector<netlink::RouteEntry>& routes);
  base::Result<> route_subnets(const std::vector<netlink::Link>& links, const std::vector<netlink::RouteEntry>& routes);
};

/// What turns `present` into `wanted` for the keys of `wanted`.
std::vector<ElementChange> entry_changes(const Entries& present, const Entries& wanted);
/// What deletes the keys of `keys` where present.
std::vector<ElementChange> entry_removals(const Entries& present, const Entries& keys);

/// Accept rules in other programs' FORWARD chains that drop (foreign_chains.cpp).
base::Result<> accept_in_foreign_chains(NfSocket& socket);
base::Result<> leave_foreign_chains(NfSocket& socket);
/// "ip filter DOCKER-USER", one for each chain that has our rules.
base::Result<std::vector<std::string>> foreign_chains_with_our_rules(NfSocket& socket);

/// /proc/sys files: "net/ipv4/conf/eth0/forwarding". Writes only a value that differs.
std::string read_sysctl(const std::string& name);
base::Result<> write_sysctl(const std::string& name, const std::string& value);

}  // namespace network
