#include <catch2/catch.hpp>

#include "support.h"

using namespace load_test;

TEST_CASE("all errors of a file are reported with their places", "[load]") {
  CHECK(errors_of("services:\n  a:\n    imag: x\n    ports: \"80\"\n    init: 5\n") ==
        "3:5 services.a: unknown key 'imag'\n"
        "4:12 services.a.ports: expected a list, found a string\n"
        "5:11 services.a.init: expected a string or a boolean, found an integer\n");
}

TEST_CASE("a diagnostic is printed with its line, a caret and a hint", "[load]") {
  const auto result = load_text("services:\n  a:\n    imag: x\n");
  CHECK(print(result.diagnostics, result.sources) ==
        "error: /p/compose.yaml:3:5: services.a: unknown key 'imag'\n"
        "    3 |     imag: x\n"
        "      |     ^\n"
        "hint: did you mean 'image'?\n");
}

TEST_CASE("a port out of range is named with its place", "[load]") {
  CHECK(errors_of(service("ports: [\"70000:80\"]")) == "4:13 services.a.ports[0]: host port 70000 is out of range 0-65535\n");
}

TEST_CASE("undefined networks, volumes, secrets, configs and services are reported", "[load]") {
  CHECK(errors_of(service("networks: [frnt]\n    volumes: [\"data:/x\"]\n    secrets: [s]\n    configs: [c]\n    depends_on: [zz]") +
                  "networks: {front: }\n") ==
        "4:16 services.a.networks.frnt: network 'frnt' is not defined\n"
        "8:18 services.a.depends_on.zz: service 'zz' is not defined\n"
        "5:15 services.a.volumes[0]: volume 'data' is not defined\n"
        "7:15 services.a.configs[0]: config 'c' is not defined\n"
        "6:15 services.a.secrets[0]: secret 's' is not defined\n");
}

TEST_CASE("a dependency cycle is printed as a chain", "[load]") {
  CHECK(errors_of("services: {a: {image: x, depends_on: [b]}, b: {image: y, depends_on: [c]}, c: {image: z, depends_on: [a]}}") ==
        "1:103 services.c.depends_on.a: dependency cycle: a -> b -> c -> a\n");
}

TEST_CASE("attributes that exclude each other are reported", "[load]") {
  CHECK(errors_of(service("network_mode: host\n    networks: [n]") + "networks: {n: }\n") ==
        "4:19 services.a.network_mode: network_mode and networks exclude each other\n");
  CHECK(errors_of(service("container_name: abc\n    scale: 2")) ==
        "4:21 services.a.container_name: a service of 2 containers cannot have a container_name: it must be unique\n");
  CHECK(errors_of("services: {a: {}}") == "1:15 services.a: has neither an image nor a build\n");
}

TEST_CASE("YAML errors carry a place", "[load]") {
  CHECK(errors_of("services:\n  a: {image: x\n").starts_with("3:1 YAML syntax: "));
  CHECK(errors_of("services:\n  a:\n    image: x\n    image: y\n") == "4:5 key 'image' is already defined at line 3\n");
  CHECK(errors_of("- a\n") == "1:1 the top level must be a mapping\n");
  CHECK(errors_of("") == "empty compose file\n");
}

TEST_CASE("bad interpolation and casts carry a place", "[load]") {
  CHECK(errors_of(service("hostname: ${")) == "4:15 services.a.hostname: invalid interpolation format\n");
  CHECK(errors_of(service("hostname: ${X?set it}")) ==
        "4:15 services.a.hostname: required variable X is missing a value: set it\n");
  CHECK(errors_of(service("scale: ${X:-many}")) == "4:12 services.a.scale: 'many' is not an integer\n");
}

TEST_CASE("unset variables warn in Docker Compose's words", "[load]") {
  const auto result = load_text(service("hostname: $NOPE"));
  CHECK(print(result.diagnostics, result.sources, {.colour = false, .time = "T"}) ==
        "time=\"T\" level=warning msg=\"The \\\"NOPE\\\" variable is not set. Defaulting to a blank string.\"\n");
}

TEST_CASE("missing files are reported in Docker Compose's words", "[load]") {
  CHECK(errors(load_files({.files = {}})) == "open /p/compose.yaml: no such file or directory\n");
}

TEST_CASE("an empty name extends nothing, a date includes nothing", "[load]") {
  CHECK(errors_of("services: {a: {image: x, extends: \"\"}}") == "1:35 services.a.extends: service '' is not in /p/compose.yaml\n");
  CHECK(errors_of("services: {a: {image: x, extends: {service: \"\"}}}") == "1:45 services.a.extends: service '' is not in /p/compose.yaml\n");
  CHECK(errors_of("services: {a: {image: x}}\ninclude: [2024-01-01]") == "");
  CHECK(errors_of("services: {a: {image: x}}\ninclude: [\"2024-01-01\"]").find("no such file") != std::string::npos);
}

TEST_CASE("include and extends cycles end with the chain", "[load]") {
  CHECK(errors_of("include: [compose.yaml]\n") ==
        "1:11 include[0]: include cycle: /p/compose.yaml includes /p/compose.yaml\n");
  CHECK(errors_of("services: {a: {image: x, extends: b}, b: {extends: a}}") ==
        "1:52 a service extends itself: a in /p/compose.yaml extends b in /p/compose.yaml extends a in /p/compose.yaml\n");
}

TEST_CASE("hostile input is refused in bounded time", "[load]") {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 10; ++k) bomb += (k == 0 ? "" : ", ") + last;
    bomb += "]\n";
  }
  CHECK(errors_of(bomb).find("too many values") != std::string::npos);
  CHECK(errors_of("a: " + std::string(100'000, '[')).find("1:") == 0);
  CHECK(errors_of(service("command: [\"" + std::string(10U << 20U, 'x') + "\"]")).empty());
  CHECK(errors_of("x-a: |\n  " + std::string(10U << 20U, 'x') + "\nservices: {a: {image: [y]}}\n").find("3:23 services.a.image") == 0);
  std::string keys = "x-a:\n";
  for (int i = 0; i < 30'000; ++i) keys += "  k" + std::to_string(i) + ": 1\n";
  CHECK(errors_of(keys).find("too many keys") != std::string::npos);
  std::map<std::string, std::string> chain;
  for (int i = 0; i < 100; ++i) chain["f" + std::to_string(i) + ".yaml"] = "include: [f" + std::to_string(i + 1) + ".yaml]\n";
  chain["compose.yaml"] = "include: [f0.yaml]\n";
  CHECK(errors(load_files({.files = chain})).find("includes are nested too deeply") != std::string::npos);
  CHECK(errors_of(service("image: \"${A:-${A:-" + std::string(40, '$') + std::string(100, '{') + "}}\"")) != "");
  CHECK(errors_of("a: &a [*a]\n") == "1:8 this alias is inside the value it stands for\n");
  CHECK(errors_of(service("ports: [\"1-65535\", \"1-65535/udp\"]")) == "4:24 services.a.ports[1]: too many ports in all\n");
}

TEST_CASE("aliases that repeat a long text are refused before the memory is full", "[load][errors]") {
  std::string text = "x-a: &a " + std::string(1'000'000, 'a') + "\nservices: {a: {image: x, command: [";
  for (int i = 0; i < 100; ++i) text += "*a, ";
  CHECK(errors_of(text + "b]}}\n").find("the aliases of the files stand for too much text") != std::string::npos);
}

TEST_CASE("a file that cannot be read is reported where it is named", "[load][errors]") {
  CHECK(errors_of("services:\n  a:\n    extends: {service: b, file: base.yaml}\n") == "3:33 open /p/base.yaml: no such file or directory\n");
  CHECK(errors_of("include:\n  - path: [a/b.yaml]\n") == "2:12 open /p/a/b.yaml: no such file or directory\n");
  CHECK(errors(load_files({.files = {{"compose.yaml", "include: [{path: i.yaml, env_file: e}]"}, {"i.yaml", "services: {}"}}})) ==
        "1:36 open /p/e: no such file or directory\n");
}
