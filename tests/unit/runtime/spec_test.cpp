#include <catch2/catch.hpp>

#include "runtime/spec/docker_defaults.h"
#include "runtime/spec/json.h"
#include "runtime/spec/json_value.h"

using namespace runtime::spec;

namespace {

std::string mistake(std::string_view text) {
  const auto parsed = parse_config(text);
  return parsed ? "no mistake" : parsed.error().message;
}

}  // namespace

TEST_CASE("a configuration survives being written and read") {
  Config config = docker::config();
  config.hostname = "quote\" back\\slash \n\x01 ü";
  config.root = {.path = "rootfs", .readonly = true};
  config.annotations["a.b/c"] = "d";
  config.hooks.poststop = {{.path = "/bin/x", .args = {"x", "y"}, .env = std::vector<std::string>{"A=B"}, .timeout_s = 3},
                           {.path = "/bin/y", .args = {}, .env = std::vector<std::string>{}, .timeout_s = {}}};
  config.linux_.memory_policy = MemoryPolicy{.mode = "MPOL_BIND", .nodes = "0-1", .flags = {"MPOL_F_STATIC_NODES"}};
  config.process->rlimits = {{.type = "RLIMIT_NOFILE", .soft = 1, .hard = ~0ULL}};
  config.process->args = {"a"};
  config.mounts[0].uid_mappings = {{1, 2, 3}};
  auto& resources = *config.linux_.resources;
  resources.memory = Memory{.limit = -1, .swap = 5, .swappiness = 60, .disable_oom_killer = false};
  resources.block_io = BlockIo{.weight = 10, .read_bps = {{.major = 8, .minor = 0, .rate = 99}}};
  resources.unified["memory.high"] = "1000";
  config.linux_.time_offsets["monotonic"] = {.secs = -5, .nanosecs = 6};
  const std::string text = to_json(config);
  const auto again = parse_config(text);
  REQUIRE(again);
  CHECK(to_json(*again) == text);
  CHECK(again->hostname == config.hostname);
  CHECK(again->process->rlimits[0].hard == ~0ULL);
  CHECK(again->linux_.time_offsets.at("monotonic").secs == -5);
}

TEST_CASE("mistakes are named with their place") {
  CHECK(mistake("{") == "not valid JSON");
  CHECK(mistake("[]") == ": expected an object");
  CHECK(mistake("{}") == "ociVersion: missing");
  CHECK(mistake(R"({"ociVersion":"2.0"})") == "ociVersion: version '2.0' is not one of 1.x");
  CHECK(mistake(R"({"ociVersion":"1.0","process":{"cwd":"x"}})") == "process.cwd: must be an absolute path");
  CHECK(mistake(R"({"ociVersion":"1.0","process":{"args":["a",7]}})") == "process.args[1]: expected a string");
  CHECK(mistake(R"({"ociVersion":"1.0","process":{"env":["NOVALUE"]}})") == "process.env: 'NOVALUE' is not of the form NAME=VALUE");
  CHECK(mistake(R"({"ociVersion":"1.0","linux":{"resources":{"memory":{"limit":"1"}}}})") ==
        "linux.resources.memory.limit: expected an integer");
  CHECK(mistake(R"({"ociVersion":"1.0","linux":{"uidMappings":[{"containerID":-1,"hostID":0,"size":1}]}})") ==
        "linux.uidMappings[0].containerID: integer out of range");
  CHECK(mistake(R"({"ociVersion":"1.0","linux":{"namespaces":[{"type":"pid"},{"type":"pid"}]}})") ==
        "linux.namespaces[1].type: namespace 'pid' is listed twice");
  CHECK(mistake(R"({"ociVersion":"1.0","linux":{"devices":[{"type":"x","path":"/dev/a"}]}})") ==
        "linux.devices[0].type: 'x' is not one of c, b, u, p");
  CHECK(mistake("{\"ociVersion\":\"1.0\",\"hostname\":\"a\\u0000b\"}") == "hostname: holds a zero byte");
  CHECK(mistake(R"({"ociVersion":"1.0","hooks":{"prestart":[{"path":"x"}]}})") == "hooks.prestart[0].path: must be an absolute path");
}

TEST_CASE("a device rule that denies may say all, one that allows names what") {
  const auto rule = [](const char* allow) { return R"({"ociVersion":"1.0","linux":{"resources":{"devices":[{"allow":)" + std::string(allow) + R"(,"access":"rwa"}]}}})"; };
  const auto denied = parse_config(rule("false"));
  REQUIRE(denied);
  CHECK(denied->linux_.resources->devices.front().access == "rwm");
  CHECK(mistake(rule("true")) == "linux.resources.devices[0].access: 'rwa' has letters other than r, w, m");
}

TEST_CASE("null is absent and unknown keys are somebody else's extension") {
  CHECK(mistake(R"({"ociVersion":"1.2.1","process":null,"linux":{"resources":null,"seccomp":null,"future":1},"x-y":2})") == "no mistake");
}

TEST_CASE("deep nesting is refused, not recursed into") {
  CHECK(mistake(R"({"ociVersion":"1.0","x":)" + std::string(100000, '[') + std::string(100000, ']') + "}") == "not valid JSON");
}

TEST_CASE("capabilities are added and dropped as Docker does") {
  using docker::tweak_capabilities;
  CHECK(*tweak_capabilities({}) == docker::default_capabilities());
  CHECK(tweak_capabilities({.add = {}, .drop = {"all"}})->empty());
  CHECK(*tweak_capabilities({.add = {"net_admin"}, .drop = {"ALL"}}) == std::vector<std::string>{"CAP_NET_ADMIN"});
  const auto without = *tweak_capabilities({.add = {}, .drop = {"CHOWN", "cap_kill"}});
  CHECK(without.size() == 12);
  CHECK(std::ranges::find(without, "CAP_CHOWN") == without.end());
  const auto unknown = tweak_capabilities({.add = {"FLY"}, .drop = {}});
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().message == "unknown capability 'FLY'");
}

TEST_CASE("a profile in moby's format is resolved for the container's capabilities and this machine") {
  const std::string text = R"({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}],
    "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {}, "excludes": {}},
                 {"name": "mount", "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
                 {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390"]}},
                 {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
                 {"names": ["later"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
                 {"names": ["s390_pci_mmio_read"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390"]}}]})";
  const auto names = [&](const std::vector<std::string>& capabilities) {
    std::string out;
    const auto profile = docker::seccomp_from_profile(text, capabilities);
    REQUIRE(profile);
    CHECK(profile->architectures.size() == 2);
    for (const auto& rule : profile->syscalls) out += rule.names[0] + " ";
    return out;
  };
  CHECK(names({}) == "read clone ptrace ");
  CHECK(names({"CAP_SYS_ADMIN"}) == "read mount ptrace ");
  CHECK(docker::seccomp_from_profile("{}", {}).error().message == "defaultAction: missing");
  CHECK(docker::seccomp_from_profile(R"({"defaultAction":"A","syscalls":[{"action":"B"}]})", {}).error().message == "syscalls[0].names: missing");
}

namespace {

/// A value as text again, with its kinds: "?" when it is no JSON at all.
std::string shown(const Json& value) {
  const auto list = [&](char open, char close) {
    std::string out(1, open);
    for (const Json& child : value.children())
      out += (out.size() > 1 ? "," : "") + (close == '}' ? std::string(child.key()) + ":" : "") + shown(child);
    return out + close;
  };
  switch (value.kind()) {
    case Json::Kind::null: return "null";
    case Json::Kind::boolean: return value.boolean() ? "true" : "false";
    case Json::Kind::unsigned_integer: return std::to_string(value.number());
    case Json::Kind::negative_integer: return std::to_string(static_cast<std::int64_t>(value.number()));
    case Json::Kind::real: return "real";
    case Json::Kind::string: return "'" + std::string(value.text()) + "'";
    case Json::Kind::array: return list('[', ']');
    case Json::Kind::object: return list('{', '}');
  }
  return {};
}

std::string shown(std::string_view text) {
  const auto document = JsonDocument::parse(text);
  return document ? shown(document->root()) : "?";
}

}  // namespace

TEST_CASE("JSON is read as RFC 8259 has it") {
  CHECK(shown(" { \"b\" : [ 1 , -2,true,\tfalse,null , \"\" ] ,\n\"a\":{} }\r\n") == "{a:{},b:[1,-2,true,false,null,'']}");
  CHECK(shown("18446744073709551615") == "18446744073709551615");
  CHECK(shown("-9223372036854775808") == "-9223372036854775808");
  for (const char* number : {"18446744073709551616", "-9223372036854775809", "1.5", "1e3", "0E+1", "-0.0e-0"}) CHECK(shown(number) == "real");
  CHECK(shown(R"("a\"\\\/\b\f\n\r\t\u00e9\u20AC\ud83d\ude00 é")") == "'a\"\\/\b\f\n\r\té€😀 é'");
  CHECK(shown(R"({"k":1,"l":2,"k":3})") == "{k:3,l:2}");
}

TEST_CASE("what is no JSON is refused as a whole") {
  for (const char* text : {"", " ", "{", "[1,", "[1,]", "[1 2]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "tru", "nul", "01", "-", "1.", ".5", "1e",
                           "+1", "\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u+123\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"a\nb\"", "1 1", "[] x",
                           "\"\x80\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"", "\"\xc3", "\"\\", "'a'", "NaN"}) {
    INFO(text);
    CHECK(shown(text) == "?");
  }
  CHECK(shown(std::string_view("1\0", 2)) == "?");
  CHECK(shown(std::string(64, '[') + std::string(64, ']')) != "?");
  CHECK(shown(std::string(65, '[') + std::string(65, ']')) == "?");
}
