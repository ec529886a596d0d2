#pragma once
// Who answers what. Pure.
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "network/dns.h"
#include "network/dns/message.h"

namespace network {

/// An immutable look at a network's names.
struct DnsZone::Table {
  std::string network;                                          ///< lower case
  std::unordered_map<std::string, std::vector<Address>> names;  ///< lower case
  std::map<Address, std::string> reverse;                       ///< "web-1.demo_default"
};

namespace dns {

using Tables = std::vector<std::shared_ptr<const DnsZone::Table>>;

/// An answer of ours; nothing when the query is for somebody else (an upstream). Several addresses come in random order,
/// so that clients which take the first spread over the replicas.
std::optional<Answer> decide(const Query& query, const Tables& tables, std::minstd_rand& random);

/// The nameservers of a resolv.conf text, in order, as written ("127.0.0.53", "fe80::1%eth0").
std::vector<std::string> nameservers(std::string_view resolv_conf);

}  // namespace dns
}  // namespace network
