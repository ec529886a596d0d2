#include "engine/api/types_json.h"
#include "tests/kernel/supervisor/stack.h"

using namespace stack;

#define NEEDS_ROOT() if (::geteuid() != 0) SKIP_TEST("needs root")

namespace {
std::string why(const Outcome& outcome) {
  std::string out;
  for (const auto& error : outcome.errors) out += error.name + ": " + error.error.text() + "\n";
  return out;
}
}  // namespace

TEST_CASE("a container runs, prints, ends with its code and leaves nothing") {
  NEEDS_ROOT();
  Stack stack;
  const auto outcome = stack.up(stack.shell("a", "echo hello; hostname; id -u; exit 3"));
  INFO(why(outcome));
  REQUIRE(outcome.ok());
  CHECK(support::eventually([&] { return stack.info("a").exit_code == 3; }));
  CHECK(stack.log("a").find("stdout F hello\n") != std::string::npos);
  CHECK(stack.log("a").find("stdout F 0\n") != std::string::npos);
  CHECK(support::eventually([&] { return !client::supervisor_runs(stack.project()); }));
}

TEST_CASE("a command that is not in the image is named and gives exit code 127") {
  NEEDS_ROOT();
  Stack stack;
  auto spec = stack.shell("a", "");
  spec.command = {"nope"};
  const auto outcome = stack.up(spec);
  REQUIRE(outcome.errors.size() == 1);
  CHECK(outcome.errors[0].error.text().find("nope") != std::string::npos);
  CHECK(stack.info("a").exit_code == 127);
}

TEST_CASE("a container whose PID 1 is deaf to the stop signal stops at once") {
  NEEDS_ROOT();
  Stack stack;
  REQUIRE(stack.up(stack.shell("a", "sleep 1000")).ok());
  const auto before = std::chrono::steady_clock::now();
  REQUIRE(stack.run({action::StopContainer{stack.project() + "-a", 10s}}).ok());
  CHECK(std::chrono::steady_clock::now() - before < 2s);
  CHECK(stack.info("a").exit_code == 137);
}

TEST_CASE("a restart policy brings a container back, and health follows its probe") {
  NEEDS_ROOT();
  Stack stack;
  auto spec = stack.shell("a", "test -e /data/once && exec sleep 1000; touch /data/once; exit 1");
  spec.restart.mode = RestartPolicy::Mode::on_failure;
  spec.healthcheck = HealthSpec{.test = {"CMD-SHELL", "test -e /data/once && echo fine"}, .interval = 100ms};
  const auto outcome = stack.run({action::CreateContainer{spec}, action::StartContainer{spec.name}});
  INFO(why(outcome));
  REQUIRE(outcome.ok());
  const bool healthy = support::eventually([&] {
    const auto now = stack.info("a");
    return now.restart_count == 1 && now.state == ContainerState::running && now.health == HealthState::healthy;
  });
  INFO(to_json(stack.info("a")));
  CHECK(healthy);
  CHECK(stack.info("a").health_log.back().output == "fine\n");
}

TEST_CASE("pausing freezes and the memory limit's end is noticed") {
  NEEDS_ROOT();
  Stack stack;
  REQUIRE(stack.up(stack.shell("a", "while :; do echo x; sleep 0.01; done")).ok());
  REQUIRE(stack.run({action::PauseContainer{stack.project() + "-a"}}).ok());
  CHECK(stack.info("a").state == ContainerState::paused);
  REQUIRE(stack.run({action::UnpauseContainer{stack.project() + "-a"}}).ok());
  auto spec = stack.shell("b", "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done");
  spec.resources.memory_bytes = 16 << 20;
  REQUIRE(stack.up(spec).ok());
  CHECK(support::eventually([&] { return stack.info("b").exit_code.has_value(); }));
  CHECK(stack.info("b").oom_killed);
}

TEST_CASE("containers in a network resolve each other and publish a port") {
  NEEDS_ROOT();
  Stack stack;
  const std::string network = stack.project() + "_default";
  auto server = stack.shell("server", "while :; do echo -e 'HTTP/1.0 200 OK\\r\\n\\r\\nhi' | nc -l -p 80; done");
  server.network_mode = "";
  server.networks = {{.network = network, .aliases = {"web"}}};
  server.ports = {{.host_ip = "127.0.0.1", .container_port = 80}};
  auto client = stack.shell("client", "until wget -q -O - http://web/; do sleep 0.05; done");
  client.network_mode = "";
  client.networks = {{.network = network, .aliases = {"client"}}};
  const auto outcome = stack.run({action::CreateNetwork{{.name = network, .project = stack.project()}}, action::CreateContainer{server},
                                  action::StartContainer{server.name}, action::CreateContainer{client}, action::StartContainer{client.name}});
  INFO(why(outcome));
  REQUIRE(outcome.ok());
  CHECK(support::eventually([&] { return stack.info("client").exit_code == 0; }));
  CHECK(stack.log("client").find("F hi") != std::string::npos);
  const auto info = stack.info("server");
  REQUIRE(info.ports.size() == 1);
  CHECK(info.ports[0].host_port > 0);
  CHECK(info.endpoints.at(0).ipv4_address.ends_with("/16"));
}

TEST_CASE("an attached terminal talks to the container") {
  NEEDS_ROOT();
  Stack stack;
  auto spec = stack.shell("a", "stty size; read line; echo got $line; exit 5");
  spec.tty = true;
  spec.stdin_open = true;
  REQUIRE(stack.run({action::CreateContainer{spec}}).ok());
  auto attachment = client::attach(stack.project(), spec.name);
  REQUIRE(attachment);
  REQUIRE(stack.run({action::StartContainer{spec.name}}).ok());
  auto in = base::sys::pipe(), out = base::sys::pipe();
  REQUIRE(in);
  REQUIRE(out);
  REQUIRE(base::sys::write_all(in->second.borrow(), "hello\n"));
  const auto result = attachment->run({.input = in->first.borrow(), .output = out->second.borrow()});
  INFO((result ? "" : result.error().text()));
  REQUIRE(result);
  CHECK(result->exit_code == 5);
  std::array<char, 4096> buffer;
  const auto count = base::sys::read(out->first.borrow(), buffer);
  REQUIRE(count);
  CHECK(std::string(buffer.data(), *count).find("got hello") != std::string::npos);
}

TEST_CASE("what ran before a reboot shows as ended, even while its supervisor is still finding out") {
  NEEDS_ROOT();
  Stack stack;
  REQUIRE(stack.up(stack.shell("a", "exec sleep 1000")).ok());
  CHECK(stack.info("a").state == ContainerState::running);
  auto store = store::Store::open();
  REQUIRE(store);
  auto row = store->container_by_name(stack.info("a").spec.name);
  REQUIRE((row && *row));
  (**row).run.boot_id = "another boot";
  REQUIRE(store->update_run((**row).id, (**row).run));
  CHECK(stack.info("a").state == ContainerState::exited);
  CHECK_FALSE(stack.info("a").exit_code.has_value());
}
