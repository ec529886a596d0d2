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

TEST_CASE("negative numbers are refused where there are none", "[load][parity]") {
  CHECK(errors_of(service("healthcheck: {retries: -1}")) == "4:28 services.a.healthcheck.retries: '-1' is not zero or more\n");
  CHECK(errors_of(service("deploy: {restart_policy: {max_attempts: -1}}")) ==
        "4:45 services.a.deploy.restart_policy.max_attempts: '-1' is not zero or more\n");
  CHECK(errors_of(service("ports: [{target: -1}]")) == "4:22 services.a.ports[0].target: '-1' is not zero or more\n");
  CHECK(errors_of(service("ports: [\"0\"]")) == "4:13 services.a.ports[0]: container port 0 is no port\n");
}

TEST_CASE("numbers beyond their bits are printed as Docker Compose's types hold them", "[load][parity]") {
  CHECK(holds(json_of(service("cpu_shares: 1e21")), "\"cpu_shares\": -9223372036854775808"));
  CHECK(holds(json_of(service("pids_limit: 18446744073709551615")), "\"pids_limit\": -1"));
  CHECK(holds(json_of(service("healthcheck: {retries: 1e21}")), "\"retries\": 9223372036854775808"));
  CHECK(holds(json_of(service("ports: [{target: 4294967297}]")), "\"target\": 1"));
  CHECK(holds(json_of(service("blkio_config: {weight: 65537}")), "\"weight\": 1"));
  CHECK(holds(json_of(service("mem_limit: 8192p")), "\"mem_limit\": \"-9223372036854775808\""));
  CHECK(holds(json_of(service("deploy: {resources: {limits: {cpus: 4294967296}}}")), "\"cpus\": 4294967300"));
  CHECK(errors_of(service("mem_swappiness: .inf")).find("mem_swappiness") != std::string::npos);
}

TEST_CASE("a number with a point is no string, even a whole one", "[load][parity]") {
  for (const auto* lines : {"group_add: [1.0]", "expose: [100.0]", "ports: [{target: 80, published: 80.0}]", "ulimits: {n: 1.0}"}) {
    INFO(lines);
    CHECK(holds(errors_of(service(lines)), "whole number"));
  }
  CHECK(config_of("scale: 1.0") == "    scale: 1\n");
}

TEST_CASE("lists of pairs need their values", "[load][parity]") {
  CHECK(errors_of(service("build: {ssh: [key]}")) == "4:19 services.a.build.ssh[0]: 'key' is no ssh key: write id=path, or default for the agent\n");
  CHECK(errors_of(service("build: {ssh: [default]}")).empty());
  CHECK(errors_of(service("build: {additional_contexts: [base]}")) ==
        "4:35 services.a.build.additional_contexts[0]: 'base' has no value: write name=value\n");
  CHECK(holds(config_of("deploy: {resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: \"\"}}]}}}"),
              "kind: \"\"\n                value: 0\n"));
}

TEST_CASE("naming a service activates its profiles, not those of what it depends on", "[load][parity]") {
  const auto project = *load_text("services:\n  a: {image: x, profiles: [p]}\n  b: {image: y, profiles: [p]}\n"
                                  "  c: {image: z, profiles: [q], depends_on: [a]}\n  d: {image: w}\n").project;
  CHECK(service_names(*select(project, {"a"}).project) == std::vector<std::string>{"a"});
  CHECK(holds(select(project, {"c"}).error, "no such service: a"));
  CHECK(select(project, {"c", "b"}).error.empty());
}

TEST_CASE("unused resources stay when all are asked for", "[load][parity]") {
  const auto project = *load_text("services: {a: {image: x}}\nvolumes: {v: }\nnetworks: {n: }\n").project;
  CHECK(select(project, {}).project->volumes.empty());
  CHECK(select(project, {}, Dependencies::include, Resources::all).project->volumes.contains("v"));
}

TEST_CASE("two services may share a container name until they are started", "[load][parity]") {
  const auto result = load_text("services:\n  a: {image: x, container_name: nn}\n  b: {image: y, container_name: nn}\n");
  REQUIRE(result.project);
  const auto found = container_name_conflicts(*result.project);
  REQUIRE(found.size() == 1);
  CHECK(found[0].path == "services.b.container_name");
  CHECK(found[0].hint == "the other is at /p/compose.yaml:2");
}

TEST_CASE("label files are read where env files are not wanted", "[load][parity]") {
  LoadOptions options;
  options.files = {"/p/c.yaml"};
  options.working_dir = "/p";
  options.resolve_environment = false;
  const auto result = load(options, *memory_files({{"/p/c.yaml", service("label_file: l\n    env_file: missing")}, {"/p/l", "k=v\n"}}));
  REQUIRE(result.project);
  CHECK(result.project->services.at("a").labels.at("k") == "v");
}

TEST_CASE("large and small numbers are printed as Go prints them", "[load][parity]") {
  CHECK(holds(json_of("services: {}\nx-a: [18446744073709551615, 18446744073709551616, -9223372036854775809, 1e-400, 1e400]"),
              "[\n    18446744073709551615,\n    18446744073709552000,\n    -9223372036854776000,\n    0,\n    \"1e400\"\n  ]"));
  CHECK(config_of("labels: {a: 9223372036854775808}") == "    labels:\n      a: \"9223372036854775808\"\n");
}

TEST_CASE("JSON has no infinity", "[load][parity]") {
  const auto endless = load_text("services: {}\nx-a: {b: [.inf]}");
  CHECK(json_obstacle(*endless.project) == "x-a holds a number that JSON cannot write");
  CHECK(holds(to_yaml(*endless.project), "- .inf"));
  CHECK(json_obstacle(*load_text("services: {}\nx-a: 1.5").project).empty());
}

TEST_CASE("a name that comes out empty is refused, one that is not written is the directory's", "[load][parity]") {
  CHECK(holds(errors_of("name: ${UNSET:-}\nservices: {}"), "no letter or digit a project name could be made of"));
  CHECK(load_text("name: \"\"\nservices: {}").project->name == "p");
}

TEST_CASE("without interpolation nothing is added to what is written", "[load][parity]") {
  LoadOptions options;
  options.files = {"/p/c.yaml"};
  options.working_dir = "/p";
  const auto raw = [&](const std::string& text, bool json) { return *raw_config(options, *memory_files({{"/p/c.yaml", text}}), json).text; };
  CHECK(raw("name: q\n", false) == "name: q\n");
  const std::string lists = raw("name: q\nservices: {a: {image: x, profiles: [], security_opt: []}}\n", true);
  CHECK(holds(lists, "\"profiles\": []"));
  CHECK(holds(lists, "\"security_opt\": null"));
}

TEST_CASE("variables are listed as text, JSON and YAML", "[load][parity]") {
  LoadOptions options;
  options.files = {"/p/c.yaml"};
  options.working_dir = "/p";
  const auto files = memory_files({{"/p/c.yaml", "services: {a: {image: \"${X:-1}${Y?e}${\"}}\n"}});
  CHECK(*variables(options, *files, Format::yaml).text ==
        "\"\":\n    name: \"\"\n    defaultvalue: \"\"\n    presencevalue: \"\"\n    required: false\n"
        "X:\n    name: X\n    defaultvalue: \"1\"\n    presencevalue: \"\"\n    required: false\n"
        "\"Y\":\n    name: \"Y\"\n    defaultvalue: \"\"\n    presencevalue: \"\"\n    required: true\n");
  CHECK(variables(options, *memory_files({{"/p/c.yaml", "services: {}\n"}}), Format::json).text == "{}\n\n");
}

TEST_CASE("scale is written into deploy, and limits must say what the service says", "[load][parity]") {
  CHECK(config_of("scale: 2\n    deploy: {mode: replicated, labels: [a]}") ==
        "    deploy:\n      mode: replicated\n      replicas: 2\n      labels:\n        a: \"\"\n    scale: 2\n");
  CHECK(holds(errors_of(service("cpus: 1\n    deploy: {resources: {limits: {memory: 1g}}}")), "cpus: differs from"));
  CHECK(holds(errors_of(service("mem_limit: 1g\n    deploy: {resources: {limits: {pids: 1}}}")), "mem_limit: differs from"));
  CHECK(errors_of(service("mem_limit: 1g\n    deploy: {resources: {reservations: {cpus: \"1\"}}}")).empty());
  CHECK(config_of("devices: [\"/a::r\"]") == "    devices:\n      - source: /a\n        target: /a\n        permissions: r\n");
}

TEST_CASE("a profile without a name is active until others are", "[load][parity]") {
  const auto files = memory_files({{"/p/compose.yaml", "services: {a: {image: x, profiles: [\"${DEBUG:+debug}\"]}, b: {image: y}}\n"}});
  const auto count = [&](CommandLine line) {
    line.current_dir = "/p";
    return load_project(line, *files).project->services.size();
  };
  CHECK(count({}) == 2);
  CHECK(count({.profiles = {"p"}}) == 1);
  CHECK(count({.environment = {{"DEBUG", "1"}}}) == 1);
  CHECK(count({.environment = {{"DEBUG", "1"}, {"COMPOSE_PROFILES", " debug , q"}}}) == 2);
}

TEST_CASE("!override makes text of a scalar, and a date is no key", "[load][parity]") {
  CHECK(holds(merged(service("entrypoint: x"), service("entrypoint: !override null")), "    entrypoint:\n      - \"null\"\n"));
  CHECK(holds(merged(service("scale: 2"), service("scale: !override 3")), "    scale: 3\n"));
  CHECK(errors_of("x-a: {2024-01-01: b}") == "1:7 a key must be a string, not a date\n");
}

TEST_CASE("variables in a list do not end with a blank, mounts are read also without interpolation", "[load][parity]") {
  CHECK(errors_of(service("environment: [\"A =1\"]")) == "4:19 services.a.environment[0]: the name 'A ' ends with a blank\n");
  CHECK(errors_of(service("labels: [\"A =1\"]")).empty());
  CHECK(errors_of(service("blkio_config: {weight: -1}")) == "4:28 services.a.blkio_config.weight: '-1' is not zero or more\n");
  LoadOptions options;
  options.files = {"/p/c.yaml"};
  options.working_dir = "/p";
  const auto raw = raw_config(options, *memory_files({{"/p/c.yaml", service("volumes: [\"v:/a:\"]")}}), false);
  CHECK(holds(errors(raw.load), "has an empty part between colons"));
  CHECK(holds(config_of("volumes: [\"~x/a:/a\"]"), "source: /home/me/x/a\n"));
}

TEST_CASE("address pools of two files are joined pair by pair", "[load][parity]") {
  const auto pools = [](const std::string& one, const std::string& two) {
    return merged("services: {a: {image: x, networks: [n]}}\nnetworks: {n: {ipam: {config: " + one + "}}}\n",
                  "networks: {n: {ipam: {config: " + two + "}}}\n");
  };
  CHECK(holds(pools("[{subnet: a}]", "[{subnet: a, gateway: g}]"), "- subnet: a\n          gateway: g\n"));
  CHECK(holds(pools("[{subnet: a}]", "[{subnet: b}]"), "config:\n        - subnet: b\n"));
  CHECK_FALSE(holds(pools("[]", "[{subnet: b}]"), "subnet"));
}

TEST_CASE("paths of an included model are relative to the model that includes it", "[load][parity]") {
  const std::map<std::string, std::string> files = {
      {"/p/compose.yaml", "include: [{path: s/i.yaml, project_directory: gone}, t/j.yaml]\n"},
      {"/p/s/i.yaml", "services: {i: {build: ./c}}\n"},
      {"/p/t/j.yaml", "services: {j: {build: ./c, extends: {file: u/e.yaml, service: e}}}\n"},
      {"/p/t/u/e.yaml", "services: {e: {image: x, volumes: [\"./v:/v\"]}}\n"}};
  const auto printed = [&](bool resolve) {
    LoadOptions options{.files = {"/p/compose.yaml"}, .working_dir = "/p"};
    options.resolve_paths = resolve;
    const auto loaded = load(options, *memory_files(files));
    return loaded.project ? to_yaml(*loaded.project) : std::string("failed");
  };
  // A project_directory that does not exist is taken for a file in the project's.
  CHECK(holds(printed(true), "context: /p/c\n"));
  CHECK(holds(printed(true), "source: /p/t/u/v\n"));
  CHECK(holds(printed(false), "context: c\n"));
  CHECK(holds(printed(false), "context: t/c\n"));
  CHECK(holds(printed(false), "source: t/u/v\n"));
}

TEST_CASE("what has no form to be merged in is left out, and what is reset is not looked into", "[load][parity]") {
  const auto both = [](const std::string& one, const std::string& two) { return merged(service(one), service(two)); };
  CHECK(holds(both("dns_search: a", "dns_search: 5"), "dns_search:\n      - a\n"));
  CHECK(holds(both("networks: [default]", "networks: 1.5"), "networks:\n      default: null\n"));
  CHECK(holds(both("extra_hosts: {k: 1.1.1.1}", "extra_hosts: {k: !override 2.2.2.2}"), "extra_hosts:\n      - k=2.2.2.2\n"));
  CHECK(holds(both("extra_hosts: {k: [a]}", "extra_hosts: {k: [!reset b, c]}"), "- k=a\n      - k=c\n"));
  CHECK(holds(both("environment: {k: a}", "environment: {k: [null]}"), "k: <nil>"));
  CHECK(holds(both("ulimits: {n: {soft: 1, hard: 2}}", "ulimits: {n: {soft: 3}}"), "'hard' is missing"));
  CHECK_FALSE(holds(both("scale: 2", "scale: !reset null"), "scale"));
  CHECK(holds(errors_of("services: {z: {extends: a, depends_on: {b: !reset null}}, a: {image: x, depends_on: [b]}}"), "depends_on.b"));
  CHECK(config_of("extra_hosts: {k: []}") == "    extra_hosts: []\n");
  CHECK(config_of("gpus: [{capabilities: [x], odd: 1}]") == "    gpus:\n      - capabilities:\n          - x\n        count: -1\n");
}

TEST_CASE("numbers that JSON or the attribute's own reader cannot hold are refused", "[load][parity]") {
  for (const auto* lines : {"deploy: {resources: {limits: {cpus: 9223372036854775808}}}", "gpus: [{count: 2.0}]", "configs: [{source: c, mode: 1.5}]"}) {
    INFO(lines);
    CHECK_FALSE(errors_of(service(lines)).empty());
  }
  CHECK(holds(json_obstacle(*load_text(service("cpus: .inf")).project), "services.a.cpus"));
  CHECK(holds(json_obstacle(*load_text(service("deploy: {resources: {limits: {cpus: .nan}}}")).project), "services.a.deploy"));
  CHECK(json_obstacle(*load_text(service("cpus: 1.5")).project).empty());
  CHECK(config_of("gpus: [{count: 0}]") == "    gpus:\n      - {}\n");
}

TEST_CASE("a section without a value in a later file is refused", "[load][parity]") {
  CHECK(holds(merged(service("tty: true"), "services:\n"), "services: expected a mapping, found nothing"));
}

TEST_CASE("where variables stay in place, lists that need values stay lists and limits must be numbers", "[load][parity]") {
  const LoadOptions options{.files = {"/p/c.yaml"}, .working_dir = "/p"};
  const auto raw = [&](const std::string& lines, bool json) {
    const auto config = raw_config(options, *memory_files({{"/p/c.yaml", service(lines)}}), json);
    return config.text.value_or(errors(config.load));
  };
  CHECK(holds(raw("build: {additional_contexts: [x]}", false), "additional_contexts:\n        - /p/x\n"));
  CHECK(holds(raw("build: {args: [NOPE]}", true), "\"args\": null"));
  CHECK(holds(raw("volumes_from: [b]", false), "restart: false"));
  CHECK(holds(raw("ulimits: {n: \"${N}\"}", false), "a limit must be a number"));
}

TEST_CASE("a network or volume without a value is one with defaults, also where nothing is normalised", "[load][parity]") {
  LoadOptions options{.files = {"/p/compose.yaml"}, .working_dir = "/p", .normalize = false};
  const auto files = memory_files({{"/p/compose.yaml", "services: {a: {image: x, networks: [net]}}\nnetworks: {net: }\nvolumes: {vol: }\n"}});
  const auto result = load(options, *files);
  REQUIRE(result.project);
  CHECK(holds(to_yaml(*result.project), "networks:\n  net: {}\nvolumes:\n  vol: {}\n"));
  CHECK(holds(to_json(*result.project), "\"net\": {\n      \"ipam\": {}\n    }"));
}

TEST_CASE("a list of ports with a variable stays as it is written, unless one is no port at all", "[load][parity]") {
  LoadOptions options{.files = {"/p/compose.yaml"}, .working_dir = "/p", .interpolate = false};
  const auto raw = [&](const std::string& ports) {
    const auto config = raw_config(options, *memory_files({{"/p/compose.yaml", service("ports: " + ports)}}), false);
    return config.text ? *config.text : errors(config.load);
  };
  CHECK(holds(raw("[\"80:81\", \"$P:82\"]"), "    ports:\n      - 80:81\n      - $P:82\n"));
  CHECK(holds(raw("[\"80:81\"]"), "published: \"80\""));
  CHECK(raw("[123456]") == "4:13 services.a.ports[0]: container port 123456 is out of range 0-65535\n");
}

TEST_CASE("a text with a line separator is quoted with its indentation, and reads back", "[load][parity]") {
  CHECK(config_of("hostname: \"a\\Lb\"") == "    hostname: 'a\xE2\x80\xA8      b'\n");
  CHECK(config_of("hostname: \"a\\Lb\\nc\\n\"") == "    hostname: |\n      a\xE2\x80\xA8      b\n      c\n");
  CHECK(config_of("hostname: \"\\Pb\\nc\"") == "    hostname: |2-\n\xE2\x80\xA9      b\n      c\n");
  CHECK(config_of("hostname: 'a\xE2\x80\xA8      b'") == "    hostname: 'a\xE2\x80\xA8      b'\n");
}

TEST_CASE("where variables stay in their place, names without a value stay without one", "[load][parity]") {
  LoadOptions options{.files = {"/p/compose.yaml"}, .working_dir = "/p", .environment = {{"A", "1"}}, .interpolate = false};
  const auto raw = [&](const std::string& variables) {
    const auto config = raw_config(options, *memory_files({{"/p/compose.yaml", service("environment: " + variables)}}), false);
    return config.text.value_or(errors(config.load));
  };
  CHECK(holds(raw("[A, B=$A]"), "    environment:\n      - A\n      - B=$A\n"));
  CHECK(holds(raw("{A: }"), "    environment:\n      A: null\n"));
}

TEST_CASE("with variables in place and nothing normalised, the name is as it is written", "[load][parity]") {
  const auto raw = [](const std::string& text, bool normalize) {
    const LoadOptions options{.files = {"/p/c.yaml"}, .working_dir = "/p", .environment = {{"A", "1"}}, .interpolate = false, .normalize = normalize};
    return *raw_config(options, *memory_files({{"/p/c.yaml", text}, {"/p/i.yaml", service("environment: [A]")}}), false).text;
  };
  CHECK(raw("services: {a: {image: x}}", false) == "services:\n  a:\n    image: x\n");
  CHECK(holds(raw("name: ${A}b\nservices: {a: {image: x}}", false), "name: ${A}b\n"));
  CHECK(holds(raw(service("build: {args: {A: , K: v}}"), true), "args:\n        K: v\n"));
  // What is included has its names resolved.
  CHECK(holds(raw("include: [i.yaml]", true), "environment:\n      - A=1\n"));
}
