#include <catch2/catch.hpp>

#include "stack.h"

using namespace golden;

TEST_CASE("a changed network recreates it and reconnects its containers", "[reconcile]") {
  const auto before = Wanted().network("front").service("web", {.networks = {"front"}});
  const auto wanted = Wanted().network("front", "n2").service("web", {.networks = {"front"}});
  CHECK(plan_of(wanted, There(before).get()) == R"(
0              stop demo-web-1: network front changed [downtime]
1 after 0      disconnect demo-web-1 from demo_front: network front changed
2 after 1      remove network demo_front: config differs [downtime]
3 after 2      create network demo_front: config differs
4 after 1,3    connect demo-web-1 to demo_front: network demo_front changed
5 after 4      start demo-web-1: was running
)");
}

TEST_CASE("a changed network and a changed service give one recreate", "[reconcile]") {
  const auto before = Wanted().network("front").service("web", {.networks = {"front"}});
  const auto wanted = Wanted().network("front", "n2").service("web", {.hash = "h2", .networks = {"front"}});
  CHECK(plan_of(wanted, There(before).get()) == R"(
0                stop demo-web-1: network front changed [downtime]
1 after 0        disconnect demo-web-1 from demo_front: network front changed
2 after 1        remove network demo_front: config differs [downtime]
3 after 2        create network demo_front: config differs
4 after 0,1,3    recreate demo-web-1: configuration changed [downtime]
5 after 4        start demo-web-1: recreated
)");
}

TEST_CASE("external networks and volumes must be there, and are left alone", "[reconcile]") {
  CHECK(plan_of(Wanted().network("shared", "", true), There().get()) == "error: network shared declared as external, but could not be found");
  CHECK(plan_of(Wanted().volume("shared", "", true), There().get()) == "error: external volume \"shared\" not found");
  const auto wanted = Wanted().network("shared", "", true).volume("kept", "", true);
  CHECK(plan_of(wanted, There(wanted).get()) == "\n");
}

TEST_CASE("a changed volume is kept unless the user agrees to lose its data", "[reconcile]") {
  const auto before = Wanted().volume("data").service("db", {.networks = {}, .volumes = {"data"}});
  const auto wanted = Wanted().volume("data", "v2").service("db", {.networks = {}, .volumes = {"data"}});
  CHECK(plan_of(wanted, There(before).get()) == "\n");
  const auto decision = reconcile(wanted, There(before).get(), {});
  REQUIRE(decision);
  CHECK(decision->changed_volumes == std::vector<std::string>{"demo_data"});
  CHECK(plan_of(wanted, There(before).get(), {.recreate_volumes = true}) == R"(
0              stop demo-db-1: volume data changed [downtime]
1 after 0      remove demo-db-1: volume data changed
2 after 1      remove volume demo_data: config differs [data loss]
3 after 2      create volume demo_data: config differs
4 after 1,3    create demo-db-1: not there
5 after 4      start demo-db-1: new
)");
}

TEST_CASE("things of other projects are used with a warning", "[reconcile]") {
  auto wanted = Wanted().network("default").volume("data");
  auto there = There(wanted);
  there.snapshot_.networks[0].spec.labels[std::string(label::project)] = "other";
  there.snapshot_.volumes[0].spec.labels[std::string(label::project)] = "other";
  CHECK(plan_of(wanted, there.get()) == "\n");
  CHECK(notes_of(wanted, there.get()) ==
        "warning: a network with name demo_default exists but was not created for project \"demo\".\nSet `external: true` to use an existing network\n"
        "warning: volume \"demo_data\" already exists but was created for project \"other\" (expected \"demo\"). Use `external: true` to use an existing volume\n");
}
