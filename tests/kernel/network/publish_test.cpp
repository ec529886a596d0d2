#include <sched.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "network/publish.h"
#include "tests/kernel/network/lab.h"
#include "tests/kernel/network/loop.h"

using lab::ask;
using lab::Lab;
using lab::Server;
using network::make_netns;
using network::Network;
using network::PortPublisher;

namespace {

constexpr int namespaces = CLONE_NEWNET | CLONE_NEWNS;

#define REQUIRE_SEEN(seen, expected)                                           \
  do {                                                                         \
    if (!seen && seen.error().number == EPERM) SKIP_TEST(seen.error().text()); \
    REQUIRE(seen);                                                             \
    CHECK(*seen == expected);                                                  \
  } while (false)

network::NetworkConfig dual_config(int number) {
  auto out = lab::config(number);
  out.subnets.push_back({.subnet = "fd00:30:" + std::to_string(number) + "::/64",
                         .gateway = "fd00:30:" + std::to_string(number) + "::1"});
  out.uplink6 = "fd63:6f6d:706f:7365::" + std::to_string(number) + "0/127";
  return out;
}

network::EndpointConfig dual_endpoint(int number, int host) {
  auto out = lab::endpoint(number, host);
  const auto prefix = "fd00:30:" + std::to_string(number) + "::";
  out.ipv6 = prefix + std::to_string(host) + "/64";
  out.gateway6 = prefix + "1";
  return out;
}

std::string bound_text(const std::vector<network::BoundPort>& ports) {
  std::string out;
  for (const auto& port : ports)
    out += port.host_ip + " " + std::to_string(port.host_port) + "->" + std::to_string(port.container_port) + "/" +
           port.protocol + "\n";
  return out;
}

}  // namespace

TEST_CASE("a published port is reached from loopback, the host's addresses, outside and containers", "[publish]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    Loop loop;
    LAB_ASSIGN(auto publisher, PortPublisher::create(loop.io, *lab->host));
    LAB_ASSIGN(auto net, Network::create(*lab->host, lab::config(1), lab->pin("net1")));
    LAB_ASSIGN(auto other, Network::create(*lab->host, lab::config(2), lab->pin("net2")));
    LAB_ASSIGN(auto web, make_netns());
    LAB_ASSIGN(auto neighbour, make_netns());
    LAB_ASSIGN(auto stranger, make_netns());
    LAB_TRY(net.attach(web.borrow(), lab::endpoint(1, 2)));
    LAB_TRY(net.attach(neighbour.borrow(), lab::endpoint(1, 3)));
    LAB_TRY(other.attach(stranger.borrow(), lab::endpoint(2, 2)));
    Server tcp(web.borrow(), "0.0.0.0", 80), udp(web.borrow(), "0.0.0.0", 53, true);
    const std::vector<network::PortMapping> ports{{.host_port = 8080, .container_port = 80},
                                                  {.protocol = "udp", .host_port = 5353, .container_port = 53}};
    LAB_ASSIGN(const auto bound, publisher->publish("web", net, {.ipv4 = "172.30.1.2"}, ports));
    std::string out = bound_text(bound);
    for (const bool u : {false, true}) {
      const std::uint16_t port = u ? 5353 : 8080;
      out += std::string(u ? "udp" : "tcp") + "\n127.0.0.1 " + ask({}, "127.0.0.1", port, u) + "\n::1 " +
             ask({}, "::1", port, u) + "\nown address " + ask({}, "192.0.2.2", port, u) + "\noutside " +
             ask(lab->client.borrow(), "192.0.2.2", port, u) + "\noutside v6 " +
             ask(lab->client.borrow(), "2001:db8::2", port, u) + "\nneighbour " +
             ask(neighbour.borrow(), "192.0.2.2", port, u) + "\nitself " + ask(web.borrow(), "192.0.2.2", port, u) +
             "\nother network " + ask(stranger.borrow(), "192.0.2.2", port, u) + "\nby gateway " +
             ask(stranger.borrow(), "172.30.2.1", port, u) + "\n";
    }
    LAB_TRY(publisher->unpublish("web"));
    support::eventually([] { return ask({}, "::1", 8080) == "failed: Connection refused"; });
    out += "after " + ask({}, "127.0.0.1", 8080) + ", " + ask({}, "::1", 8080) + ", " +
           ask(lab->client.borrow(), "192.0.2.2", 8080);
    return out;
  });
  REQUIRE_SEEN(seen, R"(0.0.0.0 8080->80/tcp
:: 8080->80/tcp
0.0.0.0 5353->53/udp
:: 5353->53/udp
tcp
127.0.0.1 seen as 169.254.1.0
::1 seen as 169.254.1.0
own address seen as 192.0.2.2
outside seen as 192.0.2.1
outside v6 seen as 169.254.1.0
neighbour seen as 169.254.1.0
itself seen as 169.254.1.0
other network seen as 169.254.1.0
by gateway seen as 169.254.1.0
udp
127.0.0.1 seen as 169.254.1.0
::1 seen as 169.254.1.0
own address seen as 192.0.2.2
outside seen as 192.0.2.1
outside v6 seen as 169.254.1.0
neighbour seen as 169.254.1.0
itself seen as 169.254.1.0
other network seen as 169.254.1.0
by gateway seen as 169.254.1.0
after failed: Connection refused, failed: Connection refused, failed: Connection refused)");
}

TEST_CASE("with IPv6 in the network, IPv6 clients keep their address", "[publish]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    Loop loop;
    LAB_ASSIGN(auto publisher, PortPublisher::create(loop.io, *lab->host));
    LAB_ASSIGN(auto net, Network::create(*lab->host, dual_config(1), lab->pin("net1")));
    LAB_ASSIGN(auto web, make_netns());
    LAB_TRY(net.attach(web.borrow(), dual_endpoint(1, 2)));
    Server tcp(web.borrow(), "::", 80), outside(lab->client.borrow(), "2001:db8::1", 81);
    const std::vector<network::PortMapping> ports{{.host_port = 8080, .container_port = 80}};
    LAB_TRY(publisher->publish("web", net, {.ipv4 = "172.30.1.2", .ipv6 = "fd00:30:1::2"}, ports));
    return "outside v6 " + ask(lab->client.borrow(), "2001:db8::2", 8080) + "\n::1 " + ask({}, "::1", 8080) +
           "\nown " + ask({}, "2001:db8::2", 8080) + "\negress " + ask(web.borrow(), "2001:db8::1", 81);
  });
  REQUIRE_SEEN(seen, R"(outside v6 seen as 2001:db8::1
::1 seen as fd63:6f6d:706f:7365::10
own seen as 2001:db8::2
egress seen as 2001:db8::2)");
}

TEST_CASE("a taken port is refused by the name of its holder, and a range passes it by", "[publish]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    Loop loop;
    LAB_ASSIGN(auto publisher, PortPublisher::create(loop.io, *lab->host));
    LAB_ASSIGN(auto net, Network::create(*lab->host, lab::config(1), lab->pin("net1")));
    LAB_ASSIGN(auto web, make_netns());
    LAB_TRY(net.attach(web.borrow(), lab::endpoint(1, 2)));
    LAB_ASSIGN(const auto own, base::sys::open("/proc/self/ns/net", O_RDONLY));
    Server holder(own.borrow(), "0.0.0.0", 8080);
    const auto attempt = [&](const network::PortMapping& mapping) {
      auto done = publisher->publish("web", net, {.ipv4 = "172.30.1.2"}, std::span(&mapping, 1));
      return done ? bound_text(*done) : std::string(base::to_string(done.error().kind)) + " " + done.error().text() + "\n";
    };
    auto out = attempt({.host_port = 8080, .container_port = 80});
    const auto pid = "(pid " + std::to_string(::getpid()) + ")";
    // Between the program's name and its pid stand its arguments.
    const auto name = out.find("kernel_network"), at = out.find(pid);
    if (name != std::string::npos && at != std::string::npos && name < at)
      out.replace(name, at + pid.size() - name, "kernel_network (pid OURS)");
    out += attempt({.host_port = 8080, .host_port_last = 8081, .container_port = 80});
    out += attempt({.host_ip = "198.51.100.1", .host_port = 80, .container_port = 80});
    out += attempt({.host_ip = "127.0.0.1", .host_port = 8082, .container_port = 80});
    return out;
  });
  REQUIRE_SEEN(seen, R"(exists port 8080/tcp is already in use by kernel_network (pid OURS)
0.0.0.0 8081->80/tcp
:: 8081->80/tcp
unavailable port 198.51.100.1:80/tcp: address 198.51.100.1 is not on this machine
127.0.0.1 8082->80/tcp
)");
}

TEST_CASE("one host port serves different containers on different addresses, closed to outsiders", "[publish]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    Loop loop;
    LAB_ASSIGN(auto publisher, PortPublisher::create(loop.io, *lab->host));
    LAB_ASSIGN(auto net, Network::create(*lab->host, lab::config(1), lab->pin("net1")));
    LAB_ASSIGN(auto one, make_netns());
    LAB_ASSIGN(auto two, make_netns());
    LAB_TRY(net.attach(one.borrow(), lab::endpoint(1, 2)));
    LAB_TRY(net.attach(two.borrow(), lab::endpoint(1, 3)));
    // Only the one on loopback listens: reaching it from elsewhere would be the leak.
    Server first(one.borrow(), "0.0.0.0", 80);
    const std::vector<network::PortMapping> local{{.host_ip = "127.0.0.1", .host_port = 80, .container_port = 80}};
    const std::vector<network::PortMapping> open{{.host_ip = "192.0.2.2", .host_port = 80, .container_port = 80}};
    LAB_TRY(publisher->publish("one", net, {.ipv4 = "172.30.1.2"}, local));
    LAB_TRY(publisher->publish("two", net, {.ipv4 = "172.30.1.3"}, open));
    // An outsider on the same link routes straight to the uplink and the container.
    lab::shell("nsenter --net=/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(lab->client.number()) +
               " sh -c 'ip route add 169.254.0.0/16 via 192.0.2.2; ip route add 172.30.0.0/16 via 192.0.2.2'");
    return "loopback " + ask({}, "127.0.0.1", 80) + "\nopen " + ask(lab->client.borrow(), "192.0.2.2", 80) +
           "\nuplink " + ask(lab->client.borrow(), "169.254.1.1", 80) + "\ncontainer " +
           ask(lab->client.borrow(), "172.30.1.2", 80);
  });
  REQUIRE_SEEN(seen, R"(loopback seen as 169.254.1.0
open failed: Connection refused
uplink failed: timeout
container failed: timeout)");
}

TEST_CASE("published ports survive the death of their process, and the next one takes them over", "[publish]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    LAB_ASSIGN(auto web, make_netns());
    const std::vector<network::PortMapping> ports{{.host_port = 8080, .container_port = 80}};
    {
      Loop loop;
      LAB_ASSIGN(auto publisher, PortPublisher::create(loop.io, *lab->host));
      LAB_ASSIGN(auto net, Network::create(*lab->host, lab::config(1), lab->pin("net1")));
      LAB_TRY(net.attach(web.borrow(), lab::endpoint(1, 2)));
      LAB_TRY(publisher->publish("web", net, {.ipv4 = "172.30.1.2"}, ports));
      publisher.reset();  // drops sockets, as a kill does; nothing is withdrawn
    }
    Server tcp(web.borrow(), "0.0.0.0", 80);
    std::string out = "orphaned " + ask(lab->client.borrow(), "192.0.2.2", 8080) + "\n";
    Loop loop;
    LAB_ASSIGN(lab->host, network::HostNetwork::open());
    LAB_ASSIGN(auto publisher, PortPublisher::create(loop.io, *lab->host));
    LAB_ASSIGN(auto net, Network::open(*lab->host, lab::config(1), lab->pin("net1")));
    LAB_TRY(publisher->publish("web", net, {.ipv4 = "172.30.1.2"}, ports));
    out += "adopted " + ask(lab->client.borrow(), "192.0.2.2", 8080) + " " + ask({}, "::1", 8080) + "\n";
    LAB_TRY(lab->host->watch(loop.io));
    lab::nft("flush ruleset");
    // The relay answers until the rules are back; then clients are seen by their own address again.
    out += "flushed " + ask(lab->client.borrow(), "192.0.2.2", 8080) + "\n";
    support::eventually([&] { return ask(lab->client.borrow(), "192.0.2.2", 8080) == "seen as 192.0.2.1"; });
    out += "restored " + ask(lab->client.borrow(), "192.0.2.2", 8080) + "\n";
    LAB_TRY(publisher->unpublish("web"));
    LAB_TRY(Network::remove(*lab->host, lab::config(1), lab->pin("net1")));
    lab->host->stop_watching();
    return out + "left: " + lab::nft("list ruleset") + lab::shell("ls /sys/class/net 2>/dev/null >&2; ip -o link | grep cps-");
  });
  REQUIRE_SEEN(seen, R"(orphaned seen as 192.0.2.1
adopted seen as 192.0.2.1 seen as 169.254.1.0
flushed seen as 169.254.1.0
restored seen as 192.0.2.1
left: )");
}
