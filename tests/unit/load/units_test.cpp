#include <catch2/catch.hpp>
#include <limits>

#include "compose/load/scalar.h"
#include "compose/load/shorts.h"
#include "compose/load/units.h"

using namespace compose::load;
using compose::model::Kind;
using compose::model::Node;

namespace {

std::string scalar(const std::string& text) {
  Node node;
  node.text = text;
  resolve_plain(node);
  switch (node.kind) {
    case Kind::null: return "null";
    case Kind::boolean: return node.boolean ? "true" : "false";
    case Kind::integer: return "int " + std::to_string(node.integer);
    case Kind::real: return "real " + format_real(node.number);
    default: return "string";
  }
}

std::string duration(const std::string& text) {
  const auto value = parse_duration(text);
  return value ? format_duration(*value) : "no";
}

std::string words(const std::string& text) {
  const auto split = split_words(text);
  if (!split) return "no";
  std::string out;
  for (const auto& word : *split) out += "[" + word + "]";
  return out;
}

std::string ports(const std::string& text) {
  const auto parsed = parse_ports(text);
  if (!parsed.error.empty()) return parsed.error;
  std::string out;
  for (const auto& p : parsed.ports)
    out += (out.empty() ? "" : " ") + p.host_ip + "|" + p.published + "|" + std::to_string(p.target) + "/" + p.protocol;
  return out;
}

}  // namespace

TEST_CASE("plain scalars mean what go-yaml makes of them", "[load]") {
  CHECK(scalar("~") == "null");
  CHECK(scalar("True") == "true");
  CHECK(scalar("yes") == "string");
  CHECK(scalar("010") == "int 8");
  CHECK(scalar("0o10") == "int 8");
  CHECK(scalar("0x1F") == "int 31");
  CHECK(scalar("0b11") == "int 3");
  CHECK(scalar("-0x1") == "int -1");
  CHECK(scalar("1_000") == "int 1000");
  CHECK(scalar("1:30") == "string");
  CHECK(scalar("08") == "real 8");
  CHECK(scalar("1e3") == "real 1000");
  CHECK(scalar(".5") == "real 0.5");
  CHECK(scalar("1000000.0") == "real 1e+06");
  CHECK(scalar("-.inf") == "real -Inf");
  CHECK(scalar("1e") == "string");
  CHECK(is_timestamp("2020-01-31"));
  CHECK_FALSE(is_timestamp("2020-13-01"));
  CHECK(needs_quotes("y"));
  CHECK(needs_quotes("12:30:45"));
  CHECK_FALSE(needs_quotes("a:b"));
}

TEST_CASE("sizes are binary multiples", "[load]") {
  CHECK(parse_bytes("1g") == 1073741824);
  CHECK(parse_bytes("1.5 GiB") == 1610612736);
  CHECK(parse_bytes("64kb") == 65536);
  CHECK(parse_bytes("512") == 512);
  CHECK(parse_bytes(".5k") == 512);
  CHECK(parse_bytes("1_000") == 1000);
  CHECK(parse_bytes("0x1p4") == 16);
  // What 64 bits do not hold is the smallest number there is: Docker Compose prints it so.
  CHECK(parse_bytes("8e") == std::nullopt);
  CHECK(parse_bytes("8192p") == std::numeric_limits<std::int64_t>::min());
  CHECK(parse_bytes("9223372036854775808") == std::numeric_limits<std::int64_t>::min());
  for (const auto* text : {"", "x", "-1", "1x", "1gg", "1 bb", "g", "1__0", "_1", "1_k", "0x10"}) {
    INFO(text);
    CHECK_FALSE(parse_bytes(text));
  }
}

TEST_CASE("durations are read with days and weeks and printed as Go does", "[load]") {
  CHECK(duration("90s") == "1m30s");
  CHECK(duration("1d") == "24h0m0s");
  CHECK(duration("1h1m1.5s") == "1h1m1.5s");
  CHECK(duration("1000ms") == "1s");
  CHECK(duration("1500us") == "1.5ms");
  CHECK(duration("0.1s") == "100ms");
  CHECK(duration("-1s") == "-1s");
  CHECK(duration("0") == "0s");
  for (const auto* text : {"", "10", "s", "1x", "1.2.3s", "--1s"}) {
    INFO(text);
    CHECK(duration(text) == "no");
  }
}

TEST_CASE("command lines are split as a shell does, up to its first operator", "[load]") {
  CHECK(words("a  'b c' \"d \\\"e\" f\\ g") == "[a][b c][d \"e][f g]");
  CHECK(words("a \"\" ''") == "[a][][]");
  CHECK(words("a; b") == "[a]");
  CHECK(words("a `c d` $(e f)") == "[a][`c d`][$(e f)]");
  CHECK(words("a # b") == "[a][#][b]");
  CHECK(words("  ") == "");
  for (const auto* text : {"a 'b", "a \"b", "a\\", "a (b)", "a )"}) {
    INFO(text);
    CHECK(words(text) == "no");
  }
}

TEST_CASE("port short forms", "[load]") {
  CHECK(ports("80") == "||80/tcp");
  CHECK(ports("8080:80/UDP") == "|8080|80/udp");
  CHECK(ports("[::1]:8080:80") == "::1|8080|80/tcp");
  CHECK(ports("127.0.0.1::80") == "127.0.0.1||80/tcp");
  CHECK(ports("8000-8010:80") == "|8000-8010|80/tcp");
  CHECK(ports("98-100") == "||100/tcp ||98/tcp ||99/tcp");
  CHECK(ports("70000:80") == "host port 70000 is out of range 0-65535");
  CHECK(ports("80:") == "'80:' names no container port");
  CHECK(ports("x:80") == "'x' is not a host port or a range of them");
  CHECK(ports("80:80/foo") == "'foo' is not a protocol: tcp, udp or sctp");
  CHECK(ports("localhost:80:80") == "'localhost' is not an IP address");
  CHECK(ports("8000-8002:80-81") == "port ranges 8000-8002 and 80-81 differ in length");
}
