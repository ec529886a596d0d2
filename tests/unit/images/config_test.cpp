#include "engine/images/config.h"

#include <catch2/catch.hpp>

#include "engine/images/image_store.h"

using namespace engine::images;

TEST_CASE("a Docker image config is read with nulls, durations and old forms", "[images]") {
  const auto config = parse_config(R"({
    "architecture":"amd64","os":"linux","variant":"v2","created":"2024-01-02T03:04:05.5Z","author":"me",
    "config":{"User":"www","Env":["A=1"],"Entrypoint":null,"Cmd":["run","it"],"WorkingDir":"/srv","ExposedPorts":{"80/tcp":{}},
      "Volumes":{"/data":{}},"Labels":null,"StopSignal":"SIGQUIT","OnBuild":null,"Shell":["/bin/bash","-c"],
      "Healthcheck":{"Test":["CMD","true"],"Interval":5000000000,"Retries":4,"Timeout":0}},
    "history":[{"created_by":"RUN x","empty_layer":true}],
    "rootfs":{"type":"layers","diff_ids":["sha256:0000000000000000000000000000000000000000000000000000000000000000"]}})");
  REQUIRE(config);
  CHECK(config->platform() == "linux/amd64/v2");
  CHECK_FALSE(config->entrypoint);
  CHECK(*config->cmd == std::vector<std::string>{"run", "it"});
  CHECK(config->exposed_ports == std::vector<std::string>{"80/tcp"});
  CHECK(config->volumes == std::vector<std::string>{"/data"});
  CHECK(config->healthcheck->interval == std::chrono::seconds(5));
  CHECK_FALSE(config->healthcheck->timeout);
  CHECK(config->healthcheck->retries == 4);
  CHECK(config->history[0].empty_layer);
  CHECK(config->diff_ids.size() == 1);
  const auto again = parse_config(to_json(*config));
  REQUIRE(again);
  CHECK(to_json(*again) == to_json(*config));
}

TEST_CASE("a config that is malformed is an error, never a crash", "[images]") {
  for (const char* text : {"", "[]", "{", "nil", R"({"config":{"Env":"x","Cmd":5}})", R"({"rootfs":{"diff_ids":["../x"]}})",
                           R"({"config":{"Labels":[1]}})", R"({"os":7})"}) {
    const auto config = parse_config(text);
    REQUIRE_FALSE(config);
    CHECK(config.error().kind == base::ErrorKind::invalid);
  }
}

TEST_CASE("names that are no text are written so that they read back the same", "[images]") {
  ImageConfig config;
  config.os = "linux";
  config.architecture = "amd64";
  config.volumes = {"/x", "\xfe\xff", "\xff", "\xff/"};
  config.exposed_ports = {"\xfe/tcp", "\xff/tcp"};
  config.labels = {{"\xfe", "1"}, {"\xff", "2"}, {"\xff/", "3"}};
  const auto text = to_json(config);
  const auto again = parse_config(text);
  REQUIRE(again);
  CHECK(to_json(*again) == text);
  CHECK(again->exposed_ports.size() == 1);
  CHECK(again->labels.size() == 2);
}

TEST_CASE("times of configs are read and written", "[images]") {
  CHECK(parse_time("1970-01-01T00:00:01Z") == 1'000'000'000);
  CHECK(parse_time("2024-01-02T03:04:05.123456789+01:00") == 1704161045123456789);
  CHECK(parse_time("0001-01-01T00:00:00Z") == 0);
  CHECK(parse_time("yesterday") == 0);
  CHECK(format_time(1704161045123456789) == "2024-01-02T02:04:05.123456789Z");
  CHECK(format_time(1'500'000'000) == "1970-01-01T00:00:01.5Z");
}

TEST_CASE("chain ids follow the image specification", "[images]") {
  const std::string diff = "sha256:" + std::string(64, 'a');
  CHECK(chain_id("", diff) == diff);
  CHECK(chain_id(diff, diff) == sha256_digest(diff + " " + diff));
  CHECK(sha256_digest("") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
