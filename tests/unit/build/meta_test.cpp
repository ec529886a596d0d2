#include <catch2/catch.hpp>

#include "engine/build/meta.h"

using namespace engine::build;

namespace {

StageMeta apply(const std::string& lines, const std::map<std::string, std::string>& args = {}) {
  Span where;
  const auto file = parse_dockerfile("Dockerfile", lines, where);
  REQUIRE(file);
  StageMeta meta = scratch_meta("linux/amd64");
  StagePlan plan;
  plan.globals = {{"GLOBAL", "g"}};
  const auto platform = platform_arguments("linux/amd64", "linux/amd64");
  for (const auto& instruction : file->instructions) {
    const auto command = understand(instruction, file->escape);
    REQUIRE(command);
    const auto applied = apply_meta(meta, *command, {.plan = &plan, .args = &args, .platform_args = &platform});
    INFO((applied ? "" : applied.error().text()));
    REQUIRE(applied);
  }
  return meta;
}

std::vector<std::string> history(const StageMeta& meta) {
  std::vector<std::string> lines;
  for (const auto& entry : meta.config.history) lines.push_back(entry.created_by);
  return lines;
}

}  // namespace

TEST_CASE("config instructions and their history read as BuildKit's", "[build]") {
  // The expected texts were printed by Docker 28.5 for the same Dockerfile.
  const auto meta = apply(
      "ARG W=2\nENV A=b C=\"d e\"\nLABEL x=$W y=\"a b\"\nEXPOSE 80-82 53/UDP\nVOLUME /data /d2\nUSER 1000:1000\n"
      "HEALTHCHECK --interval=5s --retries=2 CMD curl x\nSTOPSIGNAL SIGTERM\nSHELL [\"/bin/sh\",\"-ec\"]\nENTRYPOINT foo\n"
      "CMD [\"bar\"]\nMAINTAINER joe\nONBUILD RUN echo hi\n");
  CHECK(history(meta) == std::vector<std::string>{
                             "ARG W=2", "ENV A=b C=d e", "LABEL x=2 y=a b", "EXPOSE [53/udp 80/tcp 81/tcp 82/tcp]",
                             "VOLUME [/data /d2]", "USER 1000:1000",
                             "HEALTHCHECK &{[\"CMD-SHELL\" \"curl x\"] \"5s\" \"0s\" \"0s\" \"0s\" '\\x02'}", "STOPSIGNAL SIGTERM",
                             "SHELL [/bin/sh -ec]", "ENTRYPOINT [\"/bin/sh\" \"-ec\" \"foo\"]", "CMD [\"bar\"]", "MAINTAINER joe"});
  CHECK(meta.config.env == std::vector<std::string>{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=b", "C=d e"});
  CHECK(meta.config.exposed_ports == std::vector<std::string>{"53/udp", "80/tcp", "81/tcp", "82/tcp"});
  CHECK(meta.config.entrypoint == std::vector<std::string>{"/bin/sh", "-ec", "foo"});
  CHECK(meta.config.labels == engine::Labels{{"x", "2"}, {"y", "a b"}});
  CHECK(meta.config.author == "joe");
  CHECK(meta.config.on_build == std::vector<std::string>{"RUN echo hi"});
  CHECK(meta.args_prefix() == "|1 W=2 ");
}

TEST_CASE("one ENV line sees the values from before it", "[build]") {
  const auto meta = apply("ENV a=1\nENV a=2 b=$a\nENV c $a and more\n");
  CHECK(std::vector<std::string>(meta.config.env.begin() + 1, meta.config.env.end()) ==
        std::vector<std::string>{"a=2", "b=1", "c=2 and more"});
}

TEST_CASE("ARG takes the command line, then its default, then the platform's or the global value", "[build]") {
  const auto meta = apply("ARG a=1 b=$a c\nARG TARGETARCH\nARG GLOBAL\nARG a2=$a$TARGETARCH$GLOBAL\n", {{"b", "given"}, {"unused", "x"}});
  CHECK(history(meta) == std::vector<std::string>{"ARG a=1 b=given c", "ARG TARGETARCH=amd64", "ARG GLOBAL=g", "ARG a2=1amd64g"});
  CHECK(meta.lookup()("c") == std::nullopt);
}

TEST_CASE("ENV after ARG wins, and a declared proxy is an argument like others", "[build]") {
  const auto meta = apply("ARG v=arg\nENV v=env\nARG HTTP_PROXY\n");
  CHECK(meta.lookup()("v") == "env");
  CHECK(meta.args_prefix() == "|2 v=env HTTP_PROXY= ");
}

TEST_CASE("ENV and ARG are one list: the later instruction wins, and ARGs without a value show in the history", "[build]") {
  const auto meta = apply("ARG x=1\nENV x=2\nARG none\nARG x=3\n", {{"x", "given"}});
  CHECK(meta.lookup()("x") == "given");
  CHECK(meta.lookup()("none") == std::nullopt);
  CHECK(meta.args_prefix() == "|2 x=given none= ");
  CHECK(meta.config.env.back() == "x=2");
}

TEST_CASE("CMD is marked as escaped and nothing at all is an empty script", "[build]") {
  const auto meta = apply("CMD\n");
  CHECK(meta.config.args_escaped);
  CHECK(meta.config.cmd == std::vector<std::string>{"/bin/sh", "-c", ""});
}

TEST_CASE("EXPOSE takes a published port for its last part", "[build]") {
  CHECK(apply("EXPOSE 127.0.0.1:8080:80 9:10/udp [::1]:1:11 1.2.3.4::12 13/ \"\"\n").config.exposed_ports ==
        std::vector<std::string>{"10/udp", "11/tcp", "12/tcp", "13/tcp", "80/tcp"});
  const auto refused = [](const std::string& line) {
    StageMeta meta = scratch_meta("linux/amd64");
    const auto command = understand(*parse_instruction("EXPOSE " + line, '\\'), '\\');
    REQUIRE(command);
    const auto applied = apply_meta(meta, *command, {});
    return applied ? "" : applied.error().message;
  };
  CHECK(refused("80/tcp/x") == "invalid port: \"80/tcp/x\": invalid proto: tcp/x");
  CHECK(refused("/tcp") == "invalid port: \"/tcp\": no port specified");
  CHECK(refused("1:") == "invalid port: \"1:\": no port specified");
  CHECK(refused("x:80") == "invalid hostPort: x");
  CHECK(refused("300.1.1.1:80:80") == "invalid IP address: 300.1.1.1");
  CHECK(refused("1-3:4-5") == "invalid ranges specified for container and host Ports: 4-5 and 1-3");
  CHECK(refused("1-3:80").empty());
  CHECK(refused("70000") == "invalid containerPort: 70000");
}

TEST_CASE("ENTRYPOINT drops an inherited CMD but not one of the same stage", "[build]") {
  StageMeta meta = scratch_meta("linux/amd64");
  meta.config.cmd = {"old"};
  const auto entrypoint = understand(*parse_instruction("ENTRYPOINT [\"e\"]", '\\'), '\\');
  REQUIRE(entrypoint);
  REQUIRE(apply_meta(meta, *entrypoint, {}));
  CHECK_FALSE(meta.config.cmd.has_value());
  CHECK(apply("CMD [\"c\"]\nENTRYPOINT [\"e\"]\n").config.cmd == std::vector<std::string>{"c"});
}

TEST_CASE("working directories accumulate and destinations follow them", "[build]") {
  StageMeta meta = scratch_meta("linux/amd64");
  meta.config.working_dir = "/a";
  CHECK(*workdir_of(meta, "b/../c") == "/a/c");
  CHECK(*workdir_of(meta, "/x//y/") == "/x//y/");
  CHECK(absolute_path(meta, ".") == "/a/");
  CHECK(absolute_path(meta, "f/") == "/a/f/");
  CHECK(absolute_path(meta, "/f") == "/f");
}

TEST_CASE("times of the history follow the layers", "[build]") {
  engine::images::ImageConfig config;
  const auto add = [&](const char* created, bool empty) {
    engine::images::History entry;
    entry.created = created;
    entry.empty_layer = empty;
    config.history.push_back(entry);
  };
  add("", true);
  add("2026-01-01T00:00:01Z", false);
  add("", true);
  add("2026-01-01T00:00:02Z", false);
  add("", true);
  finish_times(config);
  CHECK(config.history[0].created == "2026-01-01T00:00:01Z");
  CHECK(config.history[2].created == "2026-01-01T00:00:01Z");
  CHECK(config.history[4].created == "2026-01-01T00:00:02Z");
  CHECK(config.created == "2026-01-01T00:00:02Z");
}

TEST_CASE("durations print as Go's", "[build]") {
  CHECK(duration_text(std::chrono::seconds(90)) == "1m30s");
  CHECK(duration_text(std::chrono::milliseconds(1500)) == "1.5s");
  CHECK(duration_text(std::chrono::milliseconds(5)) == "5ms");
  CHECK(duration_text(std::chrono::hours(2)) == "2h0m0s");
}
