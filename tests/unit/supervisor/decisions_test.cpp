#include <signal.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "engine/supervisor/deaf.h"
#include "engine/supervisor/exit_info.h"
#include "engine/supervisor/restart_policy.h"
#include "engine/supervisor/schedule.h"
#include "tests/support/support.h"

using namespace engine;
using namespace engine::supervisor;
using namespace std::chrono_literals;

namespace {
Plan plan_of(std::vector<std::vector<std::size_t>> after) {
  Plan plan;
  for (auto& list : after) plan.steps.push_back({.action = action::StartContainer{"c"}, .after = std::move(list)});
  return plan;
}
using Steps = std::vector<std::size_t>;
}  // namespace

TEST_CASE("a step is released by the success of all it comes after") {
  Schedule schedule(plan_of({{}, {}, {0, 1}, {2}}));
  CHECK(schedule.take_ready() == Steps{0, 1});
  CHECK(schedule.take_ready().empty());
  schedule.finished(1, true);
  CHECK(schedule.take_ready().empty());
  schedule.finished(0, true);
  CHECK(schedule.take_ready() == Steps{2});
  schedule.finished(2, true);
  CHECK(schedule.take_ready() == Steps{3});
  CHECK_FALSE(schedule.done());
  schedule.finished(3, true);
  CHECK(schedule.done());
  CHECK(schedule.succeeded() == 4);
  CHECK(schedule.skipped() == 0);
}

TEST_CASE("a failure skips what depends on it and lets independent branches finish") {
  Schedule schedule(plan_of({{}, {}, {0}, {1}, {2, 3}}));
  (void)schedule.take_ready();
  schedule.finished(0, false);
  CHECK(schedule.take_ready().empty());
  schedule.finished(1, true);
  CHECK(schedule.take_ready() == Steps{3});
  schedule.finished(3, true);
  CHECK(schedule.take_ready().empty());
  CHECK(schedule.done());
  CHECK(schedule.skipped() == 2);
}

TEST_CASE("the failure of an optional step releases its dependents") {
  auto plan = plan_of({{}, {0}});
  plan.steps[0].optional = true;
  Schedule schedule(plan);
  (void)schedule.take_ready();
  schedule.finished(0, false);
  CHECK(schedule.take_ready() == Steps{1});
}

TEST_CASE("a cancelled plan starts no further step and waits for running ones") {
  Schedule schedule(plan_of({{}, {0}, {}}));
  (void)schedule.take_ready();
  schedule.cancel();
  schedule.finished(0, true);
  CHECK(schedule.take_ready().empty());
  CHECK_FALSE(schedule.done());
  schedule.finished(2, true);
  CHECK(schedule.done());
  CHECK(schedule.skipped() == 1);
}

TEST_CASE("a step that comes after itself or a later one makes the plan invalid") {
  CHECK_FALSE(Schedule(plan_of({{1}, {}})).valid());
  CHECK_FALSE(Schedule(plan_of({{0}})).valid());
  CHECK(Schedule(plan_of({})).done());
  CHECK(Schedule(plan_of({{}, {0, 0}})).valid());
}

TEST_CASE("restarts back off from 100 ms to a minute and begin anew after ten seconds of running") {
  const RestartPolicy always{.mode = RestartPolicy::Mode::always};
  Nanoseconds delay{0};
  std::vector<long> ms;
  for (int i = 0; i < 12; ++i) {
    const auto decision = decide_restart(always, {.exit_code = 1, .ran = 1s, .restarts = i, .last_delay = delay});
    REQUIRE(decision.again);
    delay = decision.delay;
    ms.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(delay).count());
  }
  CHECK(ms == std::vector<long>{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000});
  CHECK(decide_restart(always, {.exit_code = 0, .ran = 10s, .last_delay = 1min}).delay == 100ms);
}

TEST_CASE("restart policies ask for the exit code, the count and the user's will") {
  using Mode = RestartPolicy::Mode;
  CHECK_FALSE(decide_restart({.mode = Mode::no}, {.exit_code = 1}).again);
  CHECK_FALSE(decide_restart({.mode = Mode::always}, {.exit_code = 1, .stopped_by_user = true}).again);
  CHECK_FALSE(decide_restart({.mode = Mode::on_failure}, {.exit_code = 0}).again);
  CHECK(decide_restart({.mode = Mode::on_failure}, {.exit_code = std::nullopt}).again);
  CHECK(decide_restart({.mode = Mode::on_failure, .max_retries = 2}, {.exit_code = 1, .restarts = 1}).again);
  CHECK_FALSE(decide_restart({.mode = Mode::on_failure, .max_retries = 2}, {.exit_code = 1, .restarts = 2}).again);
  CHECK(decide_restart({.mode = Mode::always, .delay = 3s}, {.exit_code = 1, .last_delay = 1min}).delay == 3s);
  CHECK(restarts_at_boot({.mode = Mode::unless_stopped}, false));
  CHECK_FALSE(restarts_at_boot({.mode = Mode::unless_stopped}, true));
  CHECK_FALSE(restarts_at_boot({.mode = Mode::on_failure}, false));
}

TEST_CASE("PID 1 of a namespace is deaf to what it neither handles nor blocks") {
  const std::string status = "Name:\tsleep\nNSpid:\t4242\t1\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000004000\nSigCgt:\t0000000000000001\n";
  CHECK(is_deaf(status, SIGTERM));         // 15: ignored explicitly
  CHECK_FALSE(is_deaf(status, SIGHUP));    // 1: handled
  CHECK_FALSE(is_deaf(status, SIGINT));    // 2: blocked, so waited for
  CHECK_FALSE(is_deaf(status, SIGKILL));
  CHECK_FALSE(is_deaf("NSpid:\t4242\nSigBlk:\t0\nSigCgt:\t0\n", SIGTERM));      // the host's namespace
  CHECK_FALSE(is_deaf("NSpid:\t4242\t7\nSigBlk:\t0\nSigCgt:\t0\n", SIGTERM));   // not PID 1
  CHECK_FALSE(is_deaf("", SIGTERM));
}

TEST_CASE("descendants are found over several generations and threads") {
  const support::TempDir proc;
  proc.write("10/task/10/children", "11 12 ");
  proc.write("11/task/11/children", "");
  proc.write("12/task/12/children", "13 ");
  proc.write("12/task/14/children", "15 ");
  proc.write("13/task/13/children", "");
  auto found = descendants(10, proc.path());
  std::sort(found.begin(), found.end());  // threads come in the order of the folder
  CHECK(found == std::vector<pid_t>{11, 12, 13, 15});
  CHECK(descendants(99, proc.path()).empty());
}

TEST_CASE("the exit status of a process nobody has reaped yet can be read") {
  const support::TempDir proc;
  std::string fields;
  for (int field = 4; field <= 52; ++field) fields += field == 22 ? " 777" : field == 52 ? " 1792" : " 0";
  proc.write("5/stat", "5 (a) b) Z" + fields + "\n");
  proc.write("6/stat", "6 (sh) S" + fields + "\n");
  const auto exit = zombie_exit(5, 777, proc.path());
  REQUIRE(exit);
  CHECK(exit->code == 7);
  CHECK_FALSE(zombie_exit(5, 778, proc.path()));
  CHECK_FALSE(zombie_exit(6, 777, proc.path()));
  CHECK_FALSE(zombie_exit(7, 777, proc.path()));
}
