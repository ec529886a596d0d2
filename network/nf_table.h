#pragma once
// Tables of firewall rules: as we want them, and as they were read. Pure; internal to the room.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "network/nf_rule.h"

namespace network {

/// Entries of the maps in table `inet compose`, by map name: "tcp . 80" → "10.0.0.1 . 80".
using Entries = std::map<std::string, std::map<std::string, std::string>>;

/// What a part of a key or of a value is: nft's datatypes, by the numbers under which `nft` finds their names again.
enum class NfType : std::uint8_t { ipv4_addr = 7, ipv6_addr = 8, inet_proto = 12, inet_service = 13, ifname = 41 };
using NfTypes = std::vector<NfType>;

/// A map, or with no `value` a set.
struct NfMapSpec {
  std::string name;
  NfTypes key, value;
};

/// Where the kernel calls a chain: type "filter" or "nat", hook by number (NF_INET_*), policy "accept" or "drop".
struct NfHook {
  std::string type;
  std::uint32_t number = 0;
  std::int32_t priority = 0;
  std::string policy = "accept";
};

struct NfChainSpec {
  std::string name;
  std::vector<NfHook> hook;  ///< one, or none for a chain that others jump to
  std::vector<NfRule> rules;
};

struct NfTableSpec {
  std::uint8_t family = 0;  ///< NFPROTO_*
  std::string name;
  std::vector<NfMapSpec> maps;
  std::vector<NfChainSpec> chains;
};

/// A table as read.
struct NfTable {
  std::string rules;  ///< chains and rules in the form of canonical(); "" = the table is missing
  Entries maps;
  std::map<std::string, std::vector<std::string>> sets;  ///< by set name
};

/// Chains and rules in bytes to compare: the same for two tables whose packets meet the same fate. Maps and sets do not count.
std::string canonical(const NfTableSpec& table);

/// A chain; hook and policy are "" for those without a hook.
struct NfChain {
  std::string family, table, name, hook, policy;
};

/// One rule of a foreign chain.
struct NfListedRule {
  std::uint64_t handle = 0;
  std::string comment;
};

}  // namespace network
