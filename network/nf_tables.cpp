// Whole tables over netlink: made, made anew, removed and read; and rules among other people's.
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "network/nf_message.h"
#include "network/nf_socket.h"

namespace network {
namespace {

// nft's own numbers: a concatenation's type is its parts' types, six bits each (include/datatype.h); comments of rules are one
// piece of user data, type 0 (libnftnl's udata.h).
constexpr unsigned type_bits = 6;
constexpr char comment_piece = 0;
// A set's user data: nft turns the bytes of names about unless told that keys are in the host's order (type 0, four bytes, 1).
constexpr std::string_view key_is_host_order("\0\4\1\0\0\0", 6);

std::uint32_t size_of(NfType type) {
  switch (type) {
    case NfType::ipv6_addr:
    case NfType::ifname: return 16;
    default: return 4;  // padded to a register
  }
}

std::uint32_t type_of(const NfTypes& types) {
  std::uint32_t out = 0;
  for (const auto type : types) out = (out << type_bits) | static_cast<std::uint32_t>(type);
  return out;
}

std::uint32_t size_of(const NfTypes& types) {
  std::uint32_t out = 0;
  for (const auto type : types) out += size_of(type);
  return out;
}

NfTypes types_of(std::uint32_t number) {
  NfTypes out;
  for (; number != 0; number >>= type_bits) out.insert(out.begin(), static_cast<NfType>(number & ((1U << type_bits) - 1)));
  return out;
}

/// "tcp . 80" of eight bytes.
std::string element_text(const NfTypes& types, std::string_view bytes) {
  std::string out;
  for (const auto type : types) {
    const auto part = bytes.substr(0, size_of(type));
    if (part.size() < size_of(type)) return out;
    bytes.remove_prefix(part.size());
    const auto byte = [&](std::size_t at) { return static_cast<std::uint8_t>(part[at]); };
    if (!out.empty()) out += " . ";
    std::array<std::uint8_t, 16> address{};
    switch (type) {
      case NfType::inet_proto: out += byte(0) == IPPROTO_TCP ? "tcp" : byte(0) == IPPROTO_UDP ? "udp" : std::to_string(byte(0)); break;
      case NfType::inet_service: out += std::to_string(byte(0) << 8 | byte(1)); break;
      case NfType::ipv4_addr:
        out += Address::v4(std::uint32_t{byte(0)} << 24 | std::uint32_t{byte(1)} << 16 | std::uint32_t{byte(2)} << 8 | byte(3)).text();
        break;
      case NfType::ipv6_addr:
        std::copy(part.begin(), part.end(), address.begin());
        out += Address::v6(address).text();
        break;
      default: out += part.substr(0, part.find('\0'));
    }
  }
  return out;
}

void put_table(NfWriter& out, const NfTableSpec& table, int message, int flags) {
  put_text(out.table_message(message, flags, table.family), NFTA_TABLE_NAME, table.name);
}

void put_map(NfWriter& out, const NfTableSpec& table, const NfMapSpec& map, std::uint32_t id) {
  auto* m = out.table_message(NFT_MSG_NEWSET, NLM_F_CREATE, table.family);
  put_text(m, NFTA_SET_TABLE, table.name);
  put_text(m, NFTA_SET_NAME, map.name);
  put_u32(m, NFTA_SET_ID, id);
  put_u32(m, NFTA_SET_FLAGS, map.value.empty() ? 0 : NFT_SET_MAP);
  put_u32(m, NFTA_SET_KEY_TYPE, type_of(map.key));
  put_u32(m, NFTA_SET_KEY_LEN, size_of(map.key));
  if (map.key == NfTypes{NfType::ifname}) put(m, NFTA_SET_USERDATA, key_is_host_order);
  if (map.value.empty()) return;
  put_u32(m, NFTA_SET_DATA_TYPE, type_of(map.value));
  put_u32(m, NFTA_SET_DATA_LEN, size_of(map.value));
}

void put_chain(NfWriter& out, const NfTableSpec& table, const NfChainSpec& chain) {
  auto* m = out.table_message(NFT_MSG_NEWCHAIN, NLM_F_CREATE, table.family);
  put_text(m, NFTA_CHAIN_TABLE, table.name);
  put_text(m, NFTA_CHAIN_NAME, chain.name);
  for (const auto& hook : chain.hook) {
    put(m, NFTA_CHAIN_HOOK, attribute_u32(NFTA_HOOK_HOOKNUM, hook.number) +
                                attribute_u32(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(hook.priority)));
    put_u32(m, NFTA_CHAIN_POLICY, hook.policy == "drop" ? NF_DROP : NF_ACCEPT);
    put_text(m, NFTA_CHAIN_TYPE, hook.type);
  }
}

void put_rule(NfWriter& out, const NfTableSpec& table, const NfChainSpec& chain, const NfRule& rule, int more_flags) {
  auto* m = out.table_message(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | more_flags, table.family);
  put_text(m, NFTA_RULE_TABLE, table.name);
  put_text(m, NFTA_RULE_CHAIN, chain.name);
  put(m, NFTA_RULE_EXPRESSIONS, rule.bytes());
}

/// All but the table itself. A chain may jump to any other, so all of them come before the rules.
void put_contents(NfWriter& out, const NfTableSpec& table) {
  std::uint32_t id = 0;
  for (const auto& map : table.maps) put_map(out, table, map, ++id);
  for (const auto& chain : table.chains) put_chain(out, table, chain);
  const NfRule* last = nullptr;
  for (const auto& chain : table.chains)
    if (!chain.rules.empty()) last = &chain.rules.back();
  for (const auto& chain : table.chains)
    for (const auto& rule : chain.rules) put_rule(out, table, chain, rule, &rule == last ? NLM_F_ACK : 0);
}

std::uint8_t family_number(const std::string& name) {
  return name == "ip" ? NFPROTO_IPV4 : name == "ip6" ? NFPROTO_IPV6 : NFPROTO_INET;
}

using Canonical = std::map<std::string, std::string>;  ///< by chain

std::string chain_line(const std::string& name, const NfHook* hook) {
  std::string out = "chain " + name;
  if (hook)
    out += " " + hook->type + " " + std::to_string(hook->number) + " " + std::to_string(hook->priority) + " " + hook->policy;
  return out + "\n";
}

void add_rule(std::string& chain, std::string_view expressions) {
  chain += std::to_string(expressions.size()) + ":";
  chain += expressions;
}

std::string joined(const Canonical& chains) {
  std::string out;
  for (const auto& [ignored, text] : chains) out += text;
  return out;
}

void read_chain(nlmsghdr* message, const std::string& table, Canonical& chains) {
  std::array<nlattr*, NFTA_CHAIN_MAX + 1> attributes{};
  nlmsg_parse(message, sizeof(nfgenmsg), attributes.data(), NFTA_CHAIN_MAX, nullptr);
  if (text_of(attributes[NFTA_CHAIN_TABLE]) != table) return;
  const auto name = text_of(attributes[NFTA_CHAIN_NAME]);
  if (!attributes[NFTA_CHAIN_HOOK]) {
    chains[name] = chain_line(name, nullptr);
    return;
  }
  std::array<nlattr*, NFTA_HOOK_MAX + 1> parts{};
  nla_parse_nested(parts.data(), NFTA_HOOK_MAX, attributes[NFTA_CHAIN_HOOK], nullptr);
  const NfHook hook{.type = text_of(attributes[NFTA_CHAIN_TYPE]), .number = u32_of(parts[NFTA_HOOK_HOOKNUM]),
                    .priority = static_cast<std::int32_t>(u32_of(parts[NFTA_HOOK_PRIORITY])),
                    .policy = u32_of(attributes[NFTA_CHAIN_POLICY]) == NF_ACCEPT ? "accept" : "drop"};
  chains[name] = chain_line(name, &hook);
}

struct MapHeader {
  std::string name;
  NfTypes key, value;
};

std::string_view value_of(nlattr* data) {
  return data ? bytes_of(nla_find(static_cast<nlattr*>(nla_data(data)), nla_len(data), NFTA_DATA_VALUE)) : std::string_view();
}

void read_elements(nlmsghdr* message, const MapHeader& header, NfTable& out) {
  nlattr* const list = nlmsg_find_attr(message, sizeof(nfgenmsg), NFTA_SET_ELEM_LIST_ELEMENTS);
  if (!list) return;
  int left = nla_len(list);
  for (auto* each = static_cast<nlattr*>(nla_data(list)); nla_ok(each, left); each = nla_next(each, &left)) {
    std::array<nlattr*, NFTA_SET_ELEM_MAX + 1> element{};
    nla_parse_nested(element.data(), NFTA_SET_ELEM_MAX, each, nullptr);
    const auto key = element_text(header.key, value_of(element[NFTA_SET_ELEM_KEY]));
    if (header.value.empty()) out.sets[header.name].push_back(key);
    else out.maps[header.name][key] = element_text(header.value, value_of(element[NFTA_SET_ELEM_DATA]));
  }
}

}  // namespace

std::string canonical(const NfTableSpec& table) {
  Canonical out;
  for (const auto& chain : table.chains) {
    auto& text = out[chain.name] = chain_line(chain.name, chain.hook.empty() ? nullptr : &chain.hook.front());
    for (const auto& rule : chain.rules) add_rule(text, rule.bytes());
  }
  return joined(out);
}

base::Result<> NfSocket::create(const NfTableSpec& table) {
  return transact([&](NfWriter& out) -> base::Result<> {
    put_table(out, table, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
    put_contents(out, table);
    return {};
  });
}

base::Result<> NfSocket::replace(const NfTableSpec& table) {
  return transact([&](NfWriter& out) -> base::Result<> {
    put_table(out, table, NFT_MSG_NEWTABLE, NLM_F_CREATE);  // so that there is one to flush
    put_text(out.table_message(NFT_MSG_DELRULE, 0, table.family), NFTA_RULE_TABLE, table.name);
    put_contents(out, table);
    return {};
  });
}

base::Result<> NfSocket::recreate(const NfTableSpec& table) {
  return transact([&](NfWriter& out) -> base::Result<> {
    put_table(out, table, NFT_MSG_NEWTABLE, NLM_F_CREATE);  // so that there is one to remove
    put_table(out, table, NFT_MSG_DELTABLE, 0);
    put_table(out, table, NFT_MSG_NEWTABLE, NLM_F_CREATE);
    put_contents(out, table);
    return {};
  });
}

base::Result<> NfSocket::remove(std::uint8_t family, const std::string& table) {
  return transact([&](NfWriter& out) -> base::Result<> {
    put_text(out.table_message(NFT_MSG_DELTABLE, NLM_F_ACK, family), NFTA_TABLE_NAME, table);
    return {};
  });
}

base::Result<NfTable> NfSocket::read(std::uint8_t family, const std::string& table) {
  const auto dump = [&](int message, int name_attribute, const std::function<void(nlmsghdr*)>& each) -> base::Result<> {
    NfWriter out(sequence_);
    put_text(out.table_message(message, NLM_F_DUMP, family), name_attribute, table);
    auto asked = ask(out, [&](nlmsghdr* answer) {
      each(answer);
      return true;
    });
    if (!asked && asked.error().number == ENOENT) return {};  // gone
    return asked;
  };
  NfTable out;
  Canonical chains;
  TRY(dump(NFT_MSG_GETCHAIN, NFTA_CHAIN_TABLE, [&](nlmsghdr* message) { read_chain(message, table, chains); }));
  if (chains.empty()) return out;
  TRY(dump(NFT_MSG_GETRULE, NFTA_RULE_TABLE, [&](nlmsghdr* message) {
    std::array<nlattr*, NFTA_RULE_MAX + 1> attributes{};
    nlmsg_parse(message, sizeof(nfgenmsg), attributes.data(), NFTA_RULE_MAX, nullptr);
    add_rule(chains[text_of(attributes[NFTA_RULE_CHAIN])], bytes_of(attributes[NFTA_RULE_EXPRESSIONS]));
  }));
  out.rules = joined(chains);
  std::vector<MapHeader> maps;
  TRY(dump(NFT_MSG_GETSET, NFTA_SET_TABLE, [&](nlmsghdr* message) {
    std::array<nlattr*, NFTA_SET_MAX + 1> attributes{};
    nlmsg_parse(message, sizeof(nfgenmsg), attributes.data(), NFTA_SET_MAX, nullptr);
    maps.push_back({text_of(attributes[NFTA_SET_NAME]), types_of(u32_of(attributes[NFTA_SET_KEY_TYPE])),
                    types_of(u32_of(attributes[NFTA_SET_DATA_TYPE]))});
  }));
  for (const auto& map : maps) {
    NfWriter request(sequence_);
    auto* m = request.table_message(NFT_MSG_GETSETELEM, NLM_F_DUMP, family);
    put_text(m, NFTA_SET_ELEM_LIST_TABLE, table);
    put_text(m, NFTA_SET_ELEM_LIST_SET, map.name);
    auto asked = ask(request, [&](nlmsghdr* message) {
      read_elements(message, map, out);
      return true;
    });
    if (!asked && asked.error().number != ENOENT) return std::move(asked).error();
  }
  return out;
}

base::Result<std::vector<NfListedRule>> NfSocket::rules(const NfChain& chain) {
  NfWriter request(sequence_);
  auto* m = request.table_message(NFT_MSG_GETRULE, NLM_F_DUMP, family_number(chain.family));
  put_text(m, NFTA_RULE_TABLE, chain.table);
  put_text(m, NFTA_RULE_CHAIN, chain.name);
  std::vector<NfListedRule> out;
  TRY(ask(request, [&](nlmsghdr* message) {
    std::array<nlattr*, NFTA_RULE_MAX + 1> attributes{};
    nlmsg_parse(message, sizeof(nfgenmsg), attributes.data(), NFTA_RULE_MAX, nullptr);
    NfListedRule rule{.handle = u64_of(attributes[NFTA_RULE_HANDLE]), .comment = {}};
    // Pieces of user data: type, size, bytes.
    for (auto left = bytes_of(attributes[NFTA_RULE_USERDATA]); left.size() >= 2;) {
      const auto piece = left.substr(2, static_cast<std::uint8_t>(left[1]));
      if (left[0] == comment_piece) rule.comment = piece.substr(0, piece.find('\0'));
      left.remove_prefix(2 + piece.size());
    }
    out.push_back(std::move(rule));
    return true;
  }));
  return out;
}

base::Result<> NfSocket::insert(const NfChain& chain, const std::vector<NfRule>& rules, const std::string& comment) {
  return transact([&](NfWriter& out) -> base::Result<> {
    for (const auto& rule : rules) {
      auto* m = out.table_message(NFT_MSG_NEWRULE, NLM_F_CREATE | (&rule == &rules.back() ? NLM_F_ACK : 0), family_number(chain.family));
      put_text(m, NFTA_RULE_TABLE, chain.table);
      put_text(m, NFTA_RULE_CHAIN, chain.name);
      put(m, NFTA_RULE_EXPRESSIONS, rule.bytes());
      put(m, NFTA_RULE_USERDATA, std::string{comment_piece, static_cast<char>(comment.size() + 1)} + comment + '\0');
    }
    return {};
  });
}

base::Result<> NfSocket::remove(const NfChain& chain, const std::vector<NfListedRule>& rules) {
  if (rules.empty()) return {};
  return transact([&](NfWriter& out) -> base::Result<> {
    for (const auto& rule : rules) {
      auto* m = out.table_message(NFT_MSG_DELRULE, &rule == &rules.back() ? NLM_F_ACK : 0, family_number(chain.family));
      put_text(m, NFTA_RULE_TABLE, chain.table);
      put_text(m, NFTA_RULE_CHAIN, chain.name);
      put_u64(m, NFTA_RULE_HANDLE, rule.handle);
    }
    return {};
  });
}

}  // namespace network
