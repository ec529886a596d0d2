#include <catch2/catch.hpp>

#include "compose/cli/container_text.h"
#include "compose/cli/execute.h"
#include "compose/cli/json_line.h"
#include "compose/cli/log_lines.h"
#include "compose/cli/output.h"
#include "compose/cli/run_flags.h"
#include "compose/cli/session.h"
#include "compose/cli/template.h"

using namespace compose::cli;

namespace {
constexpr std::int64_t second = 1'000'000'000;
}

TEST_CASE("durations are said as Docker says them", "[cli]") {
  CHECK(human_duration(0) == "Less than a second");
  CHECK(human_duration(second) == "1 second");
  CHECK(human_duration(59 * second) == "59 seconds");
  CHECK(human_duration(60 * second) == "About a minute");
  CHECK(human_duration(150 * second) == "2 minutes");
  CHECK(human_duration(3600 * second) == "About an hour");
  CHECK(human_duration(47 * 3600 * second) == "47 hours");
  CHECK(human_duration(3 * 86400 * second) == "3 days");
  CHECK(human_duration(21 * 86400 * second) == "3 weeks");
  CHECK(human_duration(90LL * 86400 * second) == "3 months");
  CHECK(human_duration(800LL * 86400 * second) == "2 years");
}

TEST_CASE("sizes are said as Docker says them", "[cli]") {
  CHECK(human_size(32) == "32B");
  CHECK(human_size(1984154) == "1.98MB");
  CHECK(binary_size(368 * 1024) == "368KiB");
  CHECK(binary_size(25276047360.0) == "23.54GiB");
}

TEST_CASE("durations and moments are parsed as Go parses them", "[cli]") {
  CHECK(parse_duration("1m30s") == 90 * second);
  CHECK(parse_duration("1.5h") == 5400 * second);
  CHECK(parse_duration("-2s") == -2 * second);
  CHECK_FALSE(parse_duration("12"));
  CHECK_FALSE(parse_duration("x"));
  CHECK(parse_moment("1700000000.5") == 1700000000 * second + second / 2);
  CHECK(parse_moment("2026-11-22T14:20:39.5Z") == 1795357239 * second + second / 2);
  CHECK(parse_moment("2026-11-22T14:20:39+02:00") == (1795357239 - 7200) * second);
  CHECK_FALSE(parse_moment("yesterday"));
}

TEST_CASE("JSON is escaped as Go escapes it", "[cli]") {
  CHECK(json_string("a\"<b>&\n\x01") == "\"a\\\"\\u003cb\\u003e\\u0026\\n\\u0001\"");
}

TEST_CASE("members of a worker's line are found, nested ones are not mistaken for them", "[cli]") {
  const std::string line = R"({"inner":{"status":"no"},"status":"Down\u006coading \"x\"","current":12.5,"list":["status"]})";
  CHECK(json_text(line, "status") == "Downloading \"x\"");
  CHECK(json_number(line, "current") == 12.5);
  CHECK_FALSE(json_text(line, "current"));
  CHECK_FALSE(json_text("not json", "status"));
  CHECK_FALSE(json_text("{\"a\":\"", "b"));
}

TEST_CASE("--format understands the part of Go templates people use", "[cli]") {
  Fields row;
  row.set("Name", "demo-web-1");
  row.set_json("ExitCode", "3");
  row.set("State", "running");
  row.set("Labels", "a=1,b=2");
  CHECK(render_rows("{{.Name}}\\t{{.ExitCode}}", {row}).operator*() == "demo-web-1\t3\n");
  CHECK(*render_rows("{{json .}}", {row}) == R"({"Name":"demo-web-1","ExitCode":3,"State":"running","Labels":"a=1,b=2"})" "\n");
  CHECK(*render_rows("{{ upper .State }} {{.Label \"b\"}}", {row}) == "RUNNING 2\n");
  CHECK(*render_rows("table {{.Name}}\\t{{.State}}\\t{{.ExitCode}}", {row}) == "NAME         STATE     <no value>\ndemo-web-1   running   3\n");
  CHECK_FALSE(render_rows("{{.Nope}}", {row}));
  CHECK_FALSE(render_rows("{{range .}}", {row}));
  CHECK_FALSE(render_rows("{{.Name", {row}));
}

TEST_CASE("a table pads by characters, not bytes", "[cli]") {
  CHECK(table({{"A", "B"}, {"x…", "y"}}, 3, 0) == "A    B\nx…   y\n");
  CHECK(ellipsis("sh -c 'echo db started'", 20) == "sh -c 'echo db star…");
}

TEST_CASE("containers are described as docker ps does", "[cli]") {
  engine::ContainerInfo info;
  info.command = {"sh", "-c", "echo db started; exec sleep 1000"};
  info.state = engine::ContainerState::running;
  info.started = 100 * second;
  info.health = engine::HealthState::healthy;
  info.ports = {{.host_ip = "0.0.0.0", .host_port = 18080, .container_port = 80}, {.host_ip = "::", .host_port = 18080, .container_port = 80}};
  info.spec.expose = {"80/tcp", "9000/tcp"};
  CHECK(status_text(info, 103 * second) == "Up 3 seconds (healthy)");
  CHECK(command_text(info, false) == "\"sh -c 'echo db star…\"");
  CHECK(ports_text(info) == "0.0.0.0:18080->80/tcp, [::]:18080->80/tcp, 9000/tcp");
  info.state = engine::ContainerState::exited;
  info.health = engine::HealthState::none;
  info.exit_code = 3;
  info.finished = 101 * second;
  CHECK(status_text(info, 103 * second) == "Exited (3) 2 seconds ago");
  info.exit_code.reset();
  CHECK(status_text(info, 103 * second) == "Exited (unknown) 2 seconds ago");
}

TEST_CASE("log prefixes leave the project out", "[cli]") {
  CHECK(short_name("demo", "demo-web-1") == "web-1");
  CHECK(short_name("demo", "front") == "front");
}

TEST_CASE("run's ports and volumes are read in their short forms", "[cli]") {
  const auto ports = parse_publish("127.0.0.1:9000-9001:90-91/udp");
  REQUIRE(ports);
  REQUIRE(ports->size() == 2);
  CHECK(((*ports)[1].host_port == 9001 && (*ports)[1].container_port == 91 && (*ports)[1].protocol == "udp"));
  CHECK((*parse_publish("[::1]:80:80"))[0].host_ip == "::1");
  CHECK((*parse_publish("80"))[0].host_port == 0);
  CHECK_FALSE(parse_publish("70000:80"));
  CHECK_FALSE(parse_publish("a:b"));
  compose::model::Project project;
  project.working_dir = "/p";
  project.volumes["data"].name = "demo_data";
  CHECK(parse_volume("./src:/src:ro", project)->source == "/p/src");
  CHECK(parse_volume("./src:/src:ro", project)->read_only);
  CHECK(parse_volume("data:/d", project)->source == "demo_data");
  CHECK(parse_volume("/anonymous", project)->source.empty());
  CHECK_FALSE(parse_volume("nope:/d", project));
  CHECK_FALSE(parse_volume("data:relative", project));
}

TEST_CASE("detach keys are names of control keys", "[cli]") {
  CHECK(*parse_detach_keys("ctrl-p,ctrl-q") == "\x10\x11");
  CHECK(*parse_detach_keys("a,ctrl-c") == "a\x03");
  CHECK_FALSE(parse_detach_keys("ctrl-"));
}

TEST_CASE("a rehearsal says what an executor would", "[cli]") {
  engine::Plan plan;
  plan.steps.push_back({.action = engine::action::CreateContainer{{.name = "demo-a-1"}}, .reason = {}, .after = {}});
  plan.steps.push_back({.action = engine::action::StartContainer{"demo-a-1"}, .reason = {}, .after = {0}});
  std::string text;
  for (const auto& progress : rehearse(plan)) text += progress.object + " " + progress.name + " " + progress.status + "\n";
  CHECK(text == "Container demo-a-1 Creating\nContainer demo-a-1 Created\nContainer demo-a-1 Starting\nContainer demo-a-1 Started\n");
}

TEST_CASE("a failed start has the code Docker gives it", "[cli]") {
  engine::Outcome outcome;
  outcome.errors.push_back({.error = base::make_error(base::ErrorKind::not_found, "exec: \"foo\": executable file not found in $PATH")});
  CHECK(failure_code(outcome) == 127);
  outcome.errors[0].error.message = "exec: \"/x\": permission denied";
  CHECK(failure_code(outcome) == 126);
  outcome.errors[0].error.message = "port is already allocated";
  CHECK(failure_code(outcome) == 1);
}
