// Not part of the normal run: kernel_network "[bench]" prints what each step costs, as JSON lines.
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <iostream>

#include "base/sys.h"
#include "network/dns.h"
#include "network/publish.h"
#include "network/relay_parts.h"
#include "tests/kernel/network/lab.h"
#include "tests/kernel/network/loop.h"

using lab::Lab;
using network::make_netns;
using network::Network;

namespace {

/// Wall clock and processor time of the whole process: on a busy machine only the second says much.
struct Sample {
  double wall = 0, cpu = 0;
};
class Stopwatch {
 public:
  [[nodiscard]] Sample take() const { return {read(CLOCK_MONOTONIC) - wall_, read(CLOCK_PROCESS_CPUTIME_ID) - cpu_}; }
  [[nodiscard]] double ms() const { return take().wall; }

 private:
  static double read(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
  }
  double wall_ = read(CLOCK_MONOTONIC), cpu_ = read(CLOCK_PROCESS_CPUTIME_ID);
};

std::string line(const std::string& what, const std::vector<Sample>& samples) {
  const auto median = [&](double Sample::*field) {
    std::vector<double> values;
    for (const auto& sample : samples) values.push_back(sample.*field);
    std::sort(values.begin(), values.end());
    return std::to_string(values[values.size() / 2]);
  };
  return "{\"what\": \"" + what + "\", \"wall_ms\": " + median(&Sample::wall) + ", \"cpu_ms\": " + median(&Sample::cpu) + "}\n";
}

/// Queries a second with `in_flight` outstanding, from one socket in `netns`.
double query_rate(base::Fd netns, unsigned in_flight, std::chrono::milliseconds length) {
  double rate = 0;
  auto done = network::in_netns(netns, [&]() -> base::Result<> {
    ASSIGN_OR_RETURN(const auto fd, base::sys::socket(AF_INET, SOCK_DGRAM));
    const auto server = network::socket_address(network::Address::v4(0x7f00000b), 53);
    TRY(base::sys::wrap("connect", ::connect(fd.number(), server.get(), server.size)));
    const timeval limit{1, 0};
    ::setsockopt(fd.number(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    const std::string query("\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03web\0\0\x01\0\x01", 21);
    std::vector<iovec> out(in_flight, iovec{const_cast<char*>(query.data()), query.size()});
    std::vector<std::array<char, 512>> buffers(in_flight);
    std::vector<iovec> in(in_flight);
    std::vector<mmsghdr> sent(in_flight), received(in_flight);
    for (unsigned i = 0; i < in_flight; ++i) {
      sent[i].msg_hdr.msg_iov = &out[i];
      sent[i].msg_hdr.msg_iovlen = 1;
      in[i] = {buffers[i].data(), buffers[i].size()};
      received[i].msg_hdr.msg_iov = &in[i];
      received[i].msg_hdr.msg_iovlen = 1;
    }
    const Stopwatch watch;
    long answers = 0;
    unsigned free = in_flight;
    while (watch.ms() < static_cast<double>(length.count())) {
      const int count_out = ::sendmmsg(fd.number(), sent.data(), free, 0);
      free -= static_cast<unsigned>(std::max(count_out, 0));
      const int count_in = ::recvmmsg(fd.number(), received.data(), in_flight, MSG_WAITFORONE, nullptr);
      if (count_in <= 0) {
        free = in_flight;  // lost
        continue;
      }
      answers += count_in;
      free += static_cast<unsigned>(count_in);
    }
    rate = static_cast<double>(answers) / watch.ms() * 1000;
    return {};
  });
  return done ? rate : -1;
}

}  // namespace

TEST_CASE("what the steps of networking cost", "[.][bench]") {
  const auto seen = support::in_namespaces(CLONE_NEWNET | CLONE_NEWNS, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    Loop loop;
    LAB_ASSIGN(auto publisher, network::PortPublisher::create(loop.io, *lab->host));
    LAB_ASSIGN(auto server, network::DnsServer::create(loop.io));
    auto zone = std::make_shared<network::DnsZone>("n");
    zone->update({{"demo-web-1", {"web"}, {"172.30.1.2"}}});
    constexpr int count = 50;
    std::vector<Sample> create, netns, attach, serve, publish, unpublish;
    std::vector<base::UniqueFd> containers;
    std::vector<Network> networks;
    for (int i = 1; i <= 10; ++i) {
      const Stopwatch watch;
      LAB_ASSIGN(auto net, Network::create(*lab->host, lab::config(i), lab->pin("net" + std::to_string(i))));
      create.push_back(watch.take());
      networks.push_back(std::move(net));
    }
    std::vector<std::string> ids;
    for (int i = 0; i < count; ++i) {
      const Stopwatch one;
      LAB_ASSIGN(auto container, make_netns());
      netns.push_back(one.take());
      const Stopwatch two;
      LAB_TRY(networks[0].attach(container.borrow(), lab::endpoint(1, i + 2)));
      attach.push_back(two.take());
      const Stopwatch three;
      LAB_TRY(server->serve(std::to_string(i), container.borrow(), {.zones = {zone}}));
      serve.push_back(three.take());
      const std::vector<network::PortMapping> ports{{.host_port = static_cast<std::uint16_t>(8000 + i), .container_port = 80}};
      const Stopwatch four;
      LAB_TRY(publisher->publish(std::to_string(i), networks[0], {.ipv4 = "172.30.1." + std::to_string(i + 2)}, ports));
      publish.push_back(four.take());
      ids.push_back(lab::endpoint(1, i + 2).id);
      containers.push_back(std::move(container));
    }
    std::string out = line("create network", create) + line("make_netns", netns) + line("attach", attach) +
                      line("dns serve", serve) + line("publish", publish);
    for (const unsigned in_flight : {1U, 100U}) {
      const Stopwatch used;
      const double rate = query_rate(containers[0].borrow(), in_flight, std::chrono::milliseconds(1500));
      const auto sample = used.take();
      out += "{\"what\": \"dns, " + std::to_string(in_flight) + " in flight\", \"queries_per_s\": " + std::to_string(rate) + ", \"cpu_share\": " +
             std::to_string(sample.cpu / sample.wall) + "}\n";
    }
    for (int i = 0; i < count; ++i) {
      const Stopwatch watch;
      LAB_TRY(publisher->unpublish(std::to_string(i)));
      unpublish.push_back(watch.take());
    }
    const Stopwatch watch;
    LAB_TRY(networks[0].detach(ids));
    out += line("unpublish", unpublish) + line("detach 50 at once", {watch.take()});
    std::vector<Sample> remove;
    networks.clear();
    for (int i = 1; i <= 10; ++i) {
      const Stopwatch each;
      LAB_TRY(Network::remove(*lab->host, lab::config(i), lab->pin("net" + std::to_string(i))));
      remove.push_back(each.take());
    }
    return out + line("remove network", remove);
  });
  REQUIRE(seen);
  std::cout << *seen;
}
