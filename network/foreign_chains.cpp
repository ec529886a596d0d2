// Other firewalls on the host. Our own chain cannot overrule a drop elsewhere: in nftables a packet must pass every chain of
// a hook. So an accept rule goes where each tool leaves room for the administrator.
#include <algorithm>

#include "network/host_state.h"

namespace network {
namespace {

constexpr const char* comment = "compose networks";

bool drops_forwarded(const NfChain& chain) {
  if (chain.hook != "forward" || chain.table == "compose") return false;
  if (chain.family != "ip" && chain.family != "ip6" && chain.family != "inet") return false;
  // firewalld's chain has policy accept and ends in a reject.
  return chain.policy == "drop" || (chain.table == "firewalld" && chain.name == "filter_FORWARD");
}

/// The chain of the same table that the tool reserves for rules by hand, else the base chain itself.
NfChain place_for(const NfChain& base_chain, const std::vector<NfChain>& all) {
  for (const char* reserved : {"DOCKER-USER", "ufw-user-forward", "ufw6-user-forward"})
    for (const auto& chain : all)
      if (chain.family == base_chain.family && chain.table == base_chain.table && chain.name == reserved)
        return chain;
  return base_chain;
}

base::Result<> accept_in(NfSocket& socket, const NfChain& place) {
  ASSIGN_OR_RETURN(const auto rules, socket.rules(place));
  if (std::any_of(rules.begin(), rules.end(), [](const NfListedRule& rule) { return rule.comment == comment; })) return {};
  // Only matches that iptables-nft can show: any other rule makes `iptables -L` refuse the whole table (tried with 1.8.13).
  // What may enter a network is decided by our own chain.
  const std::vector<NfRule> ours{NfRule().in("cps-*").counter().accept(), NfRule().out("cps-*").counter().accept()};
  return socket.insert(place, ours, comment)
      .with("accepting our networks' traffic in chain " + place.family + " " + place.table + " " + place.name);
}

}  // namespace

base::Result<> accept_in_foreign_chains(NfSocket& socket) {
  ASSIGN_OR_RETURN(const auto chains, socket.chains());
  for (const auto& chain : chains)
    if (drops_forwarded(chain)) TRY(accept_in(socket, place_for(chain, chains)));
  return {};
}

namespace {
/// Calls `each` for every chain that holds rules of ours, with those.
template <class Each>
base::Result<> for_our_rules(NfSocket& socket, Each&& each) {
  ASSIGN_OR_RETURN(const auto chains, socket.chains());
  for (const auto& chain : chains) {
    const bool candidate = (chain.hook == "forward" && chain.table != "compose") || chain.name == "DOCKER-USER" ||
                           chain.name == "ufw-user-forward" || chain.name == "ufw6-user-forward";
    if (!candidate || !(chain.family == "ip" || chain.family == "ip6" || chain.family == "inet")) continue;
    auto rules = socket.rules(chain);
    if (!rules) continue;  // gone meanwhile
    std::erase_if(*rules, [](const NfListedRule& rule) { return rule.comment != comment; });
    if (!rules->empty()) TRY(each(chain, *rules));
  }
  return {};
}
}  // namespace

base::Result<> leave_foreign_chains(NfSocket& socket) {
  return for_our_rules(socket, [&socket](const NfChain& chain, const std::vector<NfListedRule>& rules) { return socket.remove(chain, rules); });
}

base::Result<std::vector<std::string>> foreign_chains_with_our_rules(NfSocket& socket) {
  std::vector<std::string> out;
  TRY(for_our_rules(socket, [&out](const NfChain& chain, const std::vector<NfListedRule>&) -> base::Result<> {
    out.push_back(chain.family + " " + chain.table + " " + chain.name);
    return {};
  }));
  std::sort(out.begin(), out.end());  // the kernel lists tables in no order
  return out;
}

}  // namespace network
