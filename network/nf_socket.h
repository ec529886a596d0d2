#pragma once
// nf_tables over netlink, without a library of rules' language: a table takes some 0.5 ms, elements 50 µs, where libnftables took
// milliseconds for either, as it parses text and reads the whole ruleset back first. Internal to the room.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "network/nf_table.h"

struct nlmsghdr;

namespace network {

class NfWriter;

struct ElementChange {
  bool add = true;
  std::string map, key, value;  ///< as in Entries; of sets of interfaces ("opened4") only the key, an interface's name
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
  /// Every chain of the namespace.
  base::Result<std::vector<NfChain>> chains();
  /// Changes of maps and sets in table `inet compose`. All or nothing. Errors: not_found (table, map, or an element to delete),
  /// exists (another value under the key).
  base::Result<> change(const std::vector<ElementChange>& changes);

  // Tables (nf_tables.cpp). Each is one transaction.
  /// Error exists where there is one of that name.
  base::Result<> create(const NfTableSpec& table);
  /// All rules anew in the table that is there, or a new one; elements stay. Errors: exists where a map is declared otherwise.
  base::Result<> replace(const NfTableSpec& table);
  /// In place of whatever table has its name: elements are gone.
  base::Result<> recreate(const NfTableSpec& table);
  base::Result<> remove(std::uint8_t family, const std::string& table);
  /// Chains, rules and elements of a table; a missing one is an empty NfTable, not an error.
  base::Result<NfTable> read(std::uint8_t family, const std::string& table);

  // Rules among other people's (nf_tables.cpp).
  base::Result<std::vector<NfListedRule>> rules(const NfChain& chain);
  /// Puts `rules` before all others of the chain, the last one first, each with a comment.
  base::Result<> insert(const NfChain& chain, const std::vector<NfRule>& rules, const std::string& comment);
  base::Result<> remove(const NfChain& chain, const std::vector<NfListedRule>& rules);

  /// Redirects 127.0.0.11:53 to the given ports of 127.0.0.11, replacing an earlier redirect; for a container's namespace.
  base::Result<> redirect_dns(std::uint16_t udp_port, std::uint16_t tcp_port);
  /// Forgets tracked UDP flows to `port`. A flow keeps the translation it began with for as long as packets come, so without
  /// this a client goes on talking to a container that is gone (moby#8795).
  base::Result<> forget_udp_flows(std::uint16_t port);

 private:
  explicit NfSocket(base::UniqueFd fd) : fd_(std::move(fd)) {}
  /// Sends one request and gives every answer to `each`, until it says stop, the dump ends or the kernel refuses.
  base::Result<> ask(NfWriter& request, const std::function<bool(nlmsghdr*)>& each);
  /// Sends what `write` writes as one batch. Its last message must ask for an answer (NLM_F_ACK).
  base::Result<> transact(const std::function<base::Result<>(NfWriter&)>& write);
  base::UniqueFd fd_;
  std::uint32_t sequence_ = 0;
};

}  // namespace network
