#include "network/rules.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>

#include <array>
#include <cstdio>

namespace network {

base::Result<Uplink> uplink_of(const NetworkConfig& config) {
  ASSIGN_OR_RETURN(const auto prefix, Prefix::parse(config.uplink));
  if (prefix.is_v6() || prefix.length() != 31)
    return base::make_error(base::ErrorKind::invalid, "uplink " + config.uplink + " is not an IPv4 /31");
  Uplink out;
  std::array<char, 16> name{};
  (void)std::snprintf(name.data(), name.size(), "%s%08x", uplink_prefix, prefix.base().v4_host_order());
  out.interface = name.data();
  out.host = Prefix(prefix.base(), 31);
  out.network = Prefix(prefix.base().plus(1), 31);
  if (!config.uplink6.empty()) {
    ASSIGN_OR_RETURN(const auto prefix6, Prefix::parse(config.uplink6));
    if (!prefix6.is_v6() || prefix6.length() != 127)
      return base::make_error(base::ErrorKind::invalid, "uplink " + config.uplink6 + " is not an IPv6 /127");
    out.host6 = Prefix(prefix6.base(), 127);
    out.network6 = Prefix(prefix6.base().plus(1), 127);
  }
  return out;
}

std::optional<Address> uplink_address(const std::string& interface) {
  unsigned value = 0;
  int used = 0;
  if (std::sscanf(interface.c_str(), "cps-%8x%n", &value, &used) != 1 || used != 12 || interface.size() != 12)
    return std::nullopt;
  return Address::v4(value + 1);
}

namespace {

constexpr const char* uplinks = "cps-*";
constexpr std::array<std::uint8_t, 2> l4_protocols{IPPROTO_TCP, IPPROTO_UDP};

const NfTypes port_key{NfType::inet_proto, NfType::inet_service};
const NfTypes target4{NfType::ipv4_addr, NfType::inet_service}, target6{NfType::ipv6_addr, NfType::inet_service};

/// Published ports → where their network listens.
NfMapSpec ports_map(bool v6) { return {v6 ? "ports6" : "ports4", port_key, v6 ? target6 : target4}; }
/// The same for ports that are bound to one address of the host.
NfMapSpec ports_at_map(bool v6) {
  NfTypes key = port_key;
  key.insert(key.begin(), v6 ? NfType::ipv6_addr : NfType::ipv4_addr);
  return {v6 ? "ports6_at" : "ports4_at", key, v6 ? target6 : target4};
}

// Priorities: raw, NAT of destinations and of sources, filter (enum nf_ip_hook_priorities).
std::vector<NfHook> nat_hook(std::uint32_t number) {
  return {{.type = "nat", .number = number, .priority = number == NF_INET_POST_ROUTING ? 100 : -100, .policy = "accept"}};
}
std::vector<NfHook> filter_hook(std::uint32_t number, std::int32_t priority, const std::string& policy) {
  return {{.type = "filter", .number = number, .priority = priority, .policy = policy}};
}

/// What goes to this host itself may be for a published port.
std::vector<NfRule> publishing() {
  std::vector<NfRule> out;
  for (const auto protocol : l4_protocols) out.push_back(NfRule().to_this_host().protocol(protocol).jump("publish"));
  return out;
}

}  // namespace

base::Result<NfTableSpec> host_table(const Pools& pools) {
  ASSIGN_OR_RETURN(const auto ours4, Prefix::parse(pools.uplinks));
  ASSIGN_OR_RETURN(const auto ours6, Prefix::parse(pools.uplinks6));
  const Prefix loopback(Address::v4(0x7f000000), 8);
  ASSIGN_OR_RETURN(const auto loopback6, Prefix::parse("::1"));
  NfTableSpec out{.family = NFPROTO_INET, .name = table_name, .maps = {}, .chains = {}};
  for (const bool v6 : {false, true}) {
    out.maps.push_back(ports_map(v6));
    out.maps.push_back(ports_at_map(v6));
    // Interfaces on which we switched forwarding on; the host must not become a router for anybody else by that.
    out.maps.push_back({v6 ? "opened6" : "opened4", {NfType::ifname}, {}});
  }
  // Uplinks have route_localnet for answers to loopback clients; those carry the uplink's address here, before NAT is undone.
  out.chains.push_back({"guard", filter_hook(NF_INET_PRE_ROUTING, -300, "accept"), {NfRule().in(uplinks).to(loopback).drop()}});
  out.chains.push_back({"publish", {}, {
      NfRule().destination_nat_by_address(false, "ports4_at"),
      NfRule().destination_nat_by_port(false, "ports4"),
      NfRule().to(loopback6).back(),
      NfRule().destination_nat_by_address(true, "ports6_at"),
      NfRule().destination_nat_by_port(true, "ports6")}});
  out.chains.push_back({"prerouting", nat_hook(NF_INET_PRE_ROUTING), publishing()});
  out.chains.push_back({"output", nat_hook(NF_INET_LOCAL_OUT), publishing()});
  // Clients whose address means nothing inside the network: loopback, and networks of ours reaching a published port.
  out.chains.push_back({"postrouting", nat_hook(NF_INET_POST_ROUTING), {
      NfRule().out(uplinks).from(loopback).masquerade(),
      NfRule().out(uplinks).from(ours4).masquerade(),
      NfRule().out(uplinks).from(ours6).masquerade(),
      NfRule().not_out(uplinks).from(ours4).masquerade(),
      NfRule().not_out(uplinks).from(ours6).masquerade()}});
  // Into a network goes what was published, and answers; never neighbours, nor strangers who route through this host.
  out.chains.push_back({"forward", filter_hook(NF_INET_FORWARD, 0, "accept"), {
      NfRule().out(uplinks).established_or_related().accept(),
      NfRule().out(uplinks).translated().accept(),
      NfRule().out(uplinks).drop(),
      NfRule().in(uplinks).accept(),
      NfRule().family(false).in_any_of("opened4").begins().drop(),
      NfRule().family(true).in_any_of("opened6").begins().drop()}});
  return out;
}

namespace {

Prefix alone(const Address& address) { return {address, address.bits()}; }

/// Gateway addresses stand for the host, as they do in Docker; here the gateway is the namespace's, so pass them on.
void add_gateway_rules(const NetworkConfig& config, const Uplink& uplink, const std::string& bridge, std::vector<NfRule>& out) {
  for (const auto& subnet : config.subnets) {
    const auto gateway = Address::parse(subnet.gateway);
    if (!gateway || (gateway->is_v6() && !uplink.host6)) continue;
    const auto& host = gateway->is_v6() ? uplink.host6->address() : uplink.host.address();
    for (const auto protocol : l4_protocols)
      out.push_back(NfRule().in(bridge).to(alone(*gateway)).protocol(protocol).destination_nat(host));
  }
}

}  // namespace

NfTableSpec network_table(const NetworkConfig& config, const std::string& bridge) {
  std::vector<NfRule> prerouting, postrouting;
  std::vector<NfRule> forward{NfRule().established_or_related().accept(), NfRule().invalid().drop()};
  if (auto uplink = uplink_of(config)) {
    const auto served = [&](const Prefix& end) {
      const bool v6 = end.is_v6();
      prerouting.push_back(NfRule().in(uplink_inside).to(alone(end.address())).destination_nat_by_port(v6, v6 ? "ports6" : "ports4"));
      if (config.masquerade) postrouting.push_back(NfRule().family(v6).out(uplink_inside).source_nat(end.address()));
    };
    served(uplink->network);
    if (uplink->network6) served(*uplink->network6);
    add_gateway_rules(config, *uplink, bridge, prerouting);
    forward.push_back(NfRule().in(bridge).out(uplink_inside).accept());
    forward.push_back(NfRule().in(uplink_inside).translated().accept());
    // The host itself may reach containers by their addresses when the subnet is routed there.
    forward.push_back(NfRule().in(uplink_inside).from(alone(uplink->host.address())).accept());
    if (uplink->host6) forward.push_back(NfRule().in(uplink_inside).from(alone(uplink->host6->address())).accept());
  }
  // Bridged frames show up here only where br_netfilter is on.
  auto neighbours = NfRule().in(bridge).out(bridge);
  forward.push_back(config.isolate_ports ? neighbours.drop() : neighbours.accept());
  return {.family = NFPROTO_INET, .name = table_name, .maps = {ports_map(false), ports_map(true)},
          .chains = {{"prerouting", nat_hook(NF_INET_PRE_ROUTING), prerouting},
                     {"postrouting", nat_hook(NF_INET_POST_ROUTING), postrouting},
                     {"forward", filter_hook(NF_INET_FORWARD, 0, "drop"), forward}}};
}

}  // namespace network
