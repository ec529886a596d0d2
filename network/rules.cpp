#include "network/rules.h"

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

std::string host_rules(const std::string& uplinks, const std::string& uplinks6) {
  // Maps: published ports → the uplink of the network that serves them. `at` ones are bound to one host address.
  // Sets: interfaces on which we switched forwarding on; the host must not become a router for anybody else by that.
  // One block that says everything once: a chain named again in the same transaction counts as changed, and whatever is changed
  // makes the close of nft's socket wait for a grace period (some 10 ms).
  std::string out = R"(
table inet compose {
  map ports4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map ports4_at { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
  map ports6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
  map ports6_at { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
  set opened4 { type ifname; }
  set opened6 { type ifname; }
  chain guard {
    type filter hook prerouting priority -300; policy accept;
    # Uplinks have route_localnet for answers to loopback clients; those carry the uplink's address here, before NAT is undone.
    iifname "cps-*" ip daddr 127.0.0.0/8 drop
  }
  chain publish {
    dnat ip to ip daddr . meta l4proto . th dport map @ports4_at
    dnat ip to meta l4proto . th dport map @ports4
    ip6 daddr ::1 return
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports6_at
    dnat ip6 to meta l4proto . th dport map @ports6
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    fib daddr type local meta l4proto { tcp, udp } jump publish
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local meta l4proto { tcp, udp } jump publish
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    # Clients whose address means nothing inside the network: loopback, and networks of ours reaching a published port.
    oifname "cps-*" ip saddr { 127.0.0.0/8, UPLINKS4 } masquerade
    oifname "cps-*" ip6 saddr UPLINKS6 masquerade
    oifname != "cps-*" ip saddr UPLINKS4 masquerade
    oifname != "cps-*" ip6 saddr UPLINKS6 masquerade
  }
  chain forward {
    type filter hook forward priority 0; policy accept;
    # Into a network goes what was published, and answers; never neighbours, nor strangers who route through this host.
    oifname "cps-*" ct state established,related accept
    oifname "cps-*" ct status dnat accept
    oifname "cps-*" drop
    iifname "cps-*" accept
    meta nfproto ipv4 iifname @opened4 ct state new drop
    meta nfproto ipv6 iifname @opened6 ct state new drop
  }
}
)";
  const auto replace = [&](std::string_view what, const std::string& with) {
    for (auto at = out.find(what); at != std::string::npos; at = out.find(what, at + with.size()))
      out.replace(at, what.size(), with);
  };
  replace("UPLINKS4", uplinks);
  replace("UPLINKS6", uplinks6);
  return out;
}

std::string replacing(const std::string& rules) { return "table inet compose\nflush table inet compose\n" + rules; }

std::string creating(const std::string& rules) { return "create table inet compose\n" + rules; }

namespace {

/// Gateway addresses stand for the host, as they do in Docker; here the gateway is the namespace's, so pass them on.
std::string gateway_rules(const NetworkConfig& config, const Uplink& uplink, const std::string& in) {
  std::string out;
  for (const auto& subnet : config.subnets) {
    const bool v6 = subnet.gateway.find(':') != std::string::npos;
    if (subnet.gateway.empty() || (v6 && !uplink.host6)) continue;
    const auto host = v6 ? uplink.host6->address().text() : uplink.host.address().text();
    out += "    " + in + (v6 ? " ip6" : " ip") + " daddr " + subnet.gateway + " meta l4proto { tcp, udp } dnat " +
           (v6 ? "ip6" : "ip") + " to " + host + "\n";
  }
  return out;
}

std::string family_rules(const char* family, const Prefix& network, const char* map) {
  return std::string("    iifname \"uplink\" ") + family + " daddr " + network.address().text() + " dnat " + family +
         " to meta l4proto . th dport map @" + map + "\n";
}

}  // namespace

std::string network_rules(const NetworkConfig& config, const std::string& bridge) {
  const std::string in = "iifname \"" + bridge + "\"";
  std::string prerouting, postrouting, forward;
  if (auto uplink = uplink_of(config)) {
    prerouting += family_rules("ip", uplink->network, "ports4");
    if (uplink->network6) prerouting += family_rules("ip6", *uplink->network6, "ports6");
    prerouting += gateway_rules(config, *uplink, in);
    if (config.masquerade) {
      const std::string out = "    meta nfproto ipv";
      postrouting += out + "4 oifname \"uplink\" snat ip to " + uplink->network.address().text() + "\n";
      if (uplink->network6)
        postrouting += out + "6 oifname \"uplink\" snat ip6 to " + uplink->network6->address().text() + "\n";
    }
    forward += "    " + in + " oifname \"uplink\" accept\n";
    forward += "    iifname \"uplink\" ct status dnat accept\n";
    // The host itself may reach containers by their addresses when the subnet is routed there.
    forward += "    iifname \"uplink\" ip saddr " + uplink->host.address().text() + " accept\n";
    if (uplink->host6)
      forward += "    iifname \"uplink\" ip6 saddr " + uplink->host6->address().text() + " accept\n";
  }
  // Bridged frames show up here only where br_netfilter is on.
  forward += "    " + in + " oifname \"" + bridge + "\" " + (config.isolate_ports ? "drop" : "accept") + "\n";
  return R"(
table inet compose {
  map ports4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map ports6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
)" + prerouting +
         "  }\n  chain postrouting {\n    type nat hook postrouting priority 100; policy accept;\n" + postrouting +
         "  }\n  chain forward {\n    type filter hook forward priority 0; policy drop;\n"
         "    ct state established,related accept\n    ct state invalid drop\n" +
         forward +
         "  }\n}\n";
}

}  // namespace network
