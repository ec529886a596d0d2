// Every system call of an operation fails once: afterwards nothing of the operation is left, and it works when tried again.
#define COMPOSE_FAULTS  // as base/sys.cpp is compiled here
#include <sched.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/fault.h"
#include "base/sys.h"
#include "network/publish.h"
#include "tests/kernel/network/lab.h"
#include "tests/kernel/network/loop.h"

using lab::Lab;
using network::make_netns;
using network::Network;

namespace {

std::string links(base::Fd netns) {
  return lab::shell("nsenter --net=/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(netns.number()) +
                    " ip -o link | cut -d: -f2 | tr -d '\\n'");
}

/// Runs `operation` with the k-th call failing, k = 1, 2, … until all calls pass. `leftovers` is asked after each failure.
template <class Operation, class Undo, class Leftovers>
std::string sweep(Operation&& operation, Undo&& undo, Leftovers&& leftovers) {
  const std::string clean = leftovers();
  int failures = 0;
  for (long k = 1; k < 2000; ++k) {
    base::fault_reset(k);
    const base::Result<> done = operation();
    const bool hit = base::fault_count() >= k;
    base::fault_reset(0);
    if (done) {
      undo();
      if (!hit) return failures > 3 ? "clean" : "only " + std::to_string(failures) + " failures";
    } else {
      ++failures;
    }
    std::string now;
    if (!support::eventually([&] { return (now = leftovers()) == clean; }, std::chrono::seconds(2)))
      return "left at call " + std::to_string(k) + (done ? "" : " (" + done.error().text() + ")") + ":\n" + now;
    if (const auto again = done ? base::Result<>() : operation(); !again)
      return "not again after call " + std::to_string(k) + ": " + again.error().text();
    else if (!done)
      undo();
  }
  return "endless";
}

}  // namespace

TEST_CASE("a failed attach leaves no link and can be repeated", "[faults]") {
  const auto seen = support::in_namespaces(CLONE_NEWNET | CLONE_NEWNS, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    LAB_ASSIGN(auto net, Network::create(*lab->host, lab::config(1), lab->pin("net1")));
    LAB_ASSIGN(auto one, make_netns());
    return sweep(
        [&]() -> base::Result<> {
          auto done = net.attach(one.borrow(), lab::endpoint(1, 2));
          if (!done) return std::move(done).error();
          return {};
        },
        [&] { (void)net.detach({lab::endpoint(1, 2).id}).has_value(); },
        [&] { return links(one.borrow()) + links(net.netns()); });
  });
  REQUIRE(seen);
  CHECK(*seen == "clean");
}

TEST_CASE("a failed creation leaves neither link nor pin and can be repeated", "[faults]") {
  const auto seen = support::in_namespaces(CLONE_NEWNET | CLONE_NEWNS, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    const auto pin = lab->pin("net1");
    return sweep(
        [&]() -> base::Result<> {
          auto done = Network::create(*lab->host, lab::config(1), pin);
          if (!done) return std::move(done).error();
          return {};
        },
        [&] { (void)Network::remove(*lab->host, lab::config(1), pin).has_value(); },
        [&] {
          return lab::shell("ip -o link | cut -d: -f2; grep -c " + lab->dir.path().string() + " /proc/self/mounts; ls " +
                            pin.parent_path().string() + " 2>/dev/null; cat /proc/sys/net/ipv4/conf/eth0/forwarding");
        });
  });
  REQUIRE(seen);
  CHECK(*seen == "clean");
}

TEST_CASE("failed publishing leaves no entry and no bound port, and can be repeated", "[faults]") {
  const auto seen = support::in_namespaces(CLONE_NEWNET | CLONE_NEWNS, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    Loop loop;
    LAB_ASSIGN(auto publisher, network::PortPublisher::create(loop.io, *lab->host));
    LAB_ASSIGN(auto net, Network::create(*lab->host, lab::config(1), lab->pin("net1")));
    const std::vector<network::PortMapping> ports{{.host_port = 8080, .container_port = 80},
                                                  {.protocol = "udp", .host_port = 5353, .container_port = 53}};
    return sweep(
        [&]() -> base::Result<> {
          auto done = publisher->publish("web", net, {.ipv4 = "172.30.1.2"}, ports);
          if (!done) return std::move(done).error();
          return {};
        },
        [&] { (void)publisher->unpublish("web").has_value(); },
        [&] {
          return lab::nft("list map inet compose ports4") +
                 lab::shell("cat /proc/" + std::to_string(::getpid()) + "/net/tcp /proc/" + std::to_string(::getpid()) +
                            "/net/udp | grep -cE ':1F90|:14E9'");
        });
  });
  REQUIRE(seen);
  CHECK(*seen == "clean");
}
