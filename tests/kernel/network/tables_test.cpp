// Tables as the kernel has them: what nft reads in them is what our rules say, and what we read back is what we wrote.
#include <sched.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "network/nf_socket.h"
#include "network/rules.h"
#include "tests/kernel/network/lab.h"

using network::NfRule;
using network::NfSocket;
using network::NfTableSpec;

namespace {

/// The rules of a table, one a line after their chain's head, as nft's listing has them.
std::string as_nft_lists(const NfTableSpec& table) {
  std::string out;
  for (const auto& chain : table.chains) {
    out += "chain " + chain.name + " {\n";
    for (const auto& hook : chain.hook) {
      constexpr std::array names{"prerouting", "input", "forward", "output", "postrouting"};
      const std::map<int, std::string> priorities{{-300, "raw"}, {-100, "dstnat"}, {0, "filter"}, {100, "srcnat"}};
      const std::string place = names.at(hook.number);
      // nft has names for a priority where it is usual only.
      const auto priority = hook.priority == -100 && place == "output" ? "-100" : priorities.at(hook.priority);
      out += "type " + hook.type + " hook " + place + " priority " + priority + "; policy " + hook.policy + ";\n";
    }
    for (const auto& rule : chain.rules) out += rule.text() + "\n";
    out += "}\n";
  }
  return out;
}

/// What nft prints has protocols by number on a machine without /etc/protocols.
std::string listed(const std::string& command) {
  auto out = lab::nft(command);
  if (::access("/etc/protocols", R_OK) == 0) return out;
  for (const auto& [number, name] : {std::pair{"l4proto 6 ", "l4proto tcp "}, {"l4proto 17 ", "l4proto udp "}, {"{ 6 .", "{ tcp ."}, {". 17 .", ". udp ."}})
    for (auto at = out.find(number); at != std::string::npos; at = out.find(number, at)) out.replace(at, std::string(number).size(), name);
  return out;
}

/// Everything from the first chain on, without indentation and empty lines.
std::string chains_of(const std::string& listing) {
  std::istringstream lines(listing.substr(std::min(listing.find("\tchain "), listing.size())));
  std::string out;
  for (std::string line; std::getline(lines, line);) {
    line.erase(0, std::min(line.find_first_not_of('\t'), line.size()));
    if (!line.empty()) out += line + "\n";
  }
  out.resize(out.size() - std::min<std::size_t>(out.size(), 2));  // the table's own brace
  return out;
}

network::NetworkConfig both_families() {
  auto out = lab::config(1);
  out.subnets.push_back({.subnet = "fd00:1::/64", .gateway = "fd00:1::1"});
  out.uplink6 = "fd00:ffff::2/127";
  return out;
}

/// Makes `table` in the namespace, and says how nft's listing or our own reading differs from it.
std::string differences(const NfTableSpec& table) {
  LAB_ASSIGN(auto socket, NfSocket::open());
  LAB_TRY(socket.create(table));
  const auto listing = chains_of(listed("list table inet compose"));
  LAB_ASSIGN(const auto read, socket.read(table.family, table.name));
  LAB_TRY(socket.remove(table.family, table.name));
  if (const auto said = as_nft_lists(table); listing != said) return "nft lists\n" + listing + "for\n" + said;
  if (read.rules != network::canonical(table)) return "the kernel lists other bytes than were written";
  return "none";
}

}  // namespace

TEST_CASE("rules mean to nft what they say, and read back as they were written", "[network]") {
  const auto seen = support::in_namespaces(CLONE_NEWNET, []() -> std::string {
    LAB_ASSIGN(auto host, network::host_table({}));
    LAB_ASSIGN(auto odd, network::host_table({.uplinks = "10.128.0.0/9", .uplinks6 = "fd80::/9"}));
    auto closed = both_families();
    closed.isolate_ports = true;
    closed.masquerade = false;
    const NfTableSpec more{.family = network::network_table(closed, "br0").family, .name = "compose", .maps = {},
                           .chains = {{"counted", {}, {
        NfRule().in("cps-*").counter().accept(),
        NfRule().destination_port(17, 53).destination_nat(network::Address::v4(0x7f00000b), 5353)}}}};
    std::string out = "host " + differences(host) + "\nodd prefixes " + differences(odd) + "\nnetwork " +
                      differences(network::network_table(both_families(), "br0")) + "\nclosed network " +
                      differences(network::network_table(closed, "br0"));
    LAB_ASSIGN(auto socket, NfSocket::open());
    LAB_TRY(socket.create(more));
    return out + "\n" + chains_of(listed("list table inet compose"));
  });
  if (!seen && seen.error().number == EPERM) SKIP_TEST(seen.error().text());
  REQUIRE(seen);
  CHECK(*seen == R"(host none
odd prefixes none
network none
closed network none
chain counted {
iifname "cps-*" counter packets 0 bytes 0 accept
udp dport 53 dnat ip to 127.0.0.11:5353
}
)");
}

TEST_CASE("maps and sets are nft's too, and keep their elements when the rules are made anew", "[network]") {
  const auto seen = support::in_namespaces(CLONE_NEWNET, []() -> std::string {
    LAB_ASSIGN(const auto table, network::host_table({}));
    LAB_ASSIGN(auto socket, NfSocket::open());
    LAB_TRY(socket.create(table));
    LAB_TRY(socket.change({{true, "ports4", "tcp . 80", "169.254.1.1 . 8080"},
                           {true, "ports6_at", "fd00::1 . udp . 53", "fd00::2 . 5353"},
                           {true, "opened4", "eth0", {}}}));
    auto twice = socket.create(table);
    std::string out = twice ? "made twice\n" : std::string(base::to_string(twice.error().kind)) + "\n";
    LAB_TRY(socket.replace(table));
    out += listed("list map inet compose ports4") + listed("list map inet compose ports6_at") + listed("list set inet compose opened4");
    LAB_ASSIGN(auto read, socket.read(table.family, table.name));
    out += read.rules == network::canonical(table) ? "same rules" : "other rules";
    for (const auto& [map, entries] : read.maps)
      for (const auto& [key, value] : entries) out += ", " + map + ": " + key + " = " + value;
    out += ", " + read.sets["opened4"].at(0) + "\n";
    lab::nft("add rule inet compose guard accept");
    LAB_ASSIGN(const auto touched, socket.read(table.family, table.name));
    out += touched.rules == network::canonical(table) ? "not noticed\n" : "noticed\n";
    LAB_TRY(socket.recreate(table));
    LAB_ASSIGN(const auto anew, socket.read(table.family, table.name));
    out += anew.maps.empty() && anew.rules == network::canonical(table) ? "as new\n" : "old\n";
    LAB_TRY(socket.remove(table.family, table.name));
    LAB_ASSIGN(const auto gone, socket.read(table.family, table.name));
    return out + "left: " + gone.rules + lab::nft("list ruleset");
  });
  if (!seen && seen.error().number == EPERM) SKIP_TEST(seen.error().text());
  REQUIRE(seen);
  CHECK(*seen == R"(exists
table inet compose {
	map ports4 {
		type inet_proto . inet_service : ipv4_addr . inet_service
		elements = { tcp . 80 : 169.254.1.1 . 8080 }
	}
}
table inet compose {
	map ports6_at {
		type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service
		elements = { fd00::1 . udp . 53 : fd00::2 . 5353 }
	}
}
table inet compose {
	set opened4 {
		type ifname
		elements = { "eth0" }
	}
}
same rules, ports4: tcp . 80 = 169.254.1.1 . 8080, ports6_at: fd00::1 . udp . 53 = fd00::2 . 5353, eth0
noticed
as new
left: )");
}

TEST_CASE("a refused table says which part of it was refused, and leaves nothing", "[network]") {
  const auto seen = support::in_namespaces(CLONE_NEWNET, []() -> std::string {
    LAB_ASSIGN(auto socket, NfSocket::open());
    auto table = network::network_table(lab::config(1), "br0");
    table.chains.back().rules.push_back(NfRule().jump("nowhere"));
    auto made = socket.create(table);
    return (made ? "made" : made.error().text()) + "\nleft: " + lab::nft("list ruleset");
  });
  if (!seen && seen.error().number == EPERM) SKIP_TEST(seen.error().text());
  REQUIRE(seen);
  CHECK(*seen == "nftables rule of chain forward: no such file or directory\nleft: ");
}

TEST_CASE("a host's table that is as it should be is left as it is, one that was changed is mended", "[network]") {
  const auto seen = support::in_namespaces(CLONE_NEWNET | CLONE_NEWNS, []() -> std::string {
    LAB_ASSIGN(auto lab, lab::Lab::make());
    LAB_ASSIGN(auto net, network::Network::create(*lab->host, lab::config(1), lab->pin("net1")));
    LAB_ASSIGN(auto socket, NfSocket::open());
    LAB_ASSIGN(const auto before, socket.generation());
    LAB_ASSIGN(auto second, network::HostNetwork::open());
    LAB_TRY(second->ensure());
    LAB_ASSIGN(const auto after, socket.generation());
    std::string out = before == after ? "left alone\n" : "changed\n";
    lab::nft("flush chain inet compose forward");
    LAB_ASSIGN(auto third, network::HostNetwork::open());
    LAB_TRY(third->ensure());
    LAB_ASSIGN(const auto wanted, network::host_table({}));
    LAB_ASSIGN(const auto read, socket.read(wanted.family, wanted.name));
    return out + (read.rules == network::canonical(wanted) ? "mended" : "not mended");
  });
  if (!seen && seen.error().number == EPERM) SKIP_TEST(seen.error().text());
  REQUIRE(seen);
  CHECK(*seen == "left alone\nmended");
}
