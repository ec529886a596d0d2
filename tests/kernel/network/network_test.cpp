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
                      " cat /sys/class/net/eth0/mtu");
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
