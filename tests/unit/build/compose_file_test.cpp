#include <catch2/catch.hpp>
#include <fstream>

#include "engine/build/compose_file.h"
#include "tests/support/support.h"

using namespace engine::build;
namespace fs = std::filesystem;

TEST_CASE("fetched Compose files go when they are old and no container needs them", "[build]") {
  support::TempDir dir;
  const fs::path root = dir.path();
  const auto now = fs::file_time_type::clock::now();
  for (const auto* name : {"new", "old", "old-but-mounted", ".leaving-half"}) {
    fs::create_directories(root / name / "data");
    std::ofstream(root / name / "compose.yaml") << "services: {}\n";
    const bool is_new = std::string(name) == "new";
    fs::last_write_time(root / name, is_new ? now : now - std::chrono::days(40));
  }
  prune_compose_files(root, now - std::chrono::days(30), [](const std::string& name) { return name == "old-but-mounted"; });
  CHECK(fs::exists(root / "new" / "compose.yaml"));
  CHECK(fs::exists(root / "old-but-mounted" / "compose.yaml"));
  CHECK_FALSE(fs::exists(root / "old"));
  CHECK_FALSE(fs::exists(root / ".leaving-half"));
  CHECK(std::distance(fs::directory_iterator(root), fs::directory_iterator()) == 2);
}
