#include <catch2/catch.hpp>

#include "network/dns/policy.h"

using network::DnsHost;
using network::DnsZone;
using network::dns::Answer;
using network::dns::build_response;
using network::dns::Code;
using network::dns::parse_query;
using network::dns::Query;
using network::dns::Type;

namespace {

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out.push_back(static_cast<char>(value));
  return out;
}

/// A query for "Web.x", type A, with or without EDNS.
std::string sample(bool edns = false) {
  auto out = bytes({0xab, 0xcd, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, edns ? 1 : 0, 3, 'W', 'e', 'b', 1, 'x', 0, 0, 1, 0, 1});
  if (edns) out += bytes({0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0});
  return out;
}

Query named(const std::string& name, Type type) {
  Query out;
  out.name = name;
  out.type = static_cast<std::uint16_t>(type);
  out.class_ = 1;
  return out;
}

std::string asked(const std::string& name, Type type, const network::dns::Tables& tables) {
  std::minstd_rand random(7);
  const auto answer = network::dns::decide(named(name, type), tables, random);
  if (!answer) return "forward";
  std::vector<std::string> found = answer->names;
  for (const auto& address : answer->addresses) found.push_back(address.text());
  std::sort(found.begin(), found.end());
  std::string out = answer->code == Code::no_error ? "" : "code";
  for (const auto& each : found) out += each + " ";
  return out.empty() ? "no data" : out;
}

}  // namespace

TEST_CASE("a query is read with its name lowered and its spelling kept", "[dns]") {
  const auto message = sample(true);
  const auto query = parse_query(message);
  REQUIRE(query);
  CHECK(query->id == 0xabcd);
  CHECK(query->name == "web.x");
  CHECK(query->type == 1);
  CHECK(query->recursion_desired);
  CHECK(query->edns);
  CHECK(query->udp_bytes == 1232);
  CHECK(query->question == bytes({3, 'W', 'e', 'b', 1, 'x', 0, 0, 1, 0, 1}));
}

TEST_CASE("broken messages are no queries, whatever is cut or changed", "[dns]") {
  for (const bool edns : {false, true}) {
    const auto message = sample(edns);
    for (std::size_t size = 0; size < message.size(); ++size) (void)parse_query(message.substr(0, size));
    for (std::size_t at = 0; at < message.size(); ++at)
      for (int value = 0; value < 256; ++value) {
        auto changed = message;
        changed[at] = static_cast<char>(value);
        if (const auto query = parse_query(changed)) (void)build_response(*query, {}, 512);
        (void)network::dns::format_error(changed);
      }
  }
  CHECK_FALSE(parse_query(sample().substr(0, 20)));
  auto response = sample();
  response[2] = static_cast<char>(0x81);
  CHECK_FALSE(parse_query(response));
  CHECK(network::dns::format_error(response).empty());
  auto pointer = sample();
  pointer[12] = static_cast<char>(0xc0);
  CHECK_FALSE(parse_query(pointer));
  CHECK(network::dns::format_error(pointer) == bytes({0xab, 0xcd, 0x84, 0x81, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST_CASE("an answer repeats the question and holds the records", "[dns]") {
  const auto message = sample();
  const auto query = parse_query(message);
  REQUIRE(query);
  const auto reply = build_response(*query, {.addresses = {network::Address::v4(0xac120002)}}, 512);
  CHECK(reply == bytes({0xab, 0xcd, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 3, 'W', 'e', 'b', 1, 'x', 0, 0, 1, 0, 1,
                        0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 172, 18, 0, 2}));
  CHECK(network::dns::answers_question(reply, query->question));
  CHECK_FALSE(network::dns::answers_question(reply, bytes({3, 'w', 'e', 'c', 1, 'x', 0, 0, 1, 0, 1})));
}

TEST_CASE("what does not fit is truncated to nothing", "[dns]") {
  const auto message = sample(true);
  const auto query = parse_query(message);
  REQUIRE(query);
  Answer answer;
  for (unsigned i = 0; i < 100; ++i) answer.addresses.push_back(network::Address::v4(i));
  const auto reply = build_response(*query, answer, query->udp_bytes);
  CHECK(reply.size() < 64);
  CHECK((reply[2] & 2) != 0);
  CHECK(build_response(*query, answer, 65535).size() > 1600);
}

TEST_CASE("reverse names give addresses", "[dns]") {
  CHECK(network::dns::reverse_address("2.0.18.172.in-addr.arpa")->text() == "172.18.0.2");
  CHECK(network::dns::reverse_address(
            "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa")->text() == "fd00::2");
  for (const char* bad : {"in-addr.arpa", ".in-addr.arpa", "1.2.3.in-addr.arpa", "1.2.3.4.5.in-addr.arpa", "300.2.3.4.in-addr.arpa",
                          "a.2.3.4.in-addr.arpa", "1..3.4.in-addr.arpa", "2.0.ip6.arpa", "web"})
    CHECK_FALSE(network::dns::reverse_address(bad));
}

TEST_CASE("names belong to networks; known names have no data rather than no existence", "[dns]") {
  DnsZone front("demo_front"), back("demo_back");
  front.update({{"demo-web-1", {"web", "WWW"}, {"172.18.0.2/16"}}, {"demo-web-2", {"web"}, {"172.18.0.3/16"}}});
  back.update({{"demo-db-1", {"db"}, {"172.19.0.2/16", "fd00::2/64", "nonsense"}}});
  const network::dns::Tables both{front.table(), back.table()}, one{front.table()};
  CHECK(asked("web", Type::a, both) == "172.18.0.2 172.18.0.3 ");
  CHECK(asked("www", Type::a, both) == "172.18.0.2 ");
  CHECK(asked("demo-web-2", Type::a, one) == "172.18.0.3 ");
  CHECK(asked("web", Type::aaaa, both) == "no data");
  CHECK(asked("web", static_cast<Type>(15), both) == "no data");
  CHECK(asked("db", Type::any, both) == "172.19.0.2 fd00::2 ");
  CHECK(asked("db.demo_back", Type::aaaa, both) == "fd00::2 ");
  CHECK(asked("db.demo_front", Type::a, both) == "forward");
  CHECK(asked("db", Type::a, one) == "forward");
  CHECK(asked("2.0.18.172.in-addr.arpa", Type::ptr, both) == "demo-web-1.demo_front ");
  CHECK(asked("9.0.18.172.in-addr.arpa", Type::ptr, both) == "forward");
}

TEST_CASE("replicas take turns in the first place", "[dns]") {
  DnsZone zone("n");
  zone.update({{"a", {"web"}, {"10.0.0.1"}}, {"b", {"web"}, {"10.0.0.2"}}, {"c", {"web"}, {"10.0.0.3"}}});
  std::minstd_rand random(1);
  std::map<std::string, int> first;
  for (int i = 0; i < 3000; ++i)
    ++first[network::dns::decide(named("web", Type::a), {zone.table()}, random)->addresses.front().text()];
  REQUIRE(first.size() == 3);
  for (const auto& [address, count] : first) CHECK(count > 800);
}

TEST_CASE("resolv.conf of a container follows the host's but for the server", "[dns]") {
  const std::string host = "# comment\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\ndomain old.example\nsearch a.example b.example\noptions edns0 trust-ad\n";
  CHECK(network::container_resolv_conf({.host_resolv_conf = host}) ==
        "nameserver 127.0.0.11\nsearch a.example b.example\noptions edns0 trust-ad ndots:0\n");
  CHECK(network::container_resolv_conf({.search = {"."}, .options = {"ndots:2"}, .host_resolv_conf = host}) ==
        "nameserver 127.0.0.11\noptions ndots:2\n");
  CHECK(network::dns::nameservers(host) == std::vector<std::string>{"10.0.0.1", "fe80::1%eth0"});
}
