#include <catch2/catch.hpp>

#include "compose/load/template.h"

using namespace compose::load;

namespace {

const Lookup lookup = [](std::string_view name) -> std::optional<std::string> {
  if (name == "SET") return "value";
  if (name == "EMPTY") return "";
  if (name == "DOLLAR") return "$SET";
  return std::nullopt;
};

std::string replaced(std::string_view text) {
  const auto result = substitute(text, lookup);
  if (result.invalid) return "invalid";
  return result.error.empty() ? result.text : "error: " + result.error;
}

}  // namespace

TEST_CASE("variables are replaced with every operator", "[load]") {
  CHECK(replaced("$SET ${SET} $NOPE|${NOPE}|") == "value value ||");
  CHECK(replaced("${NOPE-d} ${NOPE:-d} ${EMPTY-d} ${EMPTY:-d} ${SET:-d}") == "d d  d value");
  CHECK(replaced("${NOPE+a}|${SET+a}|${EMPTY+a}|${EMPTY:+a}|${SET:+a}") == "|a|a||a");
  CHECK(replaced("${SET?w}${SET:?w}") == "valuevalue");
  CHECK(replaced("${NOPE?w}") == "error: required variable NOPE is missing a value: w");
  CHECK(replaced("${EMPTY:?}") == "error: required variable EMPTY is missing a value");
  CHECK(replaced("${EMPTY?w}") == "");
}

TEST_CASE("defaults nest and values are not looked into again", "[load]") {
  CHECK(replaced("${NOPE:-${ALSO:-${SET}}}e") == "valuee");
  CHECK(replaced("${NOPE:-a${SET}b}") == "avalueb");
  CHECK(replaced("${DOLLAR}") == "$SET");
  CHECK(replaced("${NOPE:-{}}") == "{}");
}

TEST_CASE("a dollar that starts no variable stays, two are one", "[load]") {
  CHECK(replaced("$ $1 a$ $$SET $$$SET") == "$ $1 a$ $SET $value");
}

TEST_CASE("malformed variables are refused", "[load]") {
  for (const auto* text : {"${", "${}", "${A", "${1}", "${A b}", "${A:}", "${A:-x", "${A:-x\ny}"}) {
    INFO(text);
    CHECK(replaced(text) == "invalid");
  }
}

TEST_CASE("every unset variable is reported once per occurrence, also in defaults that are not needed", "[load]") {
  CHECK(substitute("$A ${A} ${SET:-$B} ${C:-x}", lookup).unset == std::vector<std::string>{"A", "A", "B"});
}

TEST_CASE("deep nesting and long results end in an error", "[load]") {
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "${A:-";
  deep += std::string(1000, '}');
  CHECK(replaced(deep) == "error: variables are nested too deeply");
  CHECK(substitute("${SET}${SET}${SET}", lookup, 8).error == "the value is too long");
}

TEST_CASE("the variables of a text are listed with defaults", "[load]") {
  const auto found = variables_in("${A:-x$B} $$C ${D:?why} ${E+alt}");
  REQUIRE(found.size() == 4);
  CHECK((found[0].name == "A" && found[0].default_value == "x$B"));
  CHECK(found[1].name == "B");
  CHECK((found[2].name == "D" && found[2].required));
  CHECK((found[3].name == "E" && found[3].alternate == "alt"));
}

TEST_CASE("a value of very many variables is read once, not once for each", "[load][template]") {
  std::string text, expected;
  for (int i = 0; i < 200'000; ++i) {
    text += "${U:-b}";
    expected += 'b';
  }
  // Looking for the end of the line with each would read 140 GB.
  CHECK(substitute(text, [](std::string_view) { return std::optional<std::string>(); }).text == expected);
  std::string open;
  for (int i = 0; i < 200'000; ++i) open += "${U:-";
  CHECK(variables_in(open).size() <= 101);
}
