#include <catch2/catch.hpp>

#include "network/host_state.h"
#include "network/netlink.h"
#include "network/rules.h"

namespace {
network::NetworkConfig sample() {
  network::NetworkConfig out;
  out.name = "demo_default";
  out.subnets.push_back({.subnet = "172.18.0.0/16", .gateway = "172.18.0.1"});
  out.uplink = "169.254.1.2/31";
  return out;
}
/// A table's rules, a line each.
std::string words(const network::NfTableSpec& table) {
  std::string out;
  for (const auto& chain : table.chains)
    for (const auto& rule : chain.rules) out += rule.text() + "\n";
  return out;
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
}  // namespace

TEST_CASE("an uplink's name and addresses tell each other", "[rules]") {
  const auto uplink = network::uplink_of(sample());
  REQUIRE(uplink);
  CHECK(uplink->interface == "cps-a9fe0102");
  CHECK(uplink->host.address().text() == "169.254.1.2");
  CHECK(uplink->network.address().text() == "169.254.1.3");
  CHECK(network::uplink_address("cps-a9fe0102")->text() == "169.254.1.3");
  for (const char* other : {"eth0", "cps-", "cps-a9fe01", "cps-a9fe01023", "cps-zzzzzzzz", "cps-a9fe010 "})
    CHECK_FALSE(network::uplink_address(other));
  CHECK_FALSE(network::uplink_of({}));
}

TEST_CASE("a network's rules translate what comes by the uplink and let nothing else in", "[rules]") {
  const auto table = network::network_table(sample(), "br0");
  CHECK(table.chains.back().hook.front().policy == "drop");
  const auto text = words(table);
  CHECK(has(text, "iifname \"uplink\" ip daddr 169.254.1.3 dnat ip to meta l4proto . th dport map @ports4\n"));
  CHECK(has(text, "iifname \"br0\" ip daddr 172.18.0.1 meta l4proto tcp dnat ip to 169.254.1.2\n"));
  CHECK(has(text, "iifname \"br0\" ip daddr 172.18.0.1 meta l4proto udp dnat ip to 169.254.1.2\n"));
  CHECK(has(text, "meta nfproto ipv4 oifname \"uplink\" snat ip to 169.254.1.3\n"));
  CHECK_FALSE(has(text, "snat ip6"));
}

TEST_CASE("options show in a network's rules", "[rules]") {
  auto config = sample();
  config.masquerade = false;
  config.isolate_ports = true;
  const auto text = words(network::network_table(config, "br0"));
  CHECK_FALSE(has(text, "snat"));
  CHECK(has(text, "iifname \"br0\" oifname \"br0\" drop"));
  config.uplink.clear();
  CHECK_FALSE(has(words(network::network_table(config, "br0")), "uplink"));
}

TEST_CASE("two tables compare as equal when chains and rules are the same", "[rules]") {
  const auto table = network::network_table(sample(), "br0");
  CHECK(network::canonical(table) == network::canonical(network::network_table(sample(), "br0")));
  CHECK(network::canonical(table) != network::canonical(network::network_table(sample(), "br1")));
  auto other = table;
  other.chains.back().hook.front().policy = "accept";
  CHECK(network::canonical(table) != network::canonical(other));
  other = table;
  std::swap(other.chains.back().rules.front(), other.chains.back().rules.back());
  CHECK(network::canonical(table) != network::canonical(other));
}

TEST_CASE("the host's pools must be prefixes", "[rules]") {
  network::Pools pools;
  CHECK(network::host_table(pools));
  pools.uplinks = "somewhere";
  CHECK_FALSE(network::host_table(pools));
}

TEST_CASE("only differing elements are written", "[rules]") {
  const auto text = [](const std::vector<network::ElementChange>& changes) {
    std::string out;
    for (const auto& change : changes) out += (change.add ? "+" : "-") + change.map + " " + change.key + " : " + change.value + "\n";
    return out;
  };
  const network::Entries present{{"ports4", {{"tcp . 80", "a . 1"}, {"tcp . 81", "b . 1"}}}};
  CHECK(network::entry_changes(present, {{"ports4", {{"tcp . 80", "a . 1"}}}}).empty());
  CHECK(text(network::entry_changes(present, {{"ports4", {{"tcp . 80", "c . 1"}, {"tcp . 82", "d . 1"}}}})) ==
        "-ports4 tcp . 80 : a . 1\n+ports4 tcp . 80 : c . 1\n+ports4 tcp . 82 : d . 1\n");
  CHECK(text(network::entry_removals(present, {{"ports4", {{"tcp . 81", "whatever"}, {"tcp . 99", "x"}}}, {"ports6", {{"tcp . 1", "y"}}}})) ==
        "-ports4 tcp . 81 : b . 1\n");
}

TEST_CASE("MAC addresses are six bytes and unicast", "[rules]") {
  CHECK(network::netlink::parse_mac("02:42:ac:12:00:02"));
  for (const char* bad : {"", "02:42:ac:12:00", "02:42:ac:12:00:02:03", "01:00:5e:00:00:01", "02-42-ac-12-00-02", "02:42:ac:12:00:0g"})
    CHECK_FALSE(network::netlink::parse_mac(bad));
}
