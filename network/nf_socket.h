#pragma once
// nf_tables over netlink, for the few things done often: elements of known maps, and a container's redirect. Some 50 µs
// where libnftables takes milliseconds, as that reads the whole ruleset (and /etc/protocols) back first. Internal to the room.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace network {

/// Entries of the maps in table `inet compose`, by map name: "tcp . 80" → "10.0.0.1 . 80".
using Entries = std::map<std::string, std::map<std::string, std::string>>;

struct ElementChange {
  bool add = true;
  std::string map, key, value;  ///< as in Entries; of sets of interfaces ("opened4") only the key, an interface's name
};

/// A chain; hook and policy are "" for those without a hook.
struct NftChain {
  std::string family, table, name, hook, policy;
};

/// Keep one open rather than opening one a task: closing it waits for a grace period (some 10 ms) whenever the namespace's
/// rules have just lost something (nft_rcv_nl_event()).
class NfSocket {
 public:
  /// In the calling thread's namespace; it stays there.
  static base::Result<NfSocket> open();
  static base::Result<NfSocket> open(base::Fd netns);

  /// Number of the ruleset: every transaction of anybody in the namespace changes it.
  base::Result<std::uint32_t> generation();
  /// Whether table `inet compose` is there.
  base::Result<bool> has_table();
  /// Every chain of the namespace.
  base::Result<std::vector<NftChain>> chains();
  /// All or nothing. Errors: not_found (table, map, or an element to delete), exists (another value under the key).
  base::Result<> change(const std::vector<ElementChange>& changes);
  /// Redirects 127.0.0.11:53 to the given ports of 127.0.0.11, replacing an earlier redirect; for a container's namespace:
  ///   table ip compose_dns { chain output { type nat hook output priority -100;
  ///     ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:UDP_PORT      (and the same for tcp)
  base::Result<> redirect_dns(std::uint16_t udp_port, std::uint16_t tcp_port);
  /// Forgets tracked UDP flows to `port`. A flow keeps the translation it began with for as long as packets come, so without
  /// this a client goes on talking to a container that is gone (moby#8795).
  base::Result<> forget_udp_flows(std::uint16_t port);

 private:
  explicit NfSocket(base::UniqueFd fd) : fd_(std::move(fd)) {}
  template <class Each>
  base::Result<> ask(const std::string& request, Each&& each);
  base::Result<> transact(const std::string& messages, std::uint32_t first, std::uint32_t last);
  base::UniqueFd fd_;
  std::uint32_t sequence_ = 0;
};

}  // namespace network
