// Each folder of cases/ is a project: its files, and what loading them must print. expect.yaml and expect.json are what
// Docker Compose 2.40.3 prints for it with the folder at /cases/NAME; expect.txt is what our diagnostics print.
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "compose/load/config_output.h"

namespace fs = std::filesystem;
using namespace compose::load;

namespace {

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Case {
  std::string name;
  std::map<std::string, std::string> files;
  CommandLine line;
};

Case read_case(const fs::path& folder) {
  Case found;
  found.name = folder.filename();
  found.line.current_dir = "/cases/" + found.name;
  found.line.environment = {{"HOME", "/home/me"}, {"SET", "value"}};
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file() || entry.path().filename().string().starts_with("expect.")) continue;
    found.files.emplace(found.line.current_dir + "/" + fs::relative(entry.path(), folder).string(), read(entry.path()));
  }
  return found;
}

}  // namespace

TEST_CASE("projects load as recorded", "[load]") {
  std::size_t cases = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(SOURCE_DIR) / "tests/golden/load/cases")) {
    const Case golden = read_case(entry.path());
    INFO(golden.name);
    ++cases;
    const auto files = memory_files(golden.files);
    const LoadResult result = load_project(golden.line, *files);
    if (fs::exists(entry.path() / "expect.txt"))
      CHECK(print(result.diagnostics, result.sources, {.colour = false, .time = "TIME"}) == read(entry.path() / "expect.txt"));
    if (!fs::exists(entry.path() / "expect.yaml")) {
      CHECK_FALSE(result.project.has_value());
      continue;
    }
    INFO(print(result.diagnostics, result.sources));
    REQUIRE(result.project);
    const auto chosen = select(*result.project, {});
    CHECK(to_yaml(*chosen.project) == read(entry.path() / "expect.yaml"));
    CHECK(to_json(*chosen.project) == read(entry.path() / "expect.json"));
  }
  CHECK(cases > 20);
}
