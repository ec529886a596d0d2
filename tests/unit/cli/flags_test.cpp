#include <catch2/catch.hpp>

#include <set>

#include "compose/cli/flags.h"
#include "compose/cli/verbs.h"

using namespace compose::cli;

namespace {

constexpr Flag flags[] = {
    {"detach", 'd', FlagKind::boolean, ""}, {"tail", 'n', FlagKind::text, ""}, {"env", 'e', FlagKind::list, ""},
    {"timeout", 't', FlagKind::number, ""}, {"sbom", 0, FlagKind::text, "", "", "", "is not supported yet"},
    {"watch", 'w', FlagKind::boolean, "", "", "", "is not supported yet"},
};

std::string error_of(std::vector<std::string> words) {
  const auto parsed = parse(flags, words, true);
  return parsed ? "" : parsed.error().text();
}

}  // namespace

TEST_CASE("flags are read in every form pflag knows", "[cli]") {
  const std::vector<std::string> words{"a", "--tail=5", "-d", "b", "-eX=1", "-e", "Y=2", "--timeout", "7", "--", "--c"};
  const auto parsed = parse(flags, words, true);
  REQUIRE(parsed);
  CHECK(parsed->arguments == std::vector<std::string>{"a", "b", "--c"});
  CHECK(parsed->text("tail") == "5");
  CHECK(parsed->on("detach"));
  CHECK(parsed->list("env") == std::vector<std::string>{"X=1", "Y=2"});
  CHECK(parsed->number("timeout") == 7);
}

TEST_CASE("letters are grouped, booleans may be switched off", "[cli]") {
  const std::vector<std::string> words{"-dn3", "--watch=false"};
  const auto parsed = parse(flags, words, true);
  REQUIRE(parsed);
  CHECK(parsed->on("detach"));
  CHECK(parsed->text("n").empty());
  CHECK(parsed->text("tail") == "3");
  CHECK_FALSE(parsed->on("watch", true));
}

TEST_CASE("flags end at the first argument when the rest is a command", "[cli]") {
  const std::vector<std::string> words{"-d", "web", "-e", "x"};
  std::size_t used = 0;
  const auto parsed = parse(flags, words, false, &used);
  REQUIRE(parsed);
  CHECK(used == 1);
  CHECK(parsed->arguments == std::vector<std::string>{"web", "-e", "x"});
}

TEST_CASE("mistakes are told in pflag's words", "[cli]") {
  CHECK(error_of({"--bogus"}) == "unknown flag: --bogus");
  CHECK(error_of({"-x"}) == "unknown shorthand flag: 'x' in -x");
  CHECK(error_of({"--tail"}) == "flag needs an argument: --tail");
  CHECK(error_of({"-t", "soon"}) == "invalid argument \"soon\" for \"-t, --timeout\" flag: strconv.ParseInt: parsing \"soon\": invalid syntax");
}

TEST_CASE("a flag that cannot be honoured is refused, never ignored", "[cli]") {
  CHECK(error_of({"--sbom", "true"}) == "--sbom is not supported yet");
  CHECK(error_of({"-w"}) == "--watch is not supported yet");
  CHECK(error_of({"--watch=false"}).empty());
}

TEST_CASE("the table has no flag twice, and every verb is run or refused", "[cli]") {
  for (const auto& verb : verbs()) {
    INFO(verb.name);
    std::set<std::string_view> names;
    std::set<char> letters;
    for (const auto& flag : verb.flags) {
      CHECK(names.insert(flag.name).second);
      if (flag.letter != 0) CHECK(letters.insert(flag.letter).second);
    }
    CHECK((verb.handler != nullptr) != !verb.refused.empty());
    CHECK(verb_help(verb).starts_with("Usage:"));
  }
}

TEST_CASE("help wraps at eighty columns", "[cli]") {
  const auto text = verb_help(*find_verb("up"));
  CHECK(text.find("  -d, --detach") != std::string::npos);
  CHECK(text.find("--watch") != std::string::npos);
  std::size_t at = 0;
  while (at < text.size()) {
    const auto end = std::min(text.find('\n', at), text.size());
    CHECK(end - at <= 81);
    at = end + 1;
  }
}
