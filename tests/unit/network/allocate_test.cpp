#include <catch2/catch.hpp>

#include "network/address.h"
#include "network/allocate.h"

using network::AddressPool;
using network::decide;
using network::InUse;
using network::NetworkConfig;
using network::NetworkRequest;
using network::Pools;
using network::Prefix;
using network::Subnet;

namespace {

/// "172.17.0.0/16 172.17.0.1 169.254.1.0/31", or the error.
std::string decided(const NetworkRequest& request, const InUse& in_use = {}, const Pools& pools = {}) {
  auto config = decide(request, in_use, pools);
  if (!config) return std::string(base::to_string(config.error().kind)) + ": " + config.error().text();
  std::string out;
  for (const auto& subnet : config->subnets) out += subnet.subnet + " " + subnet.gateway + " ";
  return out + config->uplink;
}

NetworkConfig existing(const std::string& name, const std::string& subnet, const std::string& uplink) {
  NetworkConfig out;
  out.name = name;
  out.subnets.push_back({.subnet = subnet});
  out.uplink = uplink;
  return out;
}

std::string chosen(const Subnet& subnet, const std::set<std::string>& leased, const std::string& wanted = {}) {
  auto address = network::choose_address(subnet, leased, wanted);
  return address ? *address : std::string(base::to_string(address.error().kind)) + ": " + address.error().text();
}

}  // namespace

TEST_CASE("prefixes are read, cleared of host bits and compared", "[address]") {
  const auto prefix = Prefix::parse("10.1.2.3/20");
  REQUIRE(prefix);
  CHECK(prefix->text() == "10.1.0.0/20");
  CHECK(prefix->last().text() == "10.1.15.255");
  CHECK(prefix->address().text() == "10.1.2.3");
  CHECK(prefix->overlaps(*Prefix::parse("10.1.15.0/24")));
  CHECK(prefix->overlaps(*Prefix::parse("10.0.0.0/8")));
  CHECK_FALSE(prefix->overlaps(*Prefix::parse("10.1.16.0/24")));
  CHECK_FALSE(prefix->overlaps(*Prefix::parse("::/0")));
  CHECK(Prefix::parse("fd00::5/64")->text() == "fd00::/64");
  CHECK(Prefix::parse("0.0.0.0/0")->last().text() == "255.255.255.255");
  for (const char* bad : {"", "10.1.2", "10.1.2.3/33", "10.1.2.3/", "10.1.2.3/-1", "10.1.2.3/8x", "::/129", "a/8", "10.0.0.0/ 8"})
    CHECK_FALSE(Prefix::parse(bad));
}

TEST_CASE("addresses carry over bytes when counted up", "[address]") {
  CHECK(network::Address::parse("10.0.0.255")->plus(1).text() == "10.0.1.0");
  CHECK(network::Address::parse("fd00::ffff:ffff")->plus(2).text() == "fd00::1:0:1");
  CHECK(network::Address::parse("255.255.255.255")->plus(1).text() == "0.0.0.0");
}

TEST_CASE("the first network gets Docker's first subnet, and networks and routes are stepped around", "[allocate]") {
  CHECK(decided({.name = "a"}) == "172.17.0.0/16 172.17.0.1 169.254.1.0/31");
  CHECK(decided({.name = "b"}, {.networks = {existing("a", "172.17.0.0/16", "169.254.1.0/31")},
                                .routes = {"172.18.5.0/24", "169.254.1.2/31", "169.254.0.0/16"}}) ==
        "172.19.0.0/16 172.19.0.1 169.254.1.4/31");
}

TEST_CASE("a VPN that covers all of Docker's ranges leaves the extra one", "[allocate]") {
  CHECK(decided({.name = "a"}, {.routes = {"172.16.0.0/12", "192.168.0.0/16"}}) == "10.64.0.0/24 10.64.0.1 169.254.1.0/31");
  CHECK(decided({.name = "a"}, {.routes = {"172.16.0.0/12", "192.168.0.0/16", "10.64.0.0/16"}}) ==
        "10.65.0.0/24 10.65.0.1 169.254.1.0/31");
}

TEST_CASE("exhausted pools say so in Docker's words", "[allocate]") {
  Pools pools;
  pools.subnets = {{"10.0.0.0/23", 24}};
  const InUse both{.networks = {existing("a", "10.0.0.0/24", ""), existing("b", "10.0.1.0/24", "")}};
  CHECK(decided({.name = "c"}, both, pools).starts_with(
      "exhausted: network c: all predefined address pools have been fully subnetted"));
  pools.subnets = {{"10.0.0.0/24", 16}};
  CHECK(decided({.name = "c"}, {}, pools) == "invalid: network c: address pool 10.0.0.0/24 cannot be cut into /16");
}

TEST_CASE("asked-for subnets are checked and completed", "[allocate]") {
  CHECK(decided({.name = "a", .subnets = {{.subnet = "10.5.0.7/16"}}}) == "10.5.0.0/16 10.5.0.1 169.254.1.0/31");
  CHECK(decided({.name = "a", .subnets = {{.subnet = "10.5.0.0/16", .ip_range = "10.5.3.0/24"}}}) ==
        "10.5.0.0/16 10.5.3.0 169.254.1.0/31");
  CHECK(decided({.name = "a", .subnets = {{.subnet = "10.5.0.0/16", .gateway = "10.6.0.1"}}}) ==
        "invalid: network a: gateway 10.6.0.1 is outside subnet 10.5.0.0/16");
  CHECK(decided({.name = "a", .subnets = {{.gateway = "10.6.0.1"}}}) ==
        "invalid: network a: ipam.config with ip_range, gateway or aux_addresses needs a subnet");
  CHECK(decided({.name = "a", .subnets = {{.subnet = "10.5.0.0/16"}}}, {.networks = {existing("b", "10.5.4.0/24", "")}}) ==
        "exists: network a: subnet 10.5.0.0/16 overlaps 10.5.4.0/24 of network b");
  CHECK(decided({.name = "a", .subnets = {{.subnet = "10.5.0.0/16"}}}, {.routes = {"10.0.0.0/8"}}) ==
        "10.5.0.0/16 10.5.0.1 169.254.1.0/31");
}

TEST_CASE("internal networks have no uplink, and IPv6 brings a ULA and an uplink of its own", "[allocate]") {
  CHECK(decided({.name = "a", .internal = true}) == "172.17.0.0/16 172.17.0.1 ");
  const auto config = decide({.name = "a", .ipv6 = true}, {}, {.machine_id = "0123"});
  REQUIRE(config);
  REQUIRE(config->subnets.size() == 2);
  CHECK(config->subnets[1].subnet.starts_with("fd"));
  CHECK(config->subnets[1].subnet.ends_with("/64"));
  CHECK(config->uplink6 == "fd63:6f6d:706f:7365::100/127");
  const auto again = decide({.name = "b", .ipv6 = true}, {.networks = {*config}}, {.machine_id = "0123"});
  REQUIRE(again);
  CHECK(again->subnets[1].subnet != config->subnets[1].subnet);
  const auto only = decide({.name = "c", .ipv4 = false, .ipv6 = true}, {}, {});
  REQUIRE(only);
  CHECK(only->subnets.size() == 1);
}

TEST_CASE("uplinks keep off reserved and cloud addresses", "[allocate]") {
  InUse in_use;
  for (unsigned i = 0x0100; i < 0xa800; i += 2)
    in_use.networks.push_back(
        existing("n", "", "169.254." + std::to_string(i >> 8) + "." + std::to_string(i & 0xff) + "/31"));
  CHECK(decide({.name = "a"}, in_use)->uplink == "169.254.176.0/31");
}

TEST_CASE("driver options are honoured or refused by name", "[allocate]") {
  const auto config = decide({.name = "a",
                              .driver_opts = {{"com.docker.network.driver.mtu", "1400"},
                                              {"com.docker.network.bridge.enable_icc", "false"},
                                              {"com.docker.network.bridge.name", "br-demo"}}},
                             {});
  REQUIRE(config);
  CHECK(config->mtu == 1400);
  CHECK(config->isolate_ports);
  CHECK(config->bridge_name == "br-demo");
  CHECK(decided({.name = "a", .driver_opts = {{"com.docker.network.nonsense", "1"}}}) ==
        "unsupported: network a: driver option com.docker.network.nonsense of driver bridge");
  CHECK(decided({.name = "a", .driver_opts = {{"com.docker.network.driver.mtu", "12"}}}) ==
        "invalid: network a: mtu '12' is not in 68-65535");
  CHECK(decided({.name = "a", .driver = "overlay"}) == "unsupported: network driver overlay of network a");
  CHECK(decided({.name = "a", .driver = "macvlan"}).starts_with("invalid: network a: driver macvlan needs driver_opts.parent"));
  CHECK(decide({.name = "a", .driver = "ipvlan", .driver_opts = {{"parent", "eth0"}, {"ipvlan_mode", "l3"}}}, {})->mode == "l3");
}

TEST_CASE("addresses count up from the gateway and freed ones are not reused at once", "[allocate]") {
  const Subnet subnet{.subnet = "172.18.0.0/24", .gateway = "172.18.0.1"};
  CHECK(chosen(subnet, {}) == "172.18.0.2");
  CHECK(chosen(subnet, {"172.18.0.2", "172.18.0.4"}) == "172.18.0.5");
  CHECK(chosen(subnet, {"172.18.0.9", "172.18.0.10"}) == "172.18.0.11");  // by number, not by text
  CHECK(chosen(subnet, {"172.18.0.254"}) == "172.18.0.2");
  CHECK(network::with_prefix_length(subnet, "172.18.0.2") == "172.18.0.2/24");
}

TEST_CASE("reserved, foreign and leased addresses are refused", "[allocate]") {
  const Subnet subnet{.subnet = "172.18.0.0/29", .gateway = "172.18.0.1", .aux_addresses = {{"router", "172.18.0.2"}}};
  CHECK(chosen(subnet, {}) == "172.18.0.3");
  CHECK(chosen(subnet, {}, "172.18.0.5") == "172.18.0.5");
  CHECK(chosen(subnet, {"172.18.0.5/29"}, "172.18.0.5") == "exists: address 172.18.0.5 is already in use");
  for (const char* taken : {"172.18.0.0", "172.18.0.1", "172.18.0.2", "172.18.0.7"})
    CHECK(chosen(subnet, {}, taken) == "invalid: address " + std::string(taken) + " is reserved in subnet 172.18.0.0/29");
  CHECK(chosen(subnet, {}, "10.0.0.1") == "invalid: address 10.0.0.1 is outside subnet 172.18.0.0/29");
  CHECK(chosen(subnet, {"172.18.0.3", "172.18.0.4", "172.18.0.5", "172.18.0.6"}) == "exhausted: no address is left in 172.18.0.0/29");
  const Subnet ranged{.subnet = "172.18.0.0/16", .ip_range = "172.18.9.0/30", .gateway = "172.18.0.1"};
  CHECK(chosen(ranged, {"172.18.9.0", "172.18.9.1", "172.18.9.2"}) == "172.18.9.3");
  const Subnet v6{.subnet = "fd00::/64", .gateway = "fd00::1"};
  CHECK(chosen(v6, {}) == "fd00::2");
}
