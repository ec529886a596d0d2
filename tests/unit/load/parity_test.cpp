// What Docker Compose does beyond what one would guess: each case was compared with its output.
#include <catch2/catch.hpp>

#include "support.h"

using namespace load_test;

namespace {

/// The YAML of two files merged, or the errors.
std::string merged(const std::string& first, const std::string& second) {
  const auto result = load_files({.files = {{"a.yaml", first}, {"b.yaml", second}}, .compose_files = {"a.yaml", "b.yaml"}});
  return result.project ? to_yaml(*result.project) : errors(result);
}

std::string json_of(const std::string& text) {
  const auto result = load_text(text);
  return result.project ? to_json(*result.project) : errors(result);
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a host has several addresses, written in one with commas or as a list", "[load][parity]") {
  CHECK(config_of("extra_hosts: [\"z=::1,10.0.0.2\", \"a:[::2]\", \"z=1.1.1.1\"]") ==
        "    extra_hosts:\n      - a=::2\n      - z=1.1.1.1\n      - z=10.0.0.2\n      - z=::1\n");
  CHECK(config_of("extra_hosts: {h: [10.0.0.2, 10.0.0.1]}") == "    extra_hosts:\n      - h=10.0.0.1\n      - h=10.0.0.2\n");
  CHECK(config_of("extra_hosts: [\"a:b=1\"]") == "6:19 services.a.extra_hosts[0]: 'a:b' is not a host name\n");
  CHECK(holds(merged(service("extra_hosts: {h: 1.1.1.1}"), service("extra_hosts: {h: [1.1.1.1, 2.2.2.2]}")),
              "    extra_hosts:\n      - h=1.1.1.1\n      - h=2.2.2.2\n"));
}

TEST_CASE("a dependency that is not required may be disabled", "[load][parity]") {
  const std::string text = "services: {a: {image: x, depends_on: {b: {condition: service_started, required: REQ}}}, b: {image: y, profiles: [p]}}";
  const auto with = [&](const std::string& required) { return errors_of(std::string(text).replace(text.find("REQ"), 3, required)); };
  CHECK(with("false").empty());
  CHECK(holds(with("true"), "service 'b' is not enabled"));
}

TEST_CASE("JSON has no empty lists in attributes of one's own, and no malformed characters", "[load][parity]") {
  CHECK(holds(json_of("services: {}\nx-a: {b: [], c: [[]]}"), "\"x-a\": {\n    \"b\": null,\n    \"c\": [\n      null\n    ]\n  }"));
  CHECK(holds(json_of("services: {}\nx-a: !!binary /w=="), "\"x-a\": \"\\ufffd\""));
}
