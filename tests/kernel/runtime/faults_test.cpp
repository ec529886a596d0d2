// Every wrapped system call of a creation fails once: the error is reported and nothing stays.
#include <catch2/catch.hpp>

#include "base/sys.h"
#include "tests/kernel/runtime/bundle.h"

using runtime_test::Bundle;

TEST_CASE("a creation that fails at any system call says why and leaves nothing", "[ns]") {
  NEED_CONTAINERS();
  int succeeded = 0;
  long at = 1;
  // The counter is per process: a child continues its parent's, so one sweep covers the runtime's calls and init's.
  for (; at < 2000 && succeeded < 25; ++at) {
    Bundle bundle;
    bundle.program = "compose-runtime-faults";
    bundle.probe({"exit", "0"});
    bundle.config.linux_.namespaces = runtime::spec::docker::namespaces(true);
    bundle.config.mounts.push_back({.destination = "/data", .type = "bind", .source = bundle.folder(), .options = {"rbind", "ro"}});
    ::setenv("COMPOSE_FAULT_AT", std::to_string(at).c_str(), 1);
    const auto seen = bundle.run();
    ::unsetenv("COMPOSE_FAULT_AT");
    INFO("fault at call " << at << ": code " << seen.code << ", " << seen.err);
    if (seen.code == 0) {
      ++succeeded;  // calls whose failure is harmless (caches, optional files) and finally those past the end
    } else {
      succeeded = 0;
      CHECK(seen.code != -3);
      CHECK(seen.err != "");
    }
    // What a failing removal had to leave, a second one without faults takes away.
    if (bundle.leftovers() != "") CHECK(bundle.runtime({"delete", "--force", bundle.id()}).code == 0);
    CHECK(bundle.leftovers() == "");
  }
  CHECK(at > 100);
}

TEST_CASE("a verb that fails at any system call leaves a container that can be deleted", "[ns]") {
  NEED_CONTAINERS();
  const auto command = [](const Bundle& bundle, const std::string& verb) -> std::vector<std::string> {
    if (verb == "create") return {"create", "--bundle", bundle.folder(), bundle.id()};
    if (verb == "exec") return {"exec", bundle.id(), "/bin/probe", "exit", "0"};
    if (verb == "delete") return {"delete", "--force", bundle.id()};
    return {verb, bundle.id()};
  };
  int failed = 0;
  for (const std::string verb : {"create", "start", "exec", "pause", "delete"}) {
    int succeeded = 0;
    for (long at = 1; at < 2000 && succeeded < 6; ++at) {
      Bundle bundle;
      bundle.probe({"hold"});
      bundle.write_config();
      if (verb != "create") REQUIRE(bundle.runtime(command(bundle, "create")).code == 0);
      if (verb == "exec" || verb == "pause") REQUIRE(bundle.runtime(command(bundle, "start")).code == 0);
      bundle.program = "compose-runtime-faults";
      ::setenv("COMPOSE_FAULT_AT", std::to_string(at).c_str(), 1);
      const auto seen = bundle.runtime(command(bundle, verb));
      ::unsetenv("COMPOSE_FAULT_AT");
      bundle.program = "compose-runtime";
      INFO(verb << " with a fault at call " << at << ": code " << seen.code << ", " << seen.err);
      CHECK(seen.code != -3);
      succeeded = seen.code == 0 ? succeeded + 1 : 0;
      if (seen.code != 0) {
        ++failed;
        CHECK(seen.err != "");
      }
      if (verb == "create" && seen.code != 0) CHECK(bundle.leftovers() == "");
      CHECK(bundle.runtime({"delete", "--force", bundle.id()}).code == 0);
      CHECK(bundle.leftovers() == "");
    }
  }
  CHECK(failed > 40);
}
