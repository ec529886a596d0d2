#include <catch2/catch.hpp>

#include "stack.h"

using namespace golden;
using engine::ContainerState;

namespace {
Wanted web_and_db() {
  return Wanted().network("default").volume("data").service("db", {.volumes = {"data"}}).service("web", {.depends_on = {on("db", Condition::healthy)}});
}
}  // namespace

TEST_CASE("an empty engine gets networks and volumes, then containers, started in dependency order", "[reconcile]") {
  CHECK(plan_of(web_and_db(), There().get()) == R"(
0              create network demo_default: not there
1              create volume demo_data: not there
2 after 0,1    create demo-db-1: not there
3 after 0      create demo-web-1: not there
4 after 2      start demo-db-1: new
5 after 4      wait until demo-db-1 is healthy: a service depends on it
6 after 3,5    start demo-web-1: new
)");
}

TEST_CASE("a second up does nothing and says what runs", "[reconcile]") {
  const auto seen = There(web_and_db()).healthy("demo-db-1").get();
  CHECK(plan_of(web_and_db(), seen) == "\n");
  CHECK(notes_of(web_and_db(), seen) == R"(Container demo-db-1 Running
Container demo-web-1 Running
Container demo-db-1 Waiting
Container demo-db-1 Healthy
)");
}

TEST_CASE("an unhealthy dependency is waited for even when everything runs", "[reconcile]") {
  const auto seen = There(web_and_db()).healthy("demo-db-1", engine::HealthState::unhealthy).get();
  CHECK(plan_of(web_and_db(), seen) == R"(
0    wait until demo-db-1 is healthy: a service depends on it
)");
}

TEST_CASE("a changed service is recreated alone", "[reconcile]") {
  const auto wanted = Wanted().network("default").service("db", {.hash = "h2"}).service("web", {.depends_on = {on("db")}});
  const auto before = Wanted().network("default").service("db").service("web", {.depends_on = {on("db")}});
  CHECK(plan_of(wanted, There(before).get()) == R"(
0            recreate demo-db-1: configuration changed [downtime]
1 after 0    start demo-db-1: recreated
)");
}

TEST_CASE("a dependent with restart: true is down while what it needs is recreated", "[reconcile]") {
  const auto edge = on("db", Condition::healthy, true);
  const auto wanted = Wanted().network("default").service("db", {.hash = "h2"}).service("web", {.depends_on = {edge}});
  const auto before = Wanted().network("default").service("db").service("web", {.depends_on = {edge}});
  CHECK(plan_of(wanted, There(before).get()) == R"(
0              stop demo-web-1: depends on db, which is recreated [downtime]
1 after 0      recreate demo-db-1: configuration changed [downtime]
2 after 1      start demo-db-1: recreated
3 after 2      wait until demo-db-1 is healthy: a service depends on it
4 after 0,3    start demo-web-1: db was recreated
)");
}

TEST_CASE("a new image recreates, and says so", "[reconcile]") {
  const auto wanted = Wanted().service("web", {.image_id = "sha256:2", .networks = {}});
  CHECK(plan_of(wanted, There(Wanted().service("web", {.networks = {}})).get()) == R"(
0            recreate demo-web-1: image img changed [downtime]
1 after 0    start demo-web-1: recreated
)");
}

TEST_CASE("the reason names what changed, and no values", "[reconcile]") {
  auto wanted = Wanted().service("web", {.hash = "h2", .networks = {}});
  Desired changed = wanted.get();
  changed.services[0].spec.env = {"LEVEL=debug", "SECRET=x"};
  changed.services[0].spec.command = {{"serve"}};
  auto there = There(Wanted().service("web", {.networks = {}}));
  there.at("demo-web-1").spec.env = {"LEVEL=info", "OLD=1"};
  CHECK(plan_of(changed, there.get()) == R"(
0            recreate demo-web-1: environment LEVEL, OLD, SECRET changed, command changed [downtime]
1 after 0    start demo-web-1: recreated
)");
}

TEST_CASE("--no-recreate leaves changed containers, --force-recreate takes unchanged ones of named services", "[reconcile]") {
  const auto wanted = Wanted().service("db", {.hash = "h2", .networks = {}}).service("web", {.networks = {}});
  const auto seen = There(Wanted().service("db", {.networks = {}}).service("web", {.networks = {}})).get();
  CHECK(plan_of(wanted, seen, {.recreate = Recreate::never, .recreate_deps = Recreate::never}) == "\n");
  CHECK(plan_of(wanted, seen, {.services = {"web"}, .recreate = Recreate::force, .recreate_deps = Recreate::never}) == R"(
0            recreate demo-web-1: forced [downtime]
1 after 0    start demo-web-1: recreated
)");
}

TEST_CASE("-V gives the new container new anonymous volumes", "[reconcile]") {
  const auto wanted = Wanted().service("db", {.hash = "h2", .networks = {}});
  CHECK(plan_of(wanted, There(Wanted().service("db", {.networks = {}})).get(), {.renew_anonymous_volumes = true}) == R"(
0            recreate demo-db-1 with new anonymous volumes: configuration changed [downtime]
1 after 0    start demo-db-1: recreated
)");
}

TEST_CASE("a one-shot that ended runs again, and its dependents wait for it", "[reconcile]") {
  const auto wanted = Wanted().service("job", {.networks = {}}).service("web", {.depends_on = {on("job", Condition::completed)}, .networks = {}});
  CHECK(plan_of(wanted, There(wanted).state("demo-job-1", ContainerState::exited).get()) == R"(
0            start demo-job-1: is not running
1 after 0    wait until demo-job-1 completed successfully: a service depends on it
)");
}

TEST_CASE("an optional dependency may fail, a missing one is not waited for", "[reconcile]") {
  const auto wanted = Wanted().service("db", {.networks = {}}).service(
      "web", {.depends_on = {on("db", Condition::healthy, false, false), on("off", Condition::started, false, false)}, .networks = {}});
  CHECK(plan_of(wanted, There().get()) == R"(
0              create demo-db-1: not there
1              create demo-web-1: not there
2 after 0      start demo-db-1: new
3 after 2      wait until demo-db-1 is healthy: a service depends on it (optional)
4 after 1,3    start demo-web-1: new
)");
}

TEST_CASE("all replicas of a dependency are started before its dependents", "[reconcile]") {
  const auto wanted = Wanted().service("db", {.replicas = 2, .networks = {}}).service("web", {.depends_on = {on("db")}, .networks = {}});
  CHECK(plan_of(wanted, There().get()) == R"(
0                create demo-db-1: not there
1                create demo-db-2: not there
2                create demo-web-1: not there
3 after 0        start demo-db-1: new
4 after 1        start demo-db-2: new
5 after 2,3,4    start demo-web-1: new
)");
}

TEST_CASE("scaling up takes the next numbers, scaling down the highest and the obsolete first", "[reconcile]") {
  const auto two = Wanted().service("web", {.replicas = 2, .networks = {}});
  const auto four = Wanted().service("web", {.replicas = 4, .networks = {}});
  CHECK(plan_of(four, There(two).get()) == R"(
0            create demo-web-3: not there
1            create demo-web-4: not there
2 after 0    start demo-web-3: new
3 after 1    start demo-web-4: new
)");
  CHECK(plan_of(two, There(four).get()) == R"(
0            stop demo-web-3: scaled down to 2 [downtime]
1 after 0    remove demo-web-3: scaled down to 2
2            stop demo-web-4: scaled down to 2 [downtime]
3 after 2    remove demo-web-4: scaled down to 2
)");
  const auto one = Wanted().service("web", {.networks = {}});
  CHECK(plan_of(one, There(two).label_of("demo-web-1", label::config_hash, "old").get()) == R"(
0            stop demo-web-1: scaled down to 1 [downtime]
1 after 0    remove demo-web-1: scaled down to 1
)");
}

TEST_CASE("scale 0 removes every container of a service", "[reconcile]") {
  CHECK(plan_of(Wanted().service("web", {.replicas = 0, .networks = {}}), There(Wanted().service("web", {.networks = {}})).get()) == R"(
0            stop demo-web-1: scaled down to 0 [downtime]
1 after 0    remove demo-web-1: scaled down to 0
)");
}

TEST_CASE("container_name allows one replica", "[reconcile]") {
  CHECK(plan_of(Wanted().service("web", {.replicas = 2, .fixed_name = "front"}), There().get()) ==
        "error: service \"web\" cannot be scaled to 2: container_name \"front\" can only be given once");
  CHECK(plan_of(Wanted().service("web", {.fixed_name = "front", .networks = {}}), There().get()) == R"(
0            create front: not there
1 after 0    start front: new
)");
}

TEST_CASE("orphans are reported, and removed before what may want their ports", "[reconcile]") {
  const engine::PortBinding port{.host_port = 8080, .container_port = 80};
  const auto before = Wanted().service("old", {.networks = {}, .ports = {port}});
  const auto wanted = Wanted().service("new", {.networks = {}, .ports = {port}});
  CHECK(notes_of(wanted, There(before).get()).find("Found orphan containers ([demo-old-1]) for this project.") != std::string::npos);
  CHECK(plan_of(wanted, There(before).get(), {.remove_orphans = true}) == R"(
0              stop demo-old-1: service old is not in the file [downtime]
1 after 0      remove demo-old-1: service old is not in the file
2              create demo-new-1: not there
3 after 0,2    start demo-new-1: new
)");
}

TEST_CASE("a running one-off is no orphan, a finished one is", "[reconcile]") {
  const auto wanted = Wanted().service("web", {.networks = {}});
  auto there = There(wanted);
  there.container(wanted, wanted.get().services[0], 9, ContainerState::running).label_of("demo-web-9", label::one_off, "True");
  CHECK(notes_of(wanted, there.get()) == "Container demo-web-1 Running\n");
  there.state("demo-web-9", ContainerState::exited);
  CHECK(notes_of(wanted, there.get()).find("demo-web-9") != std::string::npos);
}

TEST_CASE("a port moves between services only after its holder let go", "[reconcile]") {
  const engine::PortBinding port{.host_port = 8080, .container_port = 80};
  const auto before = Wanted().service("a", {.networks = {}, .ports = {port}}).service("b", {.networks = {}});
  const auto wanted = Wanted().service("a", {.hash = "h2", .networks = {}}).service("b", {.hash = "h2", .networks = {}, .ports = {port}});
  CHECK(plan_of(wanted, There(before).get()) == R"(
0              recreate demo-a-1: ports changed [downtime]
1              recreate demo-b-1: ports changed [downtime]
2 after 0      start demo-a-1: recreated
3 after 0,1    start demo-b-1: recreated
)");
}

TEST_CASE("who shares a namespace is recreated with its provider", "[reconcile]") {
  const auto before = Wanted().service("app", {.depends_on = {on("vpn")}, .network_mode = "service:vpn"}).service("vpn", {.networks = {}});
  const auto wanted = Wanted().service("app", {.depends_on = {on("vpn")}, .network_mode = "service:vpn"}).service("vpn", {.hash = "h2", .networks = {}});
  CHECK(plan_of(wanted, There(before).get()) == R"(
0              recreate demo-vpn-1: configuration changed [downtime]
1 after 0      recreate demo-app-1: shares with vpn, which is recreated [downtime]
2 after 0      start demo-vpn-1: recreated
3 after 1,2    start demo-app-1: recreated
)");
  const auto decision = reconcile(wanted, There().get(), {});
  REQUIRE(decision);
  CHECK(std::get<engine::action::CreateContainer>(decision->plan.steps[1].action).spec.network_mode == "container:demo-vpn-1");
}

TEST_CASE("create and --no-start make containers and start none", "[reconcile]") {
  CHECK(plan_of(Wanted().service("web", {.networks = {}}), There().get(), {.verb = Verb::create}) == R"(
0    create demo-web-1: not there
)");
}

TEST_CASE("--wait waits for every container", "[reconcile]") {
  const auto wanted = Wanted().service("a", {.networks = {}}).service("b", {.networks = {}});
  CHECK(plan_of(wanted, There(wanted).state("demo-b-1", ContainerState::exited).get(), {.wait = true}) == R"(
0            start demo-b-1: is not running
1 after 0    wait until demo-b-1 is running and healthy: --wait
)");
}

TEST_CASE("paused containers are unpaused", "[reconcile]") {
  const auto wanted = Wanted().service("web", {.networks = {}});
  CHECK(plan_of(wanted, There(wanted, ContainerState::paused).get()) == R"(
0    unpause demo-web-1: is paused
)");
}
