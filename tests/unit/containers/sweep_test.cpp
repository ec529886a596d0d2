#include <catch2/catch.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "engine/api/paths.h"
#include "engine/containers/root.h"
#include "tests/support/support.h"

using namespace std::chrono_literals;
namespace fs = std::filesystem;

TEST_CASE("folders of containers without a record are removed once they are old") {
  support::TempDir dir;
  ::setenv("COMPOSE_STATE_DIR", dir.path().c_str(), 1);
  engine::containers::sweep_files({}, 0s);  // nothing there yet
  for (const char* id : {"known", "young", "left"}) {
    dir.write("containers/" + std::string(id) + "/upper/file", "x");
    const auto age = std::string(id) == "young" ? 0min : 11min;
    fs::last_write_time(engine::paths::container(id), fs::file_time_type::clock::now() - age);
  }
  engine::containers::sweep_files({"known"}, 10min);
  CHECK(fs::exists(engine::paths::container("known") / "upper/file"));
  CHECK(fs::exists(engine::paths::container("young") / "upper/file"));
  CHECK_FALSE(fs::exists(engine::paths::container("left")));
}
