// kill -9 of supervisor, keeper and both, under log load: no container stops, no line is lost or doubled, exit codes and restart
// policies stay right.
#include "engine/store/info.h"
#include "tests/kernel/supervisor/stack.h"

using namespace stack;

#define NEEDS_ROOT() if (::geteuid() != 0) SKIP_TEST("needs root")

namespace {

/// The numbers a container printed, one a line: every one from 1 to `last` once, in order.
std::string check_numbers(const std::string& log, long last) {
  long expected = 1;
  std::size_t at = 0;
  while (at < log.size()) {
    const std::size_t end = std::min(log.find('\n', at), log.size());
    const std::string line = log.substr(at, end - at);
    at = end + 1;
    const std::size_t text = line.find(" F ");
    if (text == std::string::npos) return "torn line: " + line;
    if (std::atol(line.c_str() + text + 3) != expected) return "expected " + std::to_string(expected) + ", got: " + line;
    ++expected;
  }
  if (expected != last + 1) return "ended after " + std::to_string(expected - 1);
  return "complete";
}

/// Prints 1 to 200000 as fast as it can, in bursts, then ends with 7.
constexpr const char* noisy = "for i in $(seq 0 19); do seq $((i*10000+1)) $((i*10000+10000)); sleep 0.05; done; exit 7";

void kill_and_wait(pid_t pid) {
  ::kill(pid, SIGKILL);
  CHECK(support::eventually([&] { return store::process_start(pid) == 0; }));  // gone, or a zombie of a stopped parent
}

}  // namespace

TEST_CASE("supervisors killed again and again lose and double no line, and no exit code") {
  NEEDS_ROOT();
  Stack stack;
  auto spec = stack.shell("a", noisy);
  spec.log_options = {{"max-size", "1g"}};
  REQUIRE(stack.up(spec).ok());
  const pid_t init = stack.info("a").pid, keeper = stack.keeper_pid();
  int kills = 0;
  while (kills < 12 && !stack.info("a").exit_code) {
    const pid_t supervisor = stack.supervisor_pid();
    if (supervisor <= 0) continue;
    ::kill(supervisor, SIGKILL);
    ++kills;
    REQUIRE(support::eventually([&] { const pid_t next = stack.supervisor_pid(); return next > 0 && next != supervisor; }));
    if (!stack.info("a").exit_code) CHECK(stack.keeper_pid() == keeper);
  }
  CHECK(kills >= 3);
  CHECK(support::eventually([&] { return stack.info("a").exit_code == 7; }));
  CHECK(init > 0);
  CHECK(check_numbers(stack.log("a"), 200000) == "complete");
}

TEST_CASE("when the keeper is killed the supervisor takes its place") {
  NEEDS_ROOT();
  Stack stack;
  auto spec = stack.shell("a", noisy);
  spec.log_options = {{"max-size", "1g"}};
  REQUIRE(stack.up(spec).ok());
  const pid_t supervisor = stack.supervisor_pid(), keeper = stack.keeper_pid();
  REQUIRE(keeper > 1);
  ::kill(keeper, SIGKILL);
  REQUIRE(support::eventually([&] { return stack.keeper_pid() == supervisor; }));
  CHECK(stack.info("a").state == ContainerState::running);
  CHECK(support::eventually([&] { return stack.info("a").exit_code == 7; }));
  CHECK(check_numbers(stack.log("a"), 200000) == "complete");
}

TEST_CASE("when both are killed the container runs on, and the next command finds it") {
  NEEDS_ROOT();
  Stack stack;
  auto spec = stack.shell("a", "for i in $(seq 1 40); do echo $i; sleep 0.02; done; exec sleep 1000");
  REQUIRE(stack.up(spec).ok());
  const pid_t init = stack.info("a").pid, supervisor = stack.supervisor_pid(), keeper = stack.keeper_pid();
  ::kill(keeper, SIGSTOP);  // or it would start another before it is killed itself
  kill_and_wait(supervisor);
  ::kill(keeper, SIGKILL);
  REQUIRE(support::eventually([&] { return !client::supervisor_runs(stack.project()); }));
  CHECK(::kill(init, 0) == 0);
  CHECK(stack.info("a").state == ContainerState::running);
  REQUIRE(client::revive(stack.project()));
  CHECK(client::supervisor_runs(stack.project()));
  CHECK(stack.info("a").pid == init);
  CHECK(support::eventually([&] { return check_numbers(stack.log("a"), 40) == "complete"; }));
  REQUIRE(stack.run({action::StopContainer{spec.name, 1s}}).ok());
  CHECK(stack.info("a").state == ContainerState::exited);
}

TEST_CASE("a container that ends while nobody watches is restarted by its policy with the next command") {
  NEEDS_ROOT();
  Stack stack;
  auto spec = stack.shell("a", "exec sleep 1000");
  spec.restart.mode = RestartPolicy::Mode::always;
  REQUIRE(stack.up(spec).ok());
  const pid_t init = stack.info("a").pid, supervisor = stack.supervisor_pid(), keeper = stack.keeper_pid();
  ::kill(keeper, SIGSTOP);
  kill_and_wait(supervisor);
  ::kill(keeper, SIGKILL);
  kill_and_wait(init);
  CHECK(stack.info("a").state == ContainerState::exited);
  REQUIRE(client::revive(stack.project()));
  CHECK(support::eventually([&] { return stack.info("a").state == ContainerState::running && stack.info("a").pid != init; }));
}

TEST_CASE("an exit while the supervisor is dead is told by the keeper") {
  NEEDS_ROOT();
  Stack stack;
  REQUIRE(stack.up(stack.shell("a", "sleep 0.2; echo last words; exit 6")).ok());
  const pid_t supervisor = stack.supervisor_pid();
  const pid_t init = stack.info("a").pid;
  // Stopped, not killed: the keeper starts no other one, and the end goes unseen.
  ::kill(supervisor, SIGSTOP);
  CHECK(support::eventually([&] { return store::process_start(init) == 0; }));
  ::kill(supervisor, SIGKILL);
  CHECK(support::eventually([&] { return stack.info("a").exit_code == 6; }));
  CHECK(stack.log("a").find("F last words\n") != std::string::npos);
}

TEST_CASE("a plan goes on over the death of the supervisor") {
  NEEDS_ROOT();
  Stack stack;
  auto spec = stack.shell("a", "sleep 0.5; exit 0");
  const pid_t self = ::getpid();
  REQUIRE(client::ensure_supervisor(stack.project()));
  bool killed = false;
  Plan plan;
  plan.steps.push_back({.action = action::CreateContainer{spec}});
  plan.steps.push_back({.action = action::StartContainer{spec.name}, .after = {0}});
  plan.steps.push_back({.action = action::WaitContainer{spec.name, action::WaitContainer::Condition::completed, std::nullopt}, .after = {1}});
  client::ExecuteOptions options;
  options.on_progress = [&](const Progress& progress) {
    if (progress.status != "Waiting" || killed) return;
    killed = true;
    const pid_t supervisor = stack.supervisor_pid();
    REQUIRE(supervisor > 1);  // kill(0) would be for ourselves
    ::kill(supervisor, SIGKILL);
  };
  const auto outcome = client::execute(stack.project(), plan, options);
  REQUIRE(outcome);
  CHECK(killed);
  CHECK(outcome->ok());
  CHECK(self == ::getpid());
}
