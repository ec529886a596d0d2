#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "network/dns.h"
#include "network/dns/message.h"
#include "network/relay_parts.h"
#include "tests/kernel/network/lab.h"
#include "tests/kernel/network/loop.h"

using lab::Lab;
using network::make_netns;
using network::Network;
using network::dns::Type;

namespace {

constexpr int namespaces = CLONE_NEWNET | CLONE_NEWNS;

std::string query_text(const std::string& name, Type type) {
  std::string out("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12);
  std::size_t start = 0;
  while (start <= name.size()) {
    const auto end = std::min(name.find('.', start), name.size());
    out.push_back(static_cast<char>(end - start));
    out += name.substr(start, end - start);
    start = end + 1;
  }
  out.push_back(0);
  out.push_back(0);
  out.push_back(static_cast<char>(type));
  return out + std::string("\0\1", 2);
}

/// "172.30.1.2 172.30.1.3", "no data", "code 2", "truncated", "timeout". Records of A and AAAA, sorted.
std::string answer_text(const std::string& message) {
  if (message.size() < 12) return "timeout";
  if (message[2] & 2) return "truncated";
  if (message[3] & 15) return "code " + std::to_string(message[3] & 15);
  const auto count = static_cast<std::uint8_t>(message[7]);
  std::size_t at = 12;
  while (message[at] != 0) at += static_cast<std::uint8_t>(message[at]) + std::size_t{1};
  at += 5;
  std::vector<std::string> found;
  for (int i = 0; i < count; ++i) {
    at += 2;  // pointer to the name
    const auto type = static_cast<std::uint8_t>(message[at + 1]);
    const std::size_t size = static_cast<std::uint8_t>(message[at + 9]);
    const auto data = message.substr(at + 10, size);
    if (type == 1) {
      found.push_back(std::to_string(static_cast<std::uint8_t>(data[0])) + "." + std::to_string(static_cast<std::uint8_t>(data[1])) +
                      "." + std::to_string(static_cast<std::uint8_t>(data[2])) + "." + std::to_string(static_cast<std::uint8_t>(data[3])));
    } else {
      found.push_back("type " + std::to_string(type));
    }
    at += 10 + size;
  }
  std::sort(found.begin(), found.end());
  std::string out;
  for (const auto& each : found) out += (out.empty() ? "" : " ") + each;
  return out.empty() ? "no data" : out;
}

std::string exchange(const std::string& query, bool tcp) {
  const auto server = network::socket_address(network::Address::v4(0x7f00000b), 53);
  const base::UniqueFd fd(::socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0));
  if (::connect(fd.number(), server.get(), server.size) != 0) return "";
  const std::string sent = tcp ? std::string{0, static_cast<char>(query.size())} + query : query;
  if (::send(fd.number(), sent.data(), sent.size(), 0) < 0) return "";
  pollfd wait{fd.number(), POLLIN, 0};
  if (::poll(&wait, 1, 8000) != 1) return "";
  std::array<char, 65536> buffer;
  const auto count = ::recv(fd.number(), buffer.data(), buffer.size(), 0);
  if (count <= 0) return "";
  std::string out(buffer.data(), static_cast<std::size_t>(count));
  return tcp ? out.substr(2) : out;
}

std::string resolve(base::Fd netns, const std::string& name, Type type = Type::a, bool tcp = false) {
  std::string out;
  auto done = network::in_netns(netns, [&]() -> base::Result<> {
    out = answer_text(exchange(query_text(name, type), tcp));
    return {};
  });
  return done ? out : done.error().text();
}

/// An upstream server: answers every query with one A record. UDP, in `netns`, port 53.
class Upstream {
 public:
  Upstream(base::Fd netns, const std::string& address, std::uint32_t record) {
    auto opened = network::in_netns(netns, [&]() -> base::Result<> {
      ASSIGN_OR_RETURN(socket_, base::sys::socket(AF_INET, SOCK_DGRAM));
      ASSIGN_OR_RETURN(const auto parsed, network::Address::parse(address));
      const auto local = network::socket_address(parsed, 53);
      TRY(base::sys::wrap("bind", ::bind(socket_.number(), local.get(), local.size)));
      return {};
    });
    if (!opened) std::abort();
    thread_ = std::thread([this, record] { serve(record); });
  }
  ~Upstream() {
    stop_ = true;
    thread_.join();
  }

 private:
  void serve(std::uint32_t record) {
    while (!stop_) {
      pollfd wait{socket_.number(), POLLIN, 0};
      if (::poll(&wait, 1, 20) != 1) continue;
      std::array<char, 4096> buffer;
      sockaddr_storage peer{};
      socklen_t size = sizeof peer;
      const auto count = ::recvfrom(socket_.number(), buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&peer), &size);
      if (count <= 0) continue;
      const auto query = network::dns::parse_query({buffer.data(), static_cast<std::size_t>(count)});
      if (!query) continue;
      const auto reply = network::dns::build_response(*query, {.addresses = {network::Address::v4(record)}}, 512);
      (void)!::sendto(socket_.number(), reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&peer), size);
    }
  }
  base::UniqueFd socket_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

#define REQUIRE_SEEN(seen, expected)                                           \
  do {                                                                         \
    if (!seen && seen.error().number == EPERM) SKIP_TEST(seen.error().text()); \
    REQUIRE(seen);                                                             \
    CHECK(*seen == expected);                                                  \
  } while (false)

}  // namespace

TEST_CASE("containers resolve names of their networks only, by UDP and TCP, and may have port 53 themselves", "[dns]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    Loop loop;
    LAB_ASSIGN(auto server, network::DnsServer::create(loop.io, {.resolv_conf = "/nonexistent"}));
    auto front = std::make_shared<network::DnsZone>("demo_front");
    auto back = std::make_shared<network::DnsZone>("demo_back");
    front->update({{"demo-web-1", {"web", "0123456789ab"}, {"172.30.1.2/24"}}, {"demo-web-2", {"web"}, {"172.30.1.3/24"}}});
    back->update({{"demo-db-1", {"db", "Postgres"}, {"172.30.2.2/24", "fd00::2/64"}}});
    LAB_ASSIGN(auto one, make_netns());
    LAB_ASSIGN(auto two, make_netns());
    lab::Server own(one.borrow(), "0.0.0.0", 53, true), own_tcp(one.borrow(), "0.0.0.0", 53);
    LAB_TRY(server->serve("one", one.borrow(), {.zones = {front}}));
    LAB_TRY(server->serve("two", two.borrow(), {.zones = {front, back}}));
    std::string out = "web " + resolve(one.borrow(), "web") + "\ntcp " + resolve(one.borrow(), "web", Type::a, true) +
                      "\nid " + resolve(one.borrow(), "0123456789ab") + "\ncase " + resolve(two.borrow(), "POSTGRES") +
                      "\nqualified " + resolve(two.borrow(), "db.demo_back") + "\naaaa " +
                      resolve(two.borrow(), "db", Type::aaaa) + "\nno aaaa " + resolve(one.borrow(), "web", Type::aaaa) +
                      "\nptr " + resolve(one.borrow(), "2.1.30.172.in-addr.arpa", Type::ptr) + "\nforeign " +
                      resolve(one.borrow(), "db") + "\n";
    std::vector<network::DnsHost> many;
    for (int i = 2; i < 60; ++i) many.push_back({"demo-web-" + std::to_string(i), {"web"}, {"172.30.1." + std::to_string(i)}});
    front->update(many);
    const auto all = resolve(one.borrow(), "web", Type::a, true);
    out += "many " + resolve(one.borrow(), "web") + ", by tcp " + std::to_string(std::count(all.begin(), all.end(), ' ') + 1) + "\n";
    server->update("one", {.zones = {back}});
    out += "moved " + resolve(one.borrow(), "db") + "\n";
    LAB_TRY(server->serve("one", one.borrow(), {.zones = {back}}));
    return out + "restarted " + resolve(one.borrow(), "db") + (own.ok && own_tcp.ok ? "" : " port 53 taken");
  });
  REQUIRE_SEEN(seen, R"(web 172.30.1.2 172.30.1.3
tcp 172.30.1.2 172.30.1.3
id 172.30.1.2
case 172.30.2.2
qualified 172.30.2.2
aaaa type 28
no aaaa no data
ptr type 12
foreign code 2
many truncated, by tcp 58
moved 172.30.2.2
restarted 172.30.2.2)");
}

TEST_CASE("foreign names go to the host's servers, or the container's own from inside its network", "[dns]") {
  const auto seen = support::in_namespaces(namespaces, []() -> std::string {
    LAB_ASSIGN(auto lab, Lab::make());
    Loop loop;
    LAB_ASSIGN(const auto host, base::sys::open("/proc/self/ns/net", O_RDONLY));
    LAB_ASSIGN(auto net, Network::create(*lab->host, lab::config(1), lab->pin("net1")));
    LAB_ASSIGN(auto one, make_netns());
    LAB_ASSIGN(auto two, make_netns());
    LAB_TRY(net.attach(one.borrow(), lab::endpoint(1, 2)));
    LAB_TRY(net.attach(two.borrow(), lab::endpoint(1, 3)));
    const auto conf = lab->dir.write("resolv.conf", "nameserver 127.0.0.53\n").string();
    Upstream loopback(host.borrow(), "127.0.0.53", 0x01010101), outside(lab->client.borrow(), "192.0.2.1", 0x02020202),
        neighbour(two.borrow(), "172.30.1.3", 0x03030303);
    LAB_ASSIGN(auto server, network::DnsServer::create(loop.io, {.resolv_conf = conf}));
    LAB_TRY(server->serve("one", one.borrow(), {}));
    LAB_TRY(server->serve("two", two.borrow(), {.upstreams = {"172.30.1.3"}}));
    LAB_ASSIGN(auto three, make_netns());
    LAB_TRY(server->serve("three", three.borrow(), {.forward = false}));
    std::string out = "host's loopback " + resolve(one.borrow(), "example.org") + "\nown " +
                      resolve(two.borrow(), "example.org") + "\ninternal " + resolve(three.borrow(), "example.org") + "\n";
    // The first server does not exist, the second answers.
    lab->dir.write("resolv.conf", "nameserver 127.0.0.99\nnameserver 192.0.2.1\n");
    const auto changed = support::eventually([&] { return resolve(one.borrow(), "example.org") == "2.2.2.2"; });
    return out + (changed ? "followed" : "not followed");
  });
  REQUIRE_SEEN(seen, R"(host's loopback 1.1.1.1
own 3.3.3.3
internal code 2
followed)");
}
