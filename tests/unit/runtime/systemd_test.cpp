// The D-Bus wire format and systemd's words for limits.
#include <catch2/catch.hpp>

#include "runtime/linux/dbus.h"
#include "runtime/linux/systemd.h"

using namespace runtime;

TEST_CASE("a D-Bus message has the bytes of the specification") {
  dbus::Writer body;
  body.text("a");
  const dbus::Message call{.serial = 7, .path = "/o", .interface = "i.j", .member = "M", .destination = "d", .signature = "s", .body = body.bytes()};
  const std::string bytes = dbus::encode(call);
  // Header: little endian, call, no flags, version 1, body of 6 bytes, serial 7; then fields aligned to 8.
  CHECK(bytes.substr(0, 12) == std::string("l\1\0\1\6\0\0\0\7\0\0\0", 12));
  CHECK(bytes.substr(16, 16) == std::string("\1\1o\0\2\0\0\0/o\0\0\0\0\0\0", 16));
  CHECK(bytes.ends_with(std::string("\1\0\0\0a\0", 6)));
  const auto size = dbus::message_size(std::string_view(bytes).substr(0, 16));
  REQUIRE(size);
  CHECK(*size == bytes.size());
  const auto back = dbus::decode(bytes);
  REQUIRE(back);
  CHECK(back->path == "/o");
  CHECK(back->interface == "i.j");
  CHECK(back->member == "M");
  CHECK(back->destination == "d");
  CHECK(back->body == call.body);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) CHECK_FALSE(dbus::decode(bytes.substr(0, cut)));
}

TEST_CASE("cgroupsPath names a scope in a slice") {
  const auto unit = [](const std::string& path) {
    const auto made = systemd_unit(path, "id", false);
    return made ? made->slice + " " + made->name : "error: " + made.error().text();
  };
  CHECK(unit("") == "system.slice compose-id.scope");
  CHECK(unit("machine.slice:libpod:0123") == "machine.slice libpod-0123.scope");
  CHECK(unit(":docker:0123") == "system.slice docker-0123.scope");
  CHECK(unit("a.slice::x.scope") == "a.slice x.scope");
  CHECK(unit("/docker/0123").starts_with("error: linux.cgroupsPath: '/docker/0123' is not SLICE:PREFIX:NAME"));
  CHECK(unit("a.slice:x:y.slice").find("names no scope") != std::string::npos);
  CHECK(systemd_unit("", "id", true)->slice == "user.slice");
}

TEST_CASE("limits in systemd's words") {
  spec::Resources resources;
  resources.memory = spec::Memory{.limit = 1 << 20, .swap = 3 << 20};
  resources.cpu = spec::Cpu{.shares = 1024, .quota = 33333};
  resources.pids_limit = -1;
  const auto text = [&](bool unified) {
    std::string out;
    for (const auto& property : unit_properties(resources, unified)) out += property.name + "=" + std::to_string(property.number) + " ";
    return out;
  };
  CHECK(text(true) == "MemoryMax=1048576 MemorySwapMax=2097152 CPUWeight=39 CPUQuotaPerSecUSec=340000 TasksMax=18446744073709551615 ");
  CHECK(text(false) == "MemoryLimit=1048576 CPUShares=1024 CPUQuotaPerSecUSec=340000 TasksMax=18446744073709551615 ");
}

TEST_CASE("annotated unit properties are simple values") {
  const auto one = [](const std::string& value) { return annotated_properties({{"org.systemd.property.X", value}, {"other", "y"}}); };
  CHECK(one("'abc'")->front().text == "abc");
  CHECK(one("true")->front().type == 'b');
  CHECK(one("uint64 5")->front().type == 't');
  CHECK(one("-5")->front().number == static_cast<std::uint64_t>(-5));
  for (const char* bad : {"", "[1]", "uint64 -1", "uint32 x", "abc"}) CHECK_FALSE(one(bad));
  CHECK(systemd_cgroup("4:pids:/a\n1:name=systemd:/b\n0::/\n") == "/b");
  CHECK(systemd_cgroup("0::/c/d.scope\n") == "/c/d.scope");
}
