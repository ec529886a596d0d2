// Other firewalls on the host. Our own chain cannot overrule a drop elsewhere: in nftables a packet must pass every chain of
// a hook. So an accept rule goes where each tool leaves room for the administrator.
#include <algorithm>

#include "network/host_state.h"

namespace network {
namespace {

constexpr const char* comment = "compose networks";

bool drops_forwarded(const NftChain& chain) {
  if (chain.hook != "forward" || chain.table == "compose") return false;
  if (chain.family != "ip" && chain.family != "ip6" && chain.family != "inet") return false;
  // firewalld's chain has policy accept and ends in a reject.
  return chain.policy == "drop" || (chain.table == "firewalld" && chain.name == "filter_FORWARD");
}

/// The chain of the same table that the tool reserves for rules by hand, else the base chain itself.
std::string place_for(const NftChain& base_chain, const std::vector<NftChain>& all) {
  for (const char* reserved : {"DOCKER-USER", "ufw-user-forward", "ufw6-user-forward"})
    for (const auto& chain : all)
      if (chain.family == base_chain.family && chain.table == base_chain.table && chain.name == reserved)
        return reserved;
  return base_chain.name;
}

base::Result<> accept_in(Nft& nft, const NftChain& base_chain, const std::string& name) {
  ASSIGN_OR_RETURN(const auto rules, list_rules(nft, base_chain.family, base_chain.table, name));
  if (std::any_of(rules.begin(), rules.end(), [](const NftRule& rule) { return rule.comment == comment; })) return {};
  // Only matches that iptables-nft can show: any other rule makes `iptables -L` refuse the whole table (tried with 1.8.13).
  // What may enter a network is decided by our own chain.
  const std::string at = "insert rule " + base_chain.family + " " + base_chain.table + " " + name;
  static const std::string what = " counter accept comment \"compose networks\"\n";
  TRY(nft.run(at + " iifname \"cps-*\"" + what + at + " oifname \"cps-*\"" + what)
          .with("accepting our networks' traffic in chain " + base_chain.family + " " + base_chain.table + " " + name));
  return {};
}

}  // namespace

base::Result<> accept_in_foreign_chains(Nft& nft, NfSocket& socket) {
  ASSIGN_OR_RETURN(const auto chains, socket.chains());
  for (const auto& chain : chains)
    if (drops_forwarded(chain)) TRY(accept_in(nft, chain, place_for(chain, chains)));
  return {};
}

namespace {
/// Calls `each` for our rules in every chain that may hold some.
template <class Each>
base::Result<> for_our_rules(Nft& nft, NfSocket& socket, Each&& each) {
  ASSIGN_OR_RETURN(const auto chains, socket.chains());
  std::set<std::string> seen;
  for (const auto& chain : chains) {
    const bool candidate = (chain.hook == "forward" && chain.table != "compose") || chain.name == "DOCKER-USER" ||
                           chain.name == "ufw-user-forward" || chain.name == "ufw6-user-forward";
    if (!candidate || !(chain.family == "ip" || chain.family == "ip6" || chain.family == "inet")) continue;
    const auto place = chain.family + " " + chain.table + " " + chain.name;
    if (!seen.insert(place).second) continue;
    auto rules = list_rules(nft, chain.family, chain.table, chain.name);
    if (!rules) continue;  // gone meanwhile
    for (const auto& rule : *rules)
      if (rule.comment == comment) TRY(each(place, rule));
  }
  return {};
}
}  // namespace

base::Result<> leave_foreign_chains(Nft& nft, NfSocket& socket) {
  std::string commands;
  TRY(for_our_rules(nft, socket, [&commands](const std::string& place, const NftRule& rule) -> base::Result<> {
    commands += "delete rule " + place + " handle " + std::to_string(rule.handle) + "\n";
    return {};
  }));
  if (!commands.empty()) TRY(nft.run(commands));
  return {};
}

base::Result<std::vector<std::string>> foreign_chains_with_our_rules(Nft& nft, NfSocket& socket) {
  std::vector<std::string> out;
  TRY(for_our_rules(nft, socket, [&out](const std::string& place, const NftRule&) -> base::Result<> {
    if (out.empty() || out.back() != place) out.push_back(place);
    return {};
  }));
  std::sort(out.begin(), out.end());  // nft lists tables in no order
  return out;
}

}  // namespace network
