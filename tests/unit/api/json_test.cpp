#include <catch2/catch.hpp>

#include "engine/api/types_json.h"

using namespace engine;

namespace {
ContainerSpec full_spec() {
  ContainerSpec spec;
  spec.name = "demo-web-1";
  spec.project = "demo";
  spec.image = "nginx:alpine";
  spec.command = {"nginx", "-g", "daemon off;"};
  spec.entrypoint = std::vector<std::string>{};
  spec.env = {"A=1", "B=\"zwei\"\n"};
  spec.tty = true;
  spec.labels = {{"com.docker.compose.project", "demo"}};
  spec.networks = {{.network = "demo_default", .aliases = {"web"}, .ipv4_address = {}, .ipv6_address = {}, .mac_address = {}, .interface_name = {}, .link_local_ips = {}}};
  spec.ports = {{.host_ip = "127.0.0.1", .host_port = 8080, .container_port = 80, .protocol = "udp"}};
  spec.mounts.push_back({.type = MountType::bind, .source = "/srv", .target = "/data", .read_only = true});
  spec.mounts.back().create_host_path = false;
  spec.files.push_back({.target = "/run/secrets/a", .content = "geheim", .host_path = {}, .uid = 0, .gid = {}, .mode = 0400});
  spec.resources.memory_bytes = 1 << 20;
  spec.resources.memory_swappiness = 0;
  spec.restart = {.mode = RestartPolicy::Mode::on_failure, .max_retries = 3, .delay = {}, .window = {}};
  spec.stop_grace = std::chrono::seconds(3);
  spec.healthcheck = HealthSpec{.test = {"CMD", "true"}, .interval = std::chrono::seconds(5), .timeout = {}, .start_period = {}, .start_interval = {}, .retries = 2};
  spec.post_start = {{.command = {"echo"}, .user = "root", .working_dir = {}, .privileged = true, .env = {}}};
  return spec;
}
}  // namespace

TEST_CASE("a container specification survives the way through JSON") {
  const auto spec = full_spec();
  const auto back = from_json<ContainerSpec>(to_json(spec));
  REQUIRE(back);
  CHECK(*back == spec);
  CHECK(to_json(*back) == to_json(spec));
}

TEST_CASE("an absent list and an empty one stay different where it matters") {
  ContainerSpec spec;
  CHECK(to_json(spec) == "{}");
  spec.entrypoint = std::vector<std::string>{};
  CHECK(to_json(spec) == R"({"entrypoint":[]})");
  const auto back = from_json<ContainerSpec>(to_json(spec));
  REQUIRE(back);
  CHECK(back->entrypoint.has_value());
  CHECK_FALSE(back->command.has_value());
}

TEST_CASE("defaults other than zero survive being overridden with zero") {
  NetworkSpec network{.name = "n", .project = "p"};
  network.enable_ipv4 = false;
  network.driver = "";
  const auto back = from_json<NetworkSpec>(to_json(network));
  REQUIRE(back);
  CHECK(*back == network);
}

TEST_CASE("every action of a plan survives the way through JSON") {
  Plan plan;
  const auto add = [&](Action action) { plan.steps.push_back({.action = std::move(action), .reason = "why"}); };
  add(action::CreateNetwork{{.name = "n", .project = "p"}});
  add(action::RemoveNetwork{"n"});
  add(action::CreateVolume{{.name = "v", .project = "p"}});
  add(action::RemoveVolume{"v"});
  add(action::CreateContainer{full_spec()});
  add(action::RecreateContainer{full_spec(), "abc", std::chrono::seconds(1)});
  add(action::StartContainer{"c"});
  add(action::StopContainer{"c", std::nullopt});
  add(action::RestartContainer{"c", std::chrono::seconds(0)});
  add(action::KillContainer{"c", "SIGHUP"});
  add(action::PauseContainer{"c"});
  add(action::UnpauseContainer{"c"});
  add(action::RemoveContainer{"c", true, true});
  add(action::WaitContainer{"c", action::WaitContainer::Condition::completed, std::nullopt});
  add(action::ConnectNetwork{"c", {.network = "n", .aliases = {"x"}, .ipv4_address = {}, .ipv6_address = {}, .mac_address = {}, .interface_name = {}, .link_local_ips = {}}});
  add(action::DisconnectNetwork{"c", "n"});
  add(action::RemoveImage{"i"});
  plan.steps[3].after = {0, 1};
  plan.steps[3].hazard = Hazard::data_loss;
  plan.steps[4].optional = true;
  plan.generation_json = R"({"a":1})";
  REQUIRE(plan.steps.size() == std::variant_size_v<Action>);

  const auto back = from_json<Plan>(to_json(plan));
  REQUIRE(back);
  CHECK(to_json(*back) == to_json(plan));
  for (std::size_t i = 0; i < plan.steps.size(); ++i) CHECK(back->steps[i].action.index() == i);
  CHECK(std::get<action::RestartContainer>(back->steps[8].action).timeout == Nanoseconds(0));
  CHECK(std::get<action::WaitContainer>(back->steps[13].action).condition == action::WaitContainer::Condition::completed);
  CHECK(back->steps[3].after == std::vector<std::size_t>{0, 1});
}

TEST_CASE("a member of the wrong type is named") {
  const auto wrong = from_json<ContainerSpec>(R"({"ports":[{"container_port":80},{"container_port":70000}]})");
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().text() == "container specification: ports[1].container_port: number out of range");
  CHECK(wrong.error().kind == base::ErrorKind::invalid);
  CHECK_FALSE(from_json<Plan>("{").has_value());
  CHECK_FALSE(from_json<Plan>(R"({"steps":[{"action":{"type":"dance"}}]})").has_value());
}

TEST_CASE("unknown members are ignored and bytes that are no UTF-8 do not break the line") {
  CHECK(from_json<VolumeSpec>(R"({"name":"v","from_the_future":[1]})").has_value());
  Progress progress{.object = "Container", .name = "a\xff", .status = "Error", .error = "x\ny"};
  const auto text = to_json(progress);
  CHECK(text.find('\n') == std::string::npos);
  CHECK(from_json<Progress>(text).has_value());
}

TEST_CASE("an outcome keeps every error with its context") {
  Outcome outcome;
  auto error = base::errno_error(2, "open /x");
  error.context = {"creating a"};
  outcome.errors.push_back({3, "Container", "a", error});
  outcome.generation = 4;
  const auto back = from_json<Outcome>(to_json(outcome));
  REQUIRE(back);
  CHECK(back->errors.at(0).error.text() == error.text());
  CHECK(back->errors.at(0).error.number == 2);
  CHECK(back->errors.at(0).error.kind == base::ErrorKind::not_found);
  CHECK(back->generation == 4);
  CHECK_FALSE(back->ok());
}

TEST_CASE("a snapshot survives the way through JSON") {
  Snapshot snapshot;
  ContainerInfo info;
  info.id = "ab";
  info.spec = full_spec();
  info.state = ContainerState::exited;
  info.exit_code = 0;
  info.health_log = {{1, 2, 3, "out"}};
  info.endpoints = {{.network = "n", .ipv4_address = "10.0.0.2/24"}};
  info.volumes = {{"/data", "v"}};
  snapshot.containers.push_back(info);
  snapshot.networks.push_back({.spec = {.name = "n", .project = "p"}, .id = "i", .subnets = {{.subnet = "10.0.0.0/24"}}});
  const auto back = from_json<Snapshot>(to_json(snapshot));
  REQUIRE(back);
  CHECK(back->containers.at(0).exit_code == 0);
  CHECK(to_json(*back) == to_json(snapshot));
  CHECK(from_json<std::vector<Endpoint>>("").has_value());
}
