#include <catch2/catch.hpp>

#include "engine/build/step_network.h"

using engine::build::step_resolv;

TEST_CASE("resolvers a namespace of its own cannot reach are replaced", "[build]") {
  CHECK(step_resolv("# x\nnameserver 10.0.0.1\nsearch a.b\noptions ndots:1\n", "") == "nameserver 10.0.0.1\nsearch a.b\noptions ndots:1\n");
  CHECK(step_resolv("nameserver 127.0.0.1\nnameserver 10.0.0.1\n", "") == "nameserver 10.0.0.1\n");
  CHECK(step_resolv("nameserver 127.0.0.53\noptions edns0\nsearch .\n", "nameserver 192.168.1.1\nsearch lan\n") ==
        "nameserver 192.168.1.1\nsearch lan\n");
  CHECK(step_resolv("nameserver ::1\n", "") == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
  CHECK(step_resolv("", "") == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
}
