#include "engine/containers/limits.h"

#include <catch2/catch.hpp>

using namespace engine;
using engine::containers::devices;
using engine::containers::resources;

TEST_CASE("resources become what Docker gives runc", "[containers]") {
  Resources asked;
  asked.memory_bytes = 64 << 20;
  asked.nano_cpus = 500'000'000;
  asked.pids_limit = 50;
  auto out = resources(asked);
  REQUIRE(out);
  CHECK(out->memory->limit == 64 << 20);
  CHECK(out->memory->swap == 128 << 20);
  CHECK(out->cpu->quota == 50'000);
  CHECK(out->cpu->period == 100'000u);
  CHECK(out->pids_limit == 50);
  CHECK_FALSE(out->block_io);

  asked = {};
  asked.memory_bytes = 100;
  asked.memory_swap_bytes = -1;
  asked.cpu_shares = 5;
  asked.cpuset_cpus = std::string("0");
  out = resources(asked);
  CHECK_FALSE(out->memory->swap);
  CHECK(out->cpu->shares == 5u);
  CHECK(out->cpu->cpus == "0");

  out = resources({});
  CHECK_FALSE(out->memory);
  CHECK_FALSE(out->cpu);
  CHECK_FALSE(out->pids_limit);
}

namespace {
std::vector<DeviceMapping> mapping(std::string source, std::string target, std::string permissions) {
  DeviceMapping one;
  one.source = std::move(source);
  one.target = std::move(target);
  one.permissions = std::move(permissions);
  return std::vector<DeviceMapping>(1, one);
}
}  // namespace

TEST_CASE("devices are looked up on the machine", "[containers]") {
  const auto found = devices(mapping("/dev/null", "/dev/xnull", "rw"), std::vector<std::string>{"c 1:* m"});
  REQUIRE(found);
  REQUIRE(found->nodes.size() == 1);
  CHECK(found->nodes[0].path == "/dev/xnull");
  CHECK(found->nodes[0].type == "c");
  CHECK(found->nodes[0].major == 1);
  CHECK(found->nodes[0].minor == 3);
  CHECK(found->nodes[0].file_mode == 0666u);
  REQUIRE(found->rules.size() == 2);
  CHECK(found->rules[0].access == "rw");
  CHECK(found->rules[1].major == 1);
  CHECK_FALSE(found->rules[1].minor);
  CHECK(devices(mapping("/nowhere", "", "rwm"), {}).error().kind == base::ErrorKind::not_found);
  CHECK_FALSE(devices(mapping("/etc/hostname", "", "rwm"), {}));
  CHECK_FALSE(devices(mapping("/dev/null", "", "x"), {}));
  CHECK(devices(mapping("vendor.com/gpu=all", "", "rwm"), {}).error().kind == base::ErrorKind::unsupported);
}
