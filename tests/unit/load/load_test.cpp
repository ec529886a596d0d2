#include <catch2/catch.hpp>

#include "support.h"

using namespace load_test;

TEST_CASE("short forms come out long", "[load]") {
  CHECK(config_of("ports: [\"127.0.0.1:8080:80/udp\"]") == R"(    ports:
      - mode: ingress
        host_ip: 127.0.0.1
        target: 80
        published: "8080"
        protocol: udp
)");
  CHECK(config_of("volumes: [\"./d:/d:ro\", /anon]") == R"(    volumes:
      - type: bind
        source: /p/d
        target: /d
        read_only: true
        bind:
          create_host_path: true
      - type: volume
        target: /anon
        volume: {}
)");
  CHECK(config_of("command: echo \"a b\" $$X") == "    command:\n      - echo\n      - a b\n      - $$X\n");
  CHECK(config_of("healthcheck: {test: curl x, interval: 90s}") ==
        "    healthcheck:\n      test:\n        - CMD-SHELL\n        - curl x\n      interval: 1m30s\n");
  CHECK(config_of("depends_on: [b]") ==
        "    depends_on:\n      b:\n        condition: service_started\n        required: true\n");
  CHECK(config_of("extra_hosts: [\"z:1.1.1.1\", \"a=::1\"]") == "    extra_hosts:\n      - a=::1\n      - z=1.1.1.1\n");
  CHECK(config_of("mem_limit: 1.5g\n    ulimits: {nofile: 5, nproc: {soft: 1, hard: -1}}") ==
        "    mem_limit: \"1610612736\"\n    ulimits:\n      nofile: 5\n      nproc:\n        soft: 1\n        hard: -1\n");
}

TEST_CASE("links, shared namespaces and volumes_from imply dependencies", "[load]") {
  CHECK(config_of("network_mode: service:b") == R"(    depends_on:
      b:
        condition: service_started
        restart: true
        required: true
    network_mode: service:b
)");
  CHECK(config_of("volumes_from: [b]").starts_with(
      "    depends_on:\n      b:\n        condition: service_started\n        required: true\n"));
}

TEST_CASE("several files merge attribute by attribute", "[load]") {
  const auto result = load_files({.files = {{"compose.yaml", R"(
services:
  a: {image: x, command: old, environment: {A: 1, B: 2}, ports: ["80:80"], volumes: ["/o:/d"], networks: [n], build: .}
networks: {n: , m: })"},
                                            {"b.yaml", R"(
services:
  a: {command: [new], environment: [A=9], ports: ["81:81"], volumes: ["/n:/d"], networks: {m: {aliases: [q]}}, build: {target: t}, image: })"}},
                                  .compose_files = {"compose.yaml", "b.yaml"}});
  REQUIRE(errors(result) == "");
  const auto& a = result.project->services.at("a");
  CHECK(a.image == "x");
  CHECK(a.command == compose::model::Strings{"new"});
  CHECK(a.environment.at("A") == "9");
  CHECK(a.environment.at("B") == "2");
  CHECK(a.ports.size() == 2);
  REQUIRE(a.volumes.size() == 1);
  CHECK(a.volumes[0].source == "/n");
  CHECK(a.networks.size() == 2);
  CHECK(a.build->context == "/p");
  CHECK(a.build->target == "t");
}

TEST_CASE("!reset removes and !override replaces what an earlier file says", "[load]") {
  const auto result = load_files({.files = {{"compose.yaml", service("ports: [\"80:80\"]\n    volumes: [/a, /b]\n    labels: {q: r}")},
                                            {"b.yaml", "services: {a: {ports: !reset [], volumes: !override [/c], labels: !reset null}}"}},
                                  .compose_files = {"compose.yaml", "b.yaml"}});
  REQUIRE(errors(result) == "");
  const auto& a = result.project->services.at("a");
  CHECK(a.ports.empty());
  CHECK(a.labels.empty());
  REQUIRE(a.volumes.size() == 1);
  CHECK(a.volumes[0].target == "/c");
}

TEST_CASE("extends takes a service of this or another file with its paths", "[load]") {
  const auto result = load_files(
      {.files = {{"compose.yaml", "services: {a: {extends: {file: sub/c.yaml, service: base}, hostname: h}, b: {extends: a, image: z}}"},
                 {"sub/c.yaml", "services: {base: {extends: root, volumes: [\"./d:/d\"]}, root: {image: i, hostname: r}}"}}});
  REQUIRE(errors(result) == "");
  const auto& b = result.project->services.at("b");
  CHECK(b.image == "z");
  CHECK(b.hostname == "h");
  CHECK(b.volumes.at(0).source == "/p/sub/d");
}

TEST_CASE("include loads a model with its own folder and environment", "[load]") {
  const auto result = load_files({.files = {{"compose.yaml", "include: [sub/compose.yaml]\nservices: {a: {image: x, depends_on: [s]}}"},
                                            {"sub/compose.yaml", "services: {s: {image: \"i${V}\", volumes: [\"./d:/d\"]}}"},
                                            {"sub/.env", "V=1"}}});
  REQUIRE(errors(result) == "");
  CHECK(result.project->services.at("s").image == "i1");
  CHECK(result.project->services.at("s").volumes.at(0).source == "/p/sub/d");
}

TEST_CASE("env_file is read under environment, with the shell for its variables", "[load]") {
  const auto result = load_files({.files = {{"compose.yaml", service("env_file: [e.env, {path: no.env, required: false}]\n    environment: {B: own, N: }")},
                                            {"e.env", "A=$HOME\nB=file\nN=file\n"}}});
  REQUIRE(errors(result) == "");
  const auto& environment = result.project->services.at("a").environment;
  CHECK(environment.at("A") == "/home/me");
  CHECK(environment.at("B") == "own");
  CHECK_FALSE(environment.at("N").has_value());
}

TEST_CASE("profiles switch services off, selection switches them on with their dependencies", "[load]") {
  const std::string text = "services: {a: {image: x}, d: {image: y, profiles: [debug], depends_on: [e]}, e: {image: z, profiles: [debug]}}";
  const auto result = load_text(text);
  REQUIRE(result.project);
  CHECK(service_names(*result.project) == std::vector<std::string>{"a"});
  const auto chosen = select(*result.project, {"d"});
  REQUIRE(chosen.project);
  CHECK(service_names(*chosen.project) == std::vector<std::string>{"e", "d"});
  CHECK(select(*result.project, {"nope"}).error == "no such service: nope");
  CHECK(service_names(*load_files({.files = {{"compose.yaml", text}}, .profiles = {"*"}}).project).size() == 3);
}

TEST_CASE("selection drops what no enabled service uses", "[load]") {
  const auto result = load_text("services: {a: {image: x, networks: [n]}, b: {image: y, volumes: [\"vol:/x\"]}}\nnetworks: {n: , unused: }\nvolumes: {vol: }");
  REQUIRE(result.project);
  const auto chosen = select(*result.project, {"a"});
  CHECK(network_names(*chosen.project) == std::vector<std::string>{"n"});
  CHECK(volume_names(*chosen.project).empty());
}

TEST_CASE("the same project twice has the same hash, a changed service another", "[load]") {
  const auto one = load_text(service("hostname: h\n    depends_on: []\n    scale: 2"));
  const auto two = load_text(service("scale: 3\n    hostname: h"));
  const auto three = load_text(service("hostname: i"));
  REQUIRE((one.project && two.project && three.project));
  CHECK(config_hash(*one.project, "a") == config_hash(*two.project, "a"));
  CHECK(config_hash(*one.project, "a") != config_hash(*three.project, "a"));
  // Docker Compose 2.40.3's value for {command, entrypoint: null, image: x, networks: {default: null}}.
  const auto plain = load_text("services: {a: {image: x}}");
  CHECK(config_hash(*plain.project, "a") == "d5457d0b2799957b606d2ac4ed52d85a1e75799490e56229948300b9a59e8953");
}

TEST_CASE("the generation loads back to the same project", "[load]") {
  const auto first = load_text(service("environment: {A: \"$$x\"}\n    ports: [\"80:80\"]\n    command: a 'b c'") + "x-top: {a: 1}\n");
  REQUIRE(first.project);
  const auto again = load_text(to_generation_json(*first.project));
  REQUIRE(errors(again) == "");
  CHECK(to_yaml(*again.project) == to_yaml(*first.project));
  CHECK(again.project->services == first.project->services);
}

TEST_CASE("positions of values are known by path", "[load]") {
  const auto result = load_text("services:\n  a:\n    image: x\n    ports:\n      - \"80:80\"\n");
  REQUIRE(result.project);
  CHECK(result.project->place_of("services.a.ports[0]") == "/p/compose.yaml:5:9");
  CHECK(result.project->place_of("services.a.ports[0].target") == "/p/compose.yaml:5:9");
  CHECK(result.project->place_of("services.a.image") == "/p/compose.yaml:3:12");
}
