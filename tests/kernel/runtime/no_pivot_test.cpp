// --no-pivot: nothing of the host's mounts may be of use to the container, and the host keeps them.
#include <catch2/catch.hpp>

#include "base/sys.h"
#include "tests/kernel/runtime/bundle.h"

using runtime_test::Bundle;

namespace {

/// May make user namespaces and mount in them; /proc is masked as by Docker.
void allow_user_namespaces(Bundle& bundle) {
  bundle.config.linux_.seccomp.reset();
  const auto all = runtime::spec::docker::all_capabilities();
  bundle.config.process->capabilities = runtime::spec::docker::capability_sets(all, true);
  bundle.probe({"call", "own-procfs"});
}

std::size_t procfs_mounts() {
  const std::string table = *base::sys::read_file("/proc/self/mountinfo");
  std::size_t count = 0;
  for (std::size_t at = table.find(" - proc "); at != std::string::npos; at = table.find(" - proc ", at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("without pivot_root no procfs of the host is left to undo the container's masks", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  allow_user_namespaces(bundle);
  const std::size_t before = procfs_mounts();
  CHECK(bundle.run().out == "own-procfs EPERM\n");
  CHECK(bundle.run({"--no-pivot"}).out == "own-procfs EPERM\n");
  // Hooks want the root at its own path: from there it is moved.
  bundle.config.hooks.create_runtime = {{.path = "/bin/true", .args = {}, .env = {}, .timeout_s = {}}};
  CHECK(bundle.run({"--no-pivot"}).out == "own-procfs EPERM\n");
  bundle.config.hooks = {};
  bundle.config.linux_.masked_paths.clear();
  bundle.config.linux_.readonly_paths.clear();
  CHECK(bundle.run({"--no-pivot"}).out == "own-procfs ok\n");  // the container's own hides nothing
  CHECK(procfs_mounts() == before);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("in a user namespace the host's procfs can't be unmounted and is covered", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  allow_user_namespaces(bundle);
  bundle.config.linux_.namespaces.push_back({.type = "user", .path = ""});
  bundle.config.linux_.uid_mappings = bundle.config.linux_.gid_mappings = {{.container_id = 0, .host_id = 100000, .size = 65536}};
  bundle.config.process->oom_score_adj.reset();
  const std::size_t before = procfs_mounts();
  const auto pivoted = bundle.run();
  INFO(pivoted.err);
  CHECK(pivoted.out == "own-procfs EPERM\n");
  const auto seen = bundle.run({"--no-pivot"});
  INFO(seen.err);
  CHECK(seen.out == "own-procfs EPERM\n");
  CHECK(procfs_mounts() == before);
}

TEST_CASE("a container without pivot_root has its mounts, its exec and its end like any other", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.probe({"hold"});
  REQUIRE(bundle.start({"--no-pivot"}).code == 0);
  const auto seen = bundle.exec({}, {"/bin/probe", "report"});
  INFO(seen.err);
  CHECK(seen.one("cwd") == "/");
  CHECK(runtime_test::mount_line(seen, "/dev/shm") != "");
  CHECK(bundle.runtime({"delete", "--force", bundle.id()}).code == 0);
  CHECK(bundle.leftovers() == "");
}
