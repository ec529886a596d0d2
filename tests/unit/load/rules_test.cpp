#include <catch2/catch.hpp>

#include <algorithm>
#include <fstream>

#include "compose/load/rules.h"

using namespace compose::load;

TEST_CASE("every attribute of the Compose Specification has a row", "[load]") {
  std::ifstream list(std::string(SOURCE_DIR) + "/tests/unit/load/attributes.txt");
  REQUIRE(list);
  const auto rows = attribute_paths();
  std::string path, missing;
  std::size_t count = 0;
  while (std::getline(list, path)) {
    if (path.empty() || path.starts_with('#')) continue;
    ++count;
    if (std::find(rows.begin(), rows.end(), path) == rows.end()) missing += path + "\n";
  }
  CHECK(missing.empty());
  INFO(missing);
  CHECK(count > 300);
}

TEST_CASE("the table names no attribute the specification does not have", "[load]") {
  std::ifstream list(std::string(SOURCE_DIR) + "/tests/unit/load/attributes.txt");
  std::vector<std::string> known;
  for (std::string path; std::getline(list, path);) known.push_back(path);
  std::string unknown;
  for (const auto& path : attribute_paths())
    if (std::find(known.begin(), known.end(), path) == known.end()) unknown += path + "\n";
  CHECK(unknown == "");
}
