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

namespace {

/// What globs mean, without any cleverness: every split is tried.
bool plainly(std::string_view pattern, std::string_view path, bool deep) {
  if (pattern.empty()) return path.empty();
  if (deep && pattern.starts_with("**")) {
    while (pattern.starts_with('*')) pattern.remove_prefix(1);
    if (pattern.starts_with('/')) pattern.remove_prefix(1);
    if (pattern.empty() || plainly(pattern, path, deep)) return true;
    for (std::size_t i = 0; i < path.size(); ++i)
      if (path[i] == '/' && plainly(pattern, path.substr(i + 1), deep)) return true;
    return false;
  }
  if (pattern.front() == '*') {
    for (std::size_t i = 0; i <= path.size(); ++i) {
      if (plainly(pattern.substr(1), path.substr(i), deep)) return true;
      if (i < path.size() && path[i] == '/') return false;
    }
    return false;
  }
  if (path.empty() || (pattern.front() == '?' ? path.front() == '/' : pattern.front() != path.front())) return false;
  return plainly(pattern.substr(1), path.substr(1), deep);
}

}  // namespace

TEST_CASE("globs mean what all their splits mean", "[build]") {
  unsigned seed = 7;
  const auto random = [&seed](const char* letters, std::size_t length) {
    std::string text;
    for (std::size_t i = 0; i < length; ++i) text += letters[(seed = seed * 1103515245U + 12345U) >> 16U & 7U];
    return text;
  };
  for (int i = 0; i < 12'000; ++i) {
    const auto pattern = random("ab**?/*/", 1 + static_cast<std::size_t>(i % 8)), path = random("aab/ab/b", 1 + static_cast<std::size_t>(i % 7));
    INFO(pattern << " on " << path);
    REQUIRE(glob_match(pattern, path) == plainly(pattern, path, false));
    // As rules the whole path alone: a folder that is ignored takes along what is in it.
    const auto rules = IgnoreRules::parse(pattern + "\n");
    const auto clean = clean_path("/" + pattern).substr(1), whole = clean_path("/" + path).substr(1);
    if (!rules || clean.empty()) continue;
    bool wanted = plainly(clean, whole, true);
    for (auto slash = whole.find('/'); slash != std::string::npos; slash = whole.find('/', slash + 1)) wanted = wanted || plainly(clean, whole.substr(0, slash), true);
    REQUIRE(rules->ignored(whole) == wanted);
  }
}

TEST_CASE("a glob of many stars takes no longer than one of few", "[build]") {
  std::string pattern, path;
  for (int i = 0; i < 200; ++i) pattern += i % 5 == 0 ? "**/" : "*a?*a";
  for (int i = 0; i < 4000; ++i) path += i % 50 == 49 ? '/' : 'a';
  CHECK_FALSE(glob_match(pattern + "b", path));
  CHECK_FALSE(IgnoreRules::parse(pattern + "b\n")->ignored(path));
}
