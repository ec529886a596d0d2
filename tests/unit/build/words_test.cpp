#include <catch2/catch.hpp>

#include "engine/build/words.h"

using namespace engine::build;

namespace {

const std::map<std::string, std::string>& variables() {
  static const std::map<std::string, std::string> values = {
      {"a", "one"}, {"empty", ""}, {"path", "/usr/local/lib"}, {"words", "x y"}, {"v", "foobarfoo"}};
  return values;
}

std::optional<std::string> look_up(const std::string& name) {
  const auto found = variables().find(name);
  if (found == variables().end()) return std::nullopt;
  return found->second;
}

std::string expand(const std::string& text, ExpandOptions options = {}) {
  const auto result = expand_word(text, look_up, options);
  return result ? *result : "error: " + result.error().message;
}

}  // namespace

TEST_CASE("variables, quotes and escapes are replaced as BuildKit does", "[build]") {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"$a", "one"},
      {"${a}b", "oneb"},
      {"$ab", ""},
      {"$", "$"},
      {"$1", ""},
      {"a$", "a$"},
      {"\\$a", "$a"},
      {"'$a'", "$a"},
      {"\"$a\"", "one"},
      {"\"\\$a\"", "$a"},
      {"\"\\n\"", "\\n"},
      {"\\n", "n"},
      {"a'b'\"c\"", "abc"},
      {"${a:-w}", "one"},
      {"${none:-w}", "w"},
      {"${none-w}", "w"},
      {"${empty:-w}", "w"},
      {"${empty-w}", ""},
      {"${a:+w}", "w"},
      {"${none:+w}", ""},
      {"${empty:+w}", ""},
      {"${empty+w}", "w"},
      {"${none:-${a}}", "one"},
      {"${none:-'$a'}", "$a"},
      {"${a:?no}", "one"},
      {"${none:?it is missing}", "error: none: it is missing"},
      {"${none?}", "error: none: is not allowed to be unset"},
      {"${path#*/}", "usr/local/lib"},
      {"${path##*/}", "lib"},
      {"${path%/*}", "/usr/local"},
      {"${path%%/*}", ""},
      {"${v/foo/X}", "Xbarfoo"},
      {"${v//foo/X}", "XbarX"},
      {"${v/b?r/}", "foofoo"},
      {"${path//[a-z]/X}", "/usr/local/lib"},
      {"${path//\\//_}", "_usr_local_lib"},
      {"${empty:?}", "error: empty: is not allowed to be empty"},
      {"${a/b}", "error: syntax error: missing '/' in ${}"},
      {"${a#\\x}", "error: invalid pattern (\\x) in substitution: invalid escape '\\x'"},
      {"<< E", "<< E"},
      {"${a", "error: syntax error: missing '}'"},
      {"${}", "error: syntax error: bad substitution"},
      {"${a:}", "error: unsupported modifier (:}) in substitution"},
      {"${a=b}", "error: unsupported modifier (=) in substitution"},
      {"'open", "error: unexpected end of statement while looking for matching single-quote"},
      {"\"open", "error: unexpected end of statement while looking for matching double-quote"},
  };
  for (const auto& [text, wanted] : rows) {
    INFO(text);
    CHECK(expand(text) == wanted);
  }
}

TEST_CASE("unset variables and quotes can be kept for display", "[build]") {
  CHECK(expand("$none ${none} \"$a\"", {.keep_quotes = true, .keep_unset = true}) == "$none ${none} \"one\"");
  CHECK(expand("${none:-w} ${a:-w}", {.keep_unset = true}) == "${none:-w} one");
  CHECK(expand("it's $a", {.ignore_quotes = true}) == "it's one");
  CHECK(expand("`$a", {.escape = '`'}) == "$a");
}

TEST_CASE("a variable's blanks split words, quoted ones do not", "[build]") {
  CHECK(*expand_words("$words z", look_up) == std::vector<std::string>{"x", "y", "z"});
  CHECK(*expand_words("\"x y\" z", look_up) == std::vector<std::string>{"x y", "z"});
}

TEST_CASE("ENV's words keep their quotes until they are expanded", "[build]") {
  CHECK(split_quoted("a=\"b c\" d='e f' g=h\\ i", '\\') == std::vector<std::string>{"a=\"b c\"", "d='e f'", "g=h\\ i"});
  CHECK(split_quoted("  a=1   b= ", '\\') == std::vector<std::string>{"a=1", "b="});
}

TEST_CASE("a word that cannot be read is quoted as Go quotes it", "[build]") {
  const auto unset = [](const std::string&) { return std::optional<std::string>(); };
  CHECK(expand_word("\"b", unset).error().text() == "failed to process \"\\\"b\": unexpected end of statement while looking for matching double-quote");
}
