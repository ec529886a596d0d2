#include <catch2/catch.hpp>

#include "engine/build/ignore.h"

using namespace engine::build;

namespace {

bool ignored(const std::string& rules, const std::string& path) {
  const auto parsed = IgnoreRules::parse(rules);
  REQUIRE(parsed);
  return parsed->ignored(path);
}

}  // namespace

TEST_CASE("globs match like Go's filepath.Match", "[build]") {
  const std::vector<std::tuple<std::string, std::string, bool>> rows = {
      {"abc", "abc", true},      {"*", "abc", true},         {"*c", "abc", true},        {"a*", "a", true},
      {"a*", "ab/c", false},     {"a*/b", "abc/b", true},    {"a*/b", "a/c/b", false},   {"a*b*c*d*e*/f", "axbxcxdxe/f", true},
      {"ab[c]", "abc", true},    {"ab[b-d]", "abc", true},   {"ab[e-g]", "abc", false},  {"ab[^c]", "abc", false},
      {"ab[^e-g]", "abc", true}, {"a\\*b", "a*b", true},     {"a\\*b", "ab", false},     {"a?b", "a/b", false},
      {"a[^a]b", "a☺b", true},   {"a?b", "a☺b", true},       {"*x", "xxx", true},        {"a[", "a", false},
  };
  for (const auto& [pattern, path, wanted] : rows) {
    INFO(pattern << " on " << path);
    CHECK(glob_match(pattern, path) == wanted);
  }
  CHECK_FALSE(check_glob("a[").has_value());
  CHECK_FALSE(check_glob("a\\").has_value());
  for (const char* wrong : {"[]a]", "[]", "[^]", "[-]", "[-x]", "[x-]", "[a-b-c]", "[a-", "[a", "[\\"}) {
    INFO(wrong);
    CHECK_FALSE(check_glob(wrong).has_value());
  }
  for (const char* right : {"[a]", "[a-c]", "[^a-c]x", "[\\]]", "[\\-x]", "[x\\-]", "[ab-cd]", "[[]", "[a-c]*[!x]"}) {
    INFO(right);
    CHECK(check_glob(right).has_value());
  }
}

TEST_CASE(".dockerignore: the last matching pattern wins", "[build]") {
  CHECK(ignored("*.md\n!README.md\n", "a.md"));
  CHECK_FALSE(ignored("*.md\n!README.md\n", "README.md"));
  CHECK(ignored("!README.md\n*.md\n", "README.md"));
  CHECK_FALSE(ignored("*.md\n", "docs/a.md"));
  CHECK(ignored("**/*.md\n", "docs/deep/a.md"));
  CHECK(ignored("**/*.md\n", "a.md"));
  CHECK(ignored("node_modules\n", "node_modules/x/y"));
  CHECK(ignored("/build/\n", "build/x"));
  CHECK_FALSE(ignored("/build/\n", "src/build"));
  CHECK(ignored("a/**/z\n", "a/b/c/z"));
  CHECK(ignored("a/**/z\n", "a/z"));
  CHECK(ignored("a/**\n", "a/b"));
  CHECK(ignored("*\n!src\n", "lib/x"));
  CHECK_FALSE(ignored("*\n!src\n", "src/x/y"));
  CHECK(ignored("*\n!src\nsrc/secret\n", "src/secret"));
}

TEST_CASE(".dockerignore: comments only in the first column, blanks trimmed, BOM dropped", "[build]") {
  CHECK_FALSE(ignored("# a\n", "# a"));
  CHECK(ignored(" #a\n", "#a"));
  CHECK(ignored("\xEF\xBB\xBF" "a\r\n\n  b  \n", "a"));
  CHECK(ignored("a\n  b  \n", "b"));
  CHECK(ignored("./a/../c\n", "c"));
  CHECK_FALSE(IgnoreRules::parse("!\n").has_value());
  for (const char* wrong : {"a[\n", "[]a]\n", "[^]a]\n", "[-a]\n", "!/\n"}) CHECK_FALSE(IgnoreRules::parse(wrong).has_value());
}

TEST_CASE("paths are cleaned like Go's filepath.Clean", "[build]") {
  CHECK(clean_path("") == ".");
  CHECK(clean_path("a//b/./c/..") == "a/b");
  CHECK(clean_path("../../a") == "../../a");
  CHECK(clean_path("/../a") == "/a");
  CHECK(clean_path("/") == "/");
}
