#include <sched.h>

#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/sys.h"

#include "network/host_state.h"
#include "tests/kernel/network/lab.h"

using lab::ask;
using lab::Lab;
using lab::Server;
using network::make_netns;
using network::Network;

namespace {
constexpr int namespaces = CLONE_NEWNET | CLONE_NEWNS;

#define REQUIRE_SEEN(seen, expected)                       \
  do {                                                     \
    if (!seen && seen.error().number == EPERM) SKIP_TEST(seen.error().text()); \
    REQUIRE(seen);                                         \
    CHECK(*seen == expected);                              \
  } while (false)
}  // namespace

TEST_CASE("a container reaches the outside, the host and its neighbour, and the outside sees the host", "[network]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    LAB_ASSIGN(auto net, Network::create(*lab->host, lab::config(1), lab->pin("net1")));
    LAB_ASSIGN(auto one, make_netns());
    LAB_ASSIGN(auto two, make_netns());
    LAB_ASSIGN(const auto endpoint, net.attach(one.borrow(), lab::endpoint(1, 2)));
    LAB_TRY(net.attach(two.borrow(), lab::endpoint(1, 3)));
    LAB_ASSIGN(const auto own, base::sys::open("/proc/self/ns/net", O_RDONLY));
    Server outside(lab->client.borrow(), "192.0.2.1", 80), host(own.borrow(), "0.0.0.0", 81),
        neighbour(two.borrow(), "0.0.0.0", 82), udp(lab->client.borrow(), "192.0.2.1", 83, true);
    return endpoint.interface_name + " " + endpoint.mac + "\noutside " + ask(one.borrow(), "192.0.2.1", 80) +
           "\nudp " + ask(one.borrow(), "192.0.2.1", 83, true) + "\nhost " + ask(one.borrow(), "192.0.2.2", 81) +
           "\nhost by gateway " + ask(one.borrow(), net.host_gateway(), 81) + "\nneighbour " +
           ask(one.borrow(), "172.30.1.3", 82) + "\nfrom host " + ask({}, "172.30.1.3", 82) + "\nmtu " +
           lab::shell("nsenter --net=/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(one.number()) +
                      " ip -o link show eth0 | sed 's/.* mtu \\([0-9]*\\).*/\\1/'");
  });
  REQUIRE_SEEN(seen, R"(eth0 02:42:ac:1e:01:02
outside seen as 192.0.2.2
udp seen as 192.0.2.2
host seen as 169.254.1.1
host by gateway seen as 169.254.1.1
neighbour seen as 172.30.1.2
from host seen as 169.254.1.0
mtu 1400
)");
}

TEST_CASE("networks are closed to each other and to strangers, internal ones to everything outside", "[network]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    LAB_ASSIGN(auto a, Network::create(*lab->host, lab::config(1), lab->pin("net1")));
    LAB_ASSIGN(auto b, Network::create(*lab->host, lab::config(2), lab->pin("net2")));
    auto internal = lab::config(3);
    internal.internal = true;
    internal.uplink.clear();
    LAB_ASSIGN(auto c, Network::create(*lab->host, internal, lab->pin("net3")));
    LAB_ASSIGN(auto one, make_netns());
    LAB_ASSIGN(auto two, make_netns());
    LAB_ASSIGN(auto three, make_netns());
    LAB_ASSIGN(auto four, make_netns());
    LAB_TRY(a.attach(one.borrow(), lab::endpoint(1, 2)));
    LAB_TRY(b.attach(two.borrow(), lab::endpoint(2, 2)));
    LAB_TRY(c.attach(three.borrow(), lab::endpoint(3, 2)));
    LAB_TRY(c.attach(four.borrow(), lab::endpoint(3, 3)));
    Server in_two(two.borrow(), "0.0.0.0", 80), in_four(four.borrow(), "0.0.0.0", 80),
        outside(lab->client.borrow(), "192.0.2.1", 80);
    return "a to b " + ask(one.borrow(), "172.30.2.2", 80) + "\na to b's uplink " + ask(one.borrow(), "169.254.2.1", 80) +
           "\ninternal to outside " + ask(three.borrow(), "192.0.2.1", 80) + "\ninternal to internal " +
           ask(three.borrow(), "172.30.3.3", 80) + "\ngateway of internal '" + c.host_gateway() + "'";
  });
  REQUIRE_SEEN(seen, R"(a to b failed: timeout
a to b's uplink failed: timeout
internal to outside failed: Network is unreachable
internal to internal seen as 172.30.3.2
gateway of internal '')");
}

TEST_CASE("firewalls that drop forwarded traffic get an accept rule where they reserve room", "[network]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    const auto loaded = lab::nft(R"(
table ip filter {
  chain DOCKER-USER {
  }
  chain FORWARD {
    type filter hook forward priority 0; policy drop;
    jump DOCKER-USER
  }
}
table inet mine {
  chain transit {
    type filter hook forward priority 0; policy drop;
  }
}
)");
    if (!loaded.empty()) return loaded;
    LAB_ASSIGN(auto net, Network::create(*lab->host, lab::config(1), lab->pin("net1")));
    LAB_TRY(lab->host->ensure());
    LAB_ASSIGN(auto one, make_netns());
    LAB_TRY(net.attach(one.borrow(), lab::endpoint(1, 2)));
    Server outside(lab->client.borrow(), "192.0.2.1", 80);
    auto out = ask(one.borrow(), "192.0.2.1", 80) + "\n";
    LAB_ASSIGN(const auto changes, lab->host->changes());
    for (const auto& change : changes) out += change + "\n";
    LAB_TRY(Network::remove(*lab->host, lab::config(1), lab->pin("net1")));
    return out + lab::nft("list table ip filter") + lab::nft("list table inet mine") + lab::nft("list tables ip6");
  });
  REQUIRE_SEEN(seen, R"(seen as 192.0.2.2
interface cps-a9fe0100
nftables table inet compose
IPv4 forwarding on eth0
accept rules in chain inet mine transit
accept rules in chain ip filter DOCKER-USER
table ip filter {
	chain DOCKER-USER {
	}

	chain FORWARD {
		type filter hook forward priority filter; policy drop;
		jump DOCKER-USER
	}
}
table inet mine {
	chain transit {
		type filter hook forward priority filter; policy drop;
	}
}
)");
}

TEST_CASE("forwarding is opened for us alone and closed again", "[network]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    // A second stranger behind the host, reachable only if the host routed for others.
    LAB_ASSIGN(auto stranger, make_netns());
    const auto fd = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(stranger.number());
    const auto client = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(lab->client.number());
    lab::shell("ip link add eth1 index 200 type veth peer name eth0 netns " + fd + "; ip addr add 198.51.100.2/24 dev eth1; ip link set eth1 up; "
               "nsenter --net=" + fd + " sh -c 'ip addr add 198.51.100.1/24 dev eth0; ip link set eth0 up; ip route add default via 198.51.100.2'; "
               "nsenter --net=" + client + " ip route add 198.51.100.0/24 via 192.0.2.2");
    Server outside(lab->client.borrow(), "192.0.2.1", 80);
    const auto forwarding = [] {
      return network::read_sysctl("net/ipv4/conf/eth0/forwarding") + network::read_sysctl("net/ipv4/conf/eth1/forwarding") +
             network::read_sysctl("net/ipv4/ip_forward");
    };
    LAB_TRY(network::write_sysctl("net/ipv4/ip_forward", "0"));
    auto out = forwarding() + "\n";
    LAB_ASSIGN(auto net, Network::create(*lab->host, lab::config(1), lab->pin("net1")));
    out += forwarding() + " " + ask(stranger.borrow(), "192.0.2.1", 80) + "\n";
    LAB_TRY(Network::remove(*lab->host, lab::config(1), lab->pin("net1")));
    out += forwarding() + "\n";
    // Somebody else makes the host a router: that is not ours to stop.
    LAB_TRY(network::write_sysctl("net/ipv4/ip_forward", "1"));
    LAB_ASSIGN(auto again, Network::create(*lab->host, lab::config(1), lab->pin("net1")));
    out += forwarding() + " " + ask(stranger.borrow(), "192.0.2.1", 80) + "\n";
    LAB_TRY(Network::remove(*lab->host, lab::config(1), lab->pin("net1")));
    return out + forwarding();
  });
  REQUIRE_SEEN(seen, R"(000
110 failed: timeout
000
111 seen as 198.51.100.1
111)");
}

TEST_CASE("a network outlives its objects, is adopted and repaired, and leaves nothing when removed", "[network]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    LAB_ASSIGN(auto one, make_netns());
    LAB_ASSIGN(auto two, make_netns());
    std::string out;
    {
      LAB_ASSIGN(auto net, Network::create(*lab->host, lab::config(1), lab->pin("net1")));
      LAB_TRY(net.attach(one.borrow(), lab::endpoint(1, 2)));
    }
    Server outside(lab->client.borrow(), "192.0.2.1", 80);
    {
      LAB_ASSIGN(auto host, network::HostNetwork::open());
      LAB_ASSIGN(auto net, Network::open(*host, lab::config(1), lab->pin("net1")));
      LAB_TRY(net.attach(two.borrow(), lab::endpoint(1, 3)));
      out += "adopted " + ask(one.borrow(), "192.0.2.1", 80) + " " + ask(two.borrow(), "192.0.2.1", 80) + "\n";
    }
    lab::nft("flush ruleset");
    lab::shell("ip link del cps-a9fe0100");
    LAB_ASSIGN(auto host, network::HostNetwork::open());
    LAB_ASSIGN(auto net, Network::create(*host, lab::config(1), lab->pin("net1")));
    out += "repaired " + ask(one.borrow(), "192.0.2.1", 80) + "\n";
    auto other = lab::config(4);
    other.uplink = "169.254.1.0/31";
    auto clash = Network::create(*host, other, lab->pin("net4"));
    out += (clash ? "made" : clash.error().text()) + "\n";
    LAB_TRY(Network::remove(*host, lab::config(1), lab->pin("net1")));
    LAB_TRY(Network::remove(*host, lab::config(1), lab->pin("net1")));
    auto gone = Network::open(*host, lab::config(1), lab->pin("net1"));
    out += std::string(gone ? "there" : base::to_string(gone.error().kind)) + "\n";
    return out + "left: " + lab::nft("list ruleset") + lab::shell("ip -o link | grep cps-; ip route | grep -v eth0") +
           lab::shell("grep " + lab->dir.path().string() + " /proc/self/mounts");
  });
  REQUIRE_SEEN(seen, R"(adopted seen as 192.0.2.2 seen as 192.0.2.2
repaired seen as 192.0.2.2
creating network net4: uplink 169.254.1.0/31 is in use by another network on this machine
not_found
left: )");
}

TEST_CASE("the endpoint of a container that ended is heard of no more, and its id and address are free at once", "[network]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    LAB_ASSIGN(auto net, Network::create(*lab->host, lab::config(1), lab->pin("net1")));
    LAB_ASSIGN(auto ended, make_netns());
    LAB_ASSIGN(auto next, make_netns());
    const auto carrier = [](const base::UniqueFd& netns) {
      return lab::shell("nsenter --net=/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(netns.number()) +
                        // Which of its two words for a missing carrier the kernel uses depends on how soon it is asked.
                        " ip -o link show eth0 | grep -o 'state [A-Z]*' | sed s/LOWERLAYERDOWN/DOWN/");
    };
    LAB_TRY(net.attach(ended.borrow(), lab::endpoint(1, 2)));
    auto out = carrier(ended) + lab::shell("nsenter --net=/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(ended.number()) +
                                           " ip -d -o link show eth0 | grep -o 'num[tr]xqueues [0-9]*'");
    LAB_TRY(net.silence({lab::endpoint(1, 2).id}));
    LAB_TRY(net.silence({"never seen"}));
    out += carrier(ended);  // the namespace lives on here, as where another container has joined it
    LAB_TRY(net.attach(next.borrow(), lab::endpoint(1, 2)));
    return out + carrier(next);
  });
  REQUIRE_SEEN(seen, "state UP\nnumtxqueues 1\nnumrxqueues 1\nstate DOWN\nstate UP\n");
}

TEST_CASE("a container joins several networks, moves its default route and leaves them", "[network]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    LAB_ASSIGN(auto a, Network::create(*lab->host, lab::config(1), lab->pin("net1")));
    LAB_ASSIGN(auto b, Network::create(*lab->host, lab::config(2), lab->pin("net2")));
    LAB_ASSIGN(auto one, make_netns());
    const auto inside = "nsenter --net=/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(one.number()) + " ";
    const auto routes = [&] { return lab::shell(inside + "ip route") ; };
    LAB_TRY(a.attach(one.borrow(), lab::endpoint(1, 2)));
    auto second = lab::endpoint(2, 2);
    second.gateway4.clear();
    second.mac = "02:00:00:00:00:07";
    second.link_local_ips = {"169.254.77.7"};
    LAB_ASSIGN(const auto endpoint, b.attach(one.borrow(), second));
    auto out = endpoint.interface_name + " " + endpoint.mac + "\n" + routes();
    auto taken = lab::endpoint(2, 9);
    taken.interface_name = "eth1";
    auto refused = b.attach(one.borrow(), taken);
    out += (refused ? "attached" : refused.error().text()) + "\n";
    LAB_TRY(a.detach({lab::endpoint(1, 2).id, "never seen"}));
    LAB_TRY(network::set_default_routes(one.borrow(), "172.30.2.1", ""));
    out += routes();
    auto named = lab::endpoint(1, 2);
    named.interface_name = "lan0";
    LAB_TRY(a.attach(one.borrow(), named));
    LAB_TRY(b.detach({second.id}));
    out += routes();
    LAB_TRY(network::remove_interface(one.borrow(), "lan0"));
    LAB_TRY(network::remove_interface(one.borrow(), "lan0"));
    return out + lab::shell(inside + "ip -o link | cut -d: -f2");
  });
  REQUIRE_SEEN(seen, R"(eth1 02:00:00:00:00:07
default via 172.30.1.1 dev eth0 proto static 
169.254.0.0/16 dev eth1 proto kernel scope link src 169.254.77.7 
172.30.1.0/24 dev eth0 proto kernel scope link src 172.30.1.2 
172.30.2.0/24 dev eth1 proto kernel scope link src 172.30.2.2 
attaching to network net2: interface eth1 exists already in the container
default via 172.30.2.1 dev eth1 proto static 
169.254.0.0/16 dev eth1 proto kernel scope link src 169.254.77.7 
172.30.2.0/24 dev eth1 proto kernel scope link src 172.30.2.2 
default via 172.30.1.1 dev lan0 proto static 
172.30.1.0/24 dev lan0 proto kernel scope link src 172.30.1.2 
 lo
)");
}

TEST_CASE("containers of a network without inter-container traffic reach the outside only", "[network]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    auto config = lab::config(1);
    config.isolate_ports = true;
    LAB_ASSIGN(auto net, Network::create(*lab->host, config, lab->pin("net1")));
    LAB_ASSIGN(auto one, make_netns());
    LAB_ASSIGN(auto two, make_netns());
    LAB_TRY(net.attach(one.borrow(), lab::endpoint(1, 2)));
    LAB_TRY(net.attach(two.borrow(), lab::endpoint(1, 3)));
    Server neighbour(two.borrow(), "0.0.0.0", 80), outside(lab->client.borrow(), "192.0.2.1", 80);
    return ask(one.borrow(), "192.0.2.1", 80) + "\n" + ask(one.borrow(), "172.30.1.3", 80);
  });
  REQUIRE_SEEN(seen, "seen as 192.0.2.2\nfailed: timeout");
}

TEST_CASE("macvlan and ipvlan put containers on the host's own segment", "[network]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    std::string out;
    for (const char* driver : {"macvlan", "ipvlan"}) {
      network::NetworkConfig config;
      config.name = config.driver = driver;
      config.parent = "eth0";
      config.mode = driver == std::string("macvlan") ? "bridge" : "l2";
      auto net = Network::create(*lab->host, config, lab->pin(driver));
      LAB_TRY(std::move(net));
      LAB_ASSIGN(auto opened, Network::open(*lab->host, config, lab->pin(driver)));
      LAB_ASSIGN(auto one, make_netns());
      auto attached = opened.attach(one.borrow(), {.id = "c", .ipv4 = "192.0.2.50/24", .gateway4 = "192.0.2.1"});
      // Not every kernel has both drivers.
      if (!attached && attached.error().kind == base::ErrorKind::unsupported) continue;
      LAB_TRY(attached);
      Server outside(lab->client.borrow(), "192.0.2.1", 80);
      if (const auto seen_as = ask(one.borrow(), "192.0.2.1", 80); seen_as != "seen as 192.0.2.50")
        out += std::string(driver) + " " + seen_as + "\n";
      LAB_TRY(network::remove_interface(one.borrow(), attached->interface_name));
    }
    network::NetworkConfig config;
    config.name = "vlan";
    config.driver = "macvlan";
    config.parent = "eth9";
    auto missing = Network::create(*lab->host, config, lab->pin("vlan"));
    return out + (missing ? "made" : missing.error().text());
  });
  REQUIRE_SEEN(seen, R"(creating network vlan: parent interface of network vlan: link eth9: no such device)");
}
