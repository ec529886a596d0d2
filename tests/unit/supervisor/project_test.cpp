#include <catch2/catch.hpp>

#include "tests/unit/supervisor/world.h"

using namespace engine;
using namespace engine::supervisor;
using namespace std::chrono_literals;
using Condition = action::WaitContainer::Condition;

namespace {
std::size_t count(const std::vector<std::string>& list, const std::string& what) {
  return static_cast<std::size_t>(std::count(list.begin(), list.end(), what));
}
}  // namespace

TEST_CASE("a container is created, started, stopped and removed") {
  World world;
  auto outcome = world.run({action::CreateContainer{World::shell("a", "echo hello; echo oops >&2; exec sleep 100")},
                            action::StartContainer{"a"}});
  REQUIRE(outcome.ok());
  CHECK(outcome.done == 2);
  CHECK(world.said == std::vector<std::string>{"a Creating", "a Created", "a Starting", "a Started"});
  auto info = world.info("a");
  CHECK(info.state == ContainerState::running);
  CHECK(info.pid > 0);
  CHECK(info.endpoints.size() == 1);
  CHECK_FALSE(info.exit_code.has_value());
  CHECK(world.until([&] { return world.log("a").find("stdout F hello") != std::string::npos && world.log("a").find("stderr F oops") != std::string::npos; }));
  CHECK_FALSE(world.project->idle());

  REQUIRE(world.run({action::StopContainer{"a", std::nullopt}}).ok());
  info = world.info("a");
  CHECK(info.state == ContainerState::exited);
  CHECK(info.exit_code == 143);
  CHECK(info.stopped_by_user);
  CHECK(info.endpoints.empty());
  CHECK(world.project->idle());
  REQUIRE(world.run({action::RemoveContainer{"a", true, false}}).ok());
  CHECK(world.all().empty());
  CHECK(world.project->empty());
  CHECK(count(world.backend.calls(), "remove a volumes") == 1);
}

TEST_CASE("exit codes and signals are kept") {
  World world;
  REQUIRE(world.run({action::CreateContainer{World::shell("a", "exit 7")}, action::StartContainer{"a"}}).ok());
  REQUIRE(world.run({action::CreateContainer{World::shell("b", "kill -9 $$")}, action::StartContainer{"b"}}).ok());
  CHECK(world.until([&] { return world.info("a").exit_code == 7 && world.info("b").exit_code == 137; }));
  CHECK(world.until([&] { return world.project->idle(); }));
}

TEST_CASE("every line that a container printed before its end is in the log, the unfinished last one too") {
  World world;
  REQUIRE(world.run({action::CreateContainer{World::shell("a", "seq 1 20000; printf end")}, action::StartContainer{"a"}}).ok());
  CHECK(world.until([&] { return world.info("a").exit_code == 0; }));
  const auto log = world.log("a");
  std::size_t lines = 0;
  for (const char c : log) lines += c == '\n';
  CHECK(lines == 20001);
  CHECK(log.find("F 20000\n") != std::string::npos);
  CHECK(log.ends_with("F end\n"));
}

TEST_CASE("a start that fails is reported with its reason and releases nothing that comes after it") {
  World world;
  world.backend.fail_start = {"a"};
  auto outcome = world.run({action::CreateContainer{World::shell("a", "")}, action::StartContainer{"a"},
                            action::CreateContainer{World::shell("b", "")}});
  CHECK_FALSE(outcome.ok());
  REQUIRE(outcome.errors.size() == 1);
  CHECK(outcome.errors[0].name == "a");
  CHECK(outcome.errors[0].error.text().find("executable file not found") != std::string::npos);
  CHECK(outcome.skipped == 1);
  CHECK(world.info("a").state == ContainerState::created);
  CHECK(world.info("a").exit_code == 127);
  CHECK(world.info("b").id.empty());
  CHECK(world.project->idle());
}

TEST_CASE("independent branches finish and every error is told") {
  World world;
  world.backend.fail_object = {"create network x", "create network y"};
  Plan plan;
  for (const char* name : {"x", "y", "z"}) plan.steps.push_back({.action = action::CreateNetwork{{.name = name}}});
  plan.steps.push_back({.action = action::CreateVolume{{.name = "v"}}, .after = {2}});
  const auto outcome = world.run(std::move(plan));
  CHECK(outcome.errors.size() == 2);
  CHECK(outcome.done == 2);
  CHECK(count(world.backend.calls(), "create volume v") == 1);
}

TEST_CASE("a plan told twice does nothing the second time") {
  World world;
  const std::vector<Action> actions{action::CreateContainer{World::shell("a", "exec sleep 100")}, action::StartContainer{"a"}};
  REQUIRE(world.run(actions).ok());
  const auto id = world.info("a").id;
  const auto pid = world.info("a").pid;
  world.said.clear();
  REQUIRE(world.run(actions).ok());
  CHECK(world.info("a").id == id);
  CHECK(world.info("a").pid == pid);
  CHECK(world.said.back() == "a Running");
  CHECK_FALSE(world.run({action::CreateContainer{World::shell("a", "other")}}).ok());
}

TEST_CASE("a recreated container has a new id, the name and the anonymous volumes of the old one") {
  World world;
  REQUIRE(world.run({action::CreateContainer{World::shell("a", "exec sleep 100")}, action::StartContainer{"a"}}).ok());
  const auto old = world.info("a");
  const action::RecreateContainer recreate{World::shell("a", "exec sleep 99"), old.id, std::nullopt};
  REQUIRE(world.run({recreate}).ok());
  const auto made = world.info("a");
  CHECK(made.id != old.id);
  CHECK(made.volumes == old.volumes);
  CHECK(made.state == ContainerState::created);
  CHECK(world.all().size() == 1);
  CHECK(count(world.backend.calls(), "remove " + old.id.substr(0, 12) + "_a") == 1);
  REQUIRE(world.run({recreate}).ok());  // told again
  CHECK(world.info("a").id == made.id);
}

TEST_CASE("a container whose policy says so is restarted until it succeeds") {
  World world;
  auto spec = World::shell("a", "test -e " + (world.dir.path() / "flag").string() + " && exit 0; touch " + (world.dir.path() / "flag").string() + "; exit 3");
  spec.restart = {.mode = RestartPolicy::Mode::on_failure};
  REQUIRE(world.run({action::CreateContainer{spec}, action::StartContainer{"a"}}).ok());
  CHECK(world.until([&] { return world.info("a").exit_code == 0; }));
  CHECK(world.info("a").restart_count == 1);
  CHECK(world.until([&] { return world.project->idle(); }));
}

TEST_CASE("a container that is about to be restarted can be stopped") {
  World world;
  auto spec = World::shell("a", "exit 1");
  spec.restart = {.mode = RestartPolicy::Mode::always, .delay = 1h};
  REQUIRE(world.run({action::CreateContainer{spec}, action::StartContainer{"a"}}).ok());
  REQUIRE(world.until([&] { return world.info("a").state == ContainerState::restarting; }));
  CHECK_FALSE(world.project->idle());
  REQUIRE(world.run({action::StopContainer{"a", std::nullopt}}).ok());
  CHECK(world.info("a").state == ContainerState::exited);
  CHECK(world.project->idle());
}

TEST_CASE("a container that ends just when it is stopped is not restarted") {
  World world;
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g", "h"}) {
    auto spec = World::shell(name, "exit 1");
    spec.restart = {.mode = RestartPolicy::Mode::always, .delay = 1h};
    REQUIRE(world.run({action::CreateContainer{spec}, action::StartContainer{name}}).ok());
    REQUIRE(world.until([&] { return world.info(name).exit_code == 1; }));  // recorded before what it had is given back
    REQUIRE(world.run({action::StopContainer{name, std::nullopt}}).ok());
    CHECK(world.info(name).state == ContainerState::exited);
  }
  CHECK(world.project->idle());
}

TEST_CASE("a signal for a container that is not running is an error, but not when its first telling may have ended it") {
  World world;
  REQUIRE(world.run({action::CreateContainer{World::shell("a", "exit 0")}}).ok());
  Plan plan;
  plan.steps.push_back({.action = action::KillContainer{"a", "SIGKILL"}});
  CHECK_FALSE(world.run(plan).ok());
  plan.again = true;
  CHECK(world.run(plan).ok());
}

TEST_CASE("stop kills after the grace period, and pauses do not keep it from stopping") {
  World world;
  REQUIRE(world.run({action::CreateContainer{World::shell("a", "trap '' TERM; echo deaf; while :; do sleep 0.01; done")}, action::StartContainer{"a"}}).ok());
  REQUIRE(world.until([&] { return world.log("a").find("deaf") != std::string::npos; }));  // before that, the signal would end it
  const auto before = Clock::now();
  REQUIRE(world.run({action::StopContainer{"a", 200ms}}).ok());
  CHECK(Clock::now() - before >= 150ms);
  CHECK(world.info("a").exit_code == 137);
  REQUIRE(world.run({action::CreateContainer{World::shell("b", "exec sleep 100")}, action::StartContainer{"b"}, action::PauseContainer{"b"}}).ok());
  CHECK(world.info("b").state == ContainerState::paused);
  REQUIRE(world.run({action::StopContainer{"b", std::nullopt}}).ok());
  CHECK(world.info("b").exit_code == 143);
}

TEST_CASE("waiting for health is answered by the probe and by the end of the container") {
  World world;
  const auto flag = (world.dir.path() / "up").string();
  auto spec = World::shell("a", "sleep 0.2; touch " + flag + "; exec sleep 100");
  spec.healthcheck = HealthSpec{.test = {"test -e " + flag}, .interval = 20ms, .retries = 1000};
  const auto up = world.run({action::CreateContainer{spec}, action::StartContainer{"a"},
                             action::WaitContainer{"a", Condition::healthy, std::nullopt}});
  INFO((up.ok() ? "" : up.errors.front().error.text()));
  REQUIRE(up.ok());
  CHECK(world.info("a").health == HealthState::healthy);
  CHECK(world.said.back() == "a Healthy");
  CHECK(world.info("a").health_log.size() >= 1);

  auto dead = World::shell("b", "exit 5");
  dead.healthcheck = HealthSpec{.test = {"false"}, .interval = 1h};
  auto outcome = world.run({action::CreateContainer{dead}, action::StartContainer{"b"}, action::WaitContainer{"b", Condition::healthy, std::nullopt}});
  REQUIRE(outcome.errors.size() == 1);
  CHECK(outcome.errors[0].error.text() == "container b exited (5)");
  auto sick = World::shell("c", "exec sleep 100");
  sick.healthcheck = HealthSpec{.test = {"echo bad; exit 2"}, .interval = 1ms, .retries = 2};
  outcome = world.run({action::CreateContainer{sick}, action::StartContainer{"c"}, action::WaitContainer{"c", Condition::healthy, std::nullopt}});
  REQUIRE(outcome.errors.size() == 1);
  CHECK(outcome.errors[0].error.text() == "container c is unhealthy");
  CHECK(world.info("c").health_log.back().output == "bad\n");
  CHECK(world.info("c").health_log.back().exit_code == 2);
}

TEST_CASE("waiting for completion wants exit code 0") {
  World world;
  CHECK(world.run({action::CreateContainer{World::shell("a", "sleep 0.1")}, action::StartContainer{"a"},
                   action::WaitContainer{"a", Condition::completed, std::nullopt}}).ok());
  CHECK(world.said.back() == "a Exited");
  const auto outcome = world.run({action::CreateContainer{World::shell("b", "exit 3")}, action::StartContainer{"b"},
                                  action::WaitContainer{"b", Condition::completed, std::nullopt}});
  REQUIRE(outcome.errors.size() == 1);
  CHECK(outcome.errors[0].error.text() == "container b exited (3)");
  const auto late = world.run({action::CreateContainer{World::shell("c", "exec sleep 100")}, action::StartContainer{"c"},
                               action::WaitContainer{"c", Condition::completed, 50ms}});
  REQUIRE(late.errors.size() == 1);
  CHECK(late.errors[0].error.kind == base::ErrorKind::timeout);
}

TEST_CASE("a cancelled plan ends its waits and starts nothing more") {
  World world;
  REQUIRE(world.run({action::CreateContainer{World::shell("a", "exec sleep 100")}, action::StartContainer{"a"}}).ok());
  Plan plan;
  plan.steps.push_back({.action = action::WaitContainer{"a", Condition::completed, std::nullopt}});
  plan.steps.push_back({.action = action::CreateVolume{{.name = "v"}}, .after = {0}});
  const auto cancel = std::make_shared<Cancel>();
  std::optional<Outcome> outcome;
  world.begin_run(std::move(plan), outcome, cancel);
  REQUIRE(world.until([&] { return !world.said.empty() && world.said.back() == "a Waiting"; }));
  world.project->cancel(*cancel);
  REQUIRE(world.until([&] { return outcome.has_value(); }));
  CHECK(outcome->cancelled);
  CHECK(outcome->skipped == 1);
  CHECK(count(world.backend.calls(), "create volume v") == 0);
}

TEST_CASE("hooks run after the start and before the stop, and a failing post_start is an error") {
  World world;
  auto spec = World::shell("a", "exec sleep 100");
  spec.post_start = {{.command = {"true"}}};
  spec.pre_stop = {{.command = {"echo bye"}}};
  REQUIRE(world.run({action::CreateContainer{spec}, action::StartContainer{"a"}, action::StopContainer{"a", std::nullopt}}).ok());
  CHECK(count(world.backend.calls(), "exec a true") == 1);
  CHECK(count(world.backend.calls(), "exec a echo bye") == 1);
  spec.name = "b";
  spec.post_start = {{.command = {"echo why; exit 4"}}};
  const auto outcome = world.run({action::CreateContainer{spec}, action::StartContainer{"b"}});
  REQUIRE(outcome.errors.size() == 1);
  CHECK(outcome.errors[0].error.text() == "post_start hook of b: exit status 4: why");
}

TEST_CASE("a container made to be removed is removed when it ends") {
  World world;
  auto spec = World::shell("a", "exit 0");
  spec.auto_remove = true;
  REQUIRE(world.run({action::CreateContainer{spec}, action::StartContainer{"a"}}).ok());
  CHECK(world.until([&] { return world.project->empty(); }));
  CHECK(world.all().empty());
  CHECK(count(world.backend.calls(), "remove a volumes") == 1);
}

TEST_CASE("a container that is being removed takes no listener, which would make its log again") {
  World world;
  world.backend.fail_remove = true;  // it stays where a removal has begun
  REQUIRE(world.run({action::CreateContainer{World::shell("a", "exit 0")}}).ok());
  const auto id = world.info("a").id;
  CHECK_FALSE(world.run({action::RemoveContainer{"a"}}).ok());
  auto container = world.project->find("a");
  REQUIRE(container);
  const auto opened = world.project->open_logs(**container);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().text() == "no such container: a");
  CHECK_FALSE(std::filesystem::exists(paths::container_log(id)));
}

TEST_CASE("a container ended by the OOM killer says so") {
  World world;
  world.backend.oom = true;
  REQUIRE(world.run({action::CreateContainer{World::shell("a", "kill -9 $$")}, action::StartContainer{"a"}}).ok());
  CHECK(world.until([&] { return world.info("a").oom_killed; }));
}

namespace {
/// Marks the row as running in `process`.
auto running(const base::ChildProcess& process) {
  return [&process](store::RunState& run) {
    run.state = ContainerState::running;
    run.pid = process.pid();
    run.pid_start = store::process_start(process.pid());
    run.started = store::now_ns();
  };
}
base::ChildProcess shell_process(const std::string& script, base::Fd input = {}) {
  base::SpawnOptions options{.program = "/bin/sh", .arguments = {"sh", "-c", script}};
  if (input.valid()) options.fds.emplace_back(input, STDIN_FILENO);
  auto process = base::ChildProcess::spawn(options);
  REQUIRE(process);
  return *std::move(process);
}
}  // namespace

TEST_CASE("a new supervisor takes running containers over") {
  World world(World::Begin::later);
  auto input = base::sys::pipe();
  REQUIRE(input);
  auto process = shell_process("read line; exit 9", input->first.borrow());
  world.left(World::shell("a", ""), running(process));
  (void)process.detach();
  world.begin();
  CHECK(world.until([&] { return count(world.backend.calls(), "adopt a") == 1; }));
  input->second.reset();
  CHECK(world.until([&] { return world.info("a").exit_code == 9; }));
  CHECK(world.info("a").state == ContainerState::exited);
  CHECK(world.until([&] { return count(world.backend.calls(), "release a") == 1; }));
}

TEST_CASE("a container that ended unseen has an unknown exit code, and its restart policy acts on that") {
  World world(World::Begin::later);
  const auto gone = [](store::RunState& run) {
    run.state = ContainerState::running;
    run.pid = 1;  // somebody else's by now: the start time tells
    run.pid_start = 1;
  };
  auto again = World::shell("b", "exec sleep 100");
  again.restart = {.mode = RestartPolicy::Mode::on_failure};
  world.left(World::shell("a", ""), gone);
  world.left(again, gone);
  world.begin();
  // Both are recorded as running until the supervisor has looked: only the count tells a restart.
  CHECK(world.until([&] {
    const auto b = world.info("b");
    return world.info("a").state == ContainerState::exited && b.state == ContainerState::running && b.restart_count == 1;
  }));
  CHECK_FALSE(world.info("a").exit_code.has_value());
}

TEST_CASE("after a reboot only what is meant to come back does") {
  World world(World::Begin::later);
  const auto before = [](store::RunState& run) {
    run.state = ContainerState::running;
    run.pid = 1;
    run.boot_id = "another boot";
  };
  auto failing = World::shell("a", "exec sleep 100"), always = World::shell("b", "exec sleep 100");
  failing.restart = {.mode = RestartPolicy::Mode::on_failure};
  always.restart = {.mode = RestartPolicy::Mode::always};
  world.left(failing, before);
  world.left(always, before);
  world.begin();
  CHECK(world.until([&] { return world.info("a").state == ContainerState::exited && world.info("b").state == ContainerState::running; }));
}

TEST_CASE("what a killed supervisor left half done is finished") {
  World world(World::Begin::later);
  auto process = shell_process("exec sleep 100");
  world.left(World::shell("a", ""), [](store::RunState& run) { run.engine_json = "removing"; });
  world.left(World::shell("b", ""), [](store::RunState& run) {
    run.state = ContainerState::exited;
    run.exit_code = 4;
    run.engine_json = "ending";
  });
  world.left(World::shell("c", ""), [](store::RunState& run) { run.engine_json = "starting"; });
  world.left(World::shell("d", ""), [](store::RunState& run) { run.engine_json = "starting"; });
  world.backend.alive[world.info("d").id] = process.pid();
  (void)process.detach();
  world.begin();
  CHECK(world.until([&] { return world.info("a").id.empty() && world.info("d").state == ContainerState::running; }));
  CHECK(world.until([&] { return count(world.backend.calls(), "release b") == 1 && count(world.backend.calls(), "release c") == 1; }));
  CHECK(world.info("b").exit_code == 4);
  CHECK(world.info("c").state == ContainerState::created);
  REQUIRE(world.run({action::StopContainer{"d", std::nullopt}}).ok());
}

TEST_CASE("what a plan needed is given back once plans have ended, and not before") {
  World world;
  REQUIRE(world.run({action::CreateContainer{World::shell("a", "exec sleep 100")}, action::StartContainer{"a"}}).ok());
  CHECK(world.until([&] { return count(world.backend.calls(), "rest") == 1; }));
  const auto calls = world.backend.calls();
  CHECK(calls.back() == "rest");
  REQUIRE(world.run({action::StopContainer{"a", std::nullopt}}).ok());
  CHECK(world.until([&] { return count(world.backend.calls(), "rest") == 2; }));
}
