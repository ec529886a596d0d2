#include <catch2/catch.hpp>

#include "stack.h"

using namespace golden;
using engine::ContainerState;

namespace {
Wanted stack() {
  return Wanted().network("default").volume("data").service("db", {.volumes = {"data"}}).service(
      "web", {.image = "demo-web", .depends_on = {on("db")}, .generated_image = true});
}
}  // namespace

TEST_CASE("down goes against the dependencies, then takes networks", "[reconcile]") {
  CHECK(plan_of(stack(), There(stack()).get(), {.verb = Verb::down}) == R"(
0              stop demo-web-1: down [downtime]
1 after 0      remove demo-web-1: down
2 after 1      stop demo-db-1: down [downtime]
3 after 2      remove demo-db-1: down
4 after 1,3    remove network demo_default: down
)");
}

TEST_CASE("down -v and --rmi take volumes and images too", "[reconcile]") {
  CHECK(plan_of(stack(), There(stack()).get(), {.verb = Verb::down, .volumes = true, .remove_images = RemoveImages::local}) == R"(
0              stop demo-web-1: down [downtime]
1 after 0      remove demo-web-1 and its anonymous volumes: down
2 after 1      stop demo-db-1: down [downtime]
3 after 2      remove demo-db-1 and its anonymous volumes: down [data loss]
4 after 1      remove image demo-web:latest: down --rmi
5 after 3      remove volume demo_data: down --volumes [data loss]
6 after 1,3    remove network demo_default: down
)");
}

TEST_CASE("down of nothing is nothing", "[reconcile]") {
  CHECK(plan_of(stack(), There().get(), {.verb = Verb::down, .volumes = true}) == "\n");
}

TEST_CASE("down leaves one-offs unless orphans go too", "[reconcile]") {
  auto there = There(Wanted().service("web", {.networks = {}}));
  const auto wanted = Wanted().service("web", {.networks = {}});
  there.container(wanted, wanted.get().services[0], 7, ContainerState::exited).label_of("demo-web-7", label::one_off, "True");
  CHECK(plan_of(wanted, there.get(), {.verb = Verb::down}).find("demo-web-7") == std::string::npos);
  CHECK(plan_of(wanted, there.get(), {.verb = Verb::down, .remove_orphans = true}).find("remove demo-web-7") != std::string::npos);
}

TEST_CASE("down of one service keeps the network others use", "[reconcile]") {
  auto wanted = Wanted().network("default").service("web");
  const auto all = Wanted().network("default").service("db").service("web");
  CHECK(plan_of(wanted, There(all).get(), {.verb = Verb::down, .services = {"web"}}) == R"(
0            stop demo-web-1: down [downtime]
1 after 0    remove demo-web-1: down
)");
  CHECK(notes_of(wanted, There(all).get(), {.verb = Verb::down, .services = {"web"}}) == "Network demo_default Resource is still in use\n");
}

TEST_CASE("down works from labels alone", "[reconcile]") {
  auto there = There(stack());
  there.label_of("demo-web-1", label::depends_on, "db:service_healthy:false");
  const auto seen = there.get();
  CHECK(plan_of(desired_from(seen), seen, {.verb = Verb::down}) == R"(
0              stop demo-web-1: down [downtime]
1 after 0      remove demo-web-1: down
2 after 1      stop demo-db-1: down [downtime]
3 after 2      remove demo-db-1: down
4 after 1,3    remove network demo_default: down
)");
}

TEST_CASE("stop goes against the dependencies and reports what is stopped already", "[reconcile]") {
  CHECK(plan_of(stack(), There(stack()).get(), {.verb = Verb::stop}) == R"(
0            stop demo-web-1: stop [downtime]
1 after 0    stop demo-db-1: stop [downtime]
)");
  CHECK(notes_of(stack(), There(stack(), ContainerState::exited).get(), {.verb = Verb::stop}) ==
        "Container demo-web-1 Stopping\nContainer demo-web-1 Stopped\nContainer demo-db-1 Stopping\nContainer demo-db-1 Stopped\n");
}

TEST_CASE("start follows the dependencies", "[reconcile]") {
  CHECK(plan_of(stack(), There(stack(), ContainerState::exited).get(), {.verb = Verb::start}) == R"(
0            start demo-db-1: is not running
1 after 0    start demo-web-1: is not running
)");
  CHECK(plan_of(stack(), There().get(), {.verb = Verb::start}) == "error: service \"db\" has no container to start");
}

TEST_CASE("restart takes dependents with restart: true along", "[reconcile]") {
  const auto wanted = Wanted().service("db", {.networks = {}}).service("other", {.depends_on = {on("db")}, .networks = {}}).service(
      "web", {.depends_on = {on("db", Condition::started, true)}, .networks = {}});
  CHECK(plan_of(wanted, There(wanted).get(), {.verb = Verb::restart, .services = {"db"}}) == R"(
0            restart demo-db-1: restart [downtime]
1 after 0    restart demo-web-1: what it depends on restarts [downtime]
)");
  CHECK(plan_of(wanted, There(wanted).get(), {.verb = Verb::restart, .services = {"db"}, .no_deps = true}) == R"(
0    restart demo-db-1: restart [downtime]
)");
}

TEST_CASE("kill, pause and unpause touch what is in the right state", "[reconcile]") {
  const auto wanted = Wanted().service("a", {.networks = {}}).service("b", {.networks = {}});
  const auto seen = There(wanted).state("demo-a-1", ContainerState::exited).get();
  CHECK(plan_of(wanted, seen, {.verb = Verb::kill, .signal = "SIGHUP"}) == "\n0    kill demo-b-1 with SIGHUP: kill [downtime]\n");
  CHECK(plan_of(wanted, seen, {.verb = Verb::pause}) == "\n0    pause demo-b-1: pause [downtime]\n");
  CHECK(plan_of(wanted, There(wanted).state("demo-b-1", ContainerState::paused).get(), {.verb = Verb::unpause}) == "\n0    unpause demo-b-1: unpause\n");
}

TEST_CASE("rm removes stopped containers, running ones only with --stop", "[reconcile]") {
  const auto wanted = Wanted().service("a", {.networks = {}}).service("b", {.networks = {}});
  const auto seen = There(wanted).state("demo-a-1", ContainerState::exited).get();
  CHECK(plan_of(wanted, seen, {.verb = Verb::remove}) == "\n0    remove demo-a-1: rm\n");
  CHECK(plan_of(wanted, seen, {.verb = Verb::remove, .stop_first = true}) == R"(
0            remove demo-a-1: rm
1            stop demo-b-1: rm [downtime]
2 after 1    remove demo-b-1: rm
)");
}

TEST_CASE("a plan of five hundred services is made in linear time", "[reconcile]") {
  Wanted wanted;
  wanted.network("default");
  for (int i = 1000; i < 1500; ++i) {
    ServiceOptions options;
    if (i > 1000) options.depends_on = {on("s" + std::to_string(i - 1), Condition::healthy)};
    wanted.service("s" + std::to_string(i), options);
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto up = reconcile(wanted, There().get(), {});
  const auto down = reconcile(wanted, There(wanted).get(), {.verb = Verb::down});
  REQUIRE(up);
  REQUIRE(down);
  CHECK(up->plan.steps.size() == 1 + 500 + 500 + 499);
  CHECK(down->plan.steps.size() == 500 * 2 + 1);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(1));
}
