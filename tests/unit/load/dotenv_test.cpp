#include <catch2/catch.hpp>

#include "compose/load/dotenv.h"

using namespace compose::load;

namespace {

const Lookup shell = [](std::string_view name) -> std::optional<std::string> {
  if (name == "HOME") return "/home/me";
  return std::nullopt;
};

std::string read(std::string_view text, bool raw = false) {
  const auto result = raw ? parse_raw_env(text, shell) : parse_dotenv(text, shell);
  if (!result.error.empty()) return "line " + std::to_string(result.error_line) + ": " + result.error;
  std::string out;
  for (const auto& [name, value] : result.variables) out += name + "=[" + value + "]";
  return out;
}

}  // namespace

TEST_CASE("plain, exported, colon and commented lines are read", "[load]") {
  CHECK(read("A=1\nexport B = two words  # comment\n# note\n\nC: yaml\nD=a#b\nE=\n") ==
        "A=[1]B=[two words]C=[yaml]D=[a#b]E=[]");
  CHECK(read("\xEF\xBB\xBF" "A=1\r\nB=2\r\n") == "A=[1]B=[2]");
}

TEST_CASE("quotes keep text, double quotes expand escapes and variables", "[load]") {
  CHECK(read("A='$HOME \\n'\nB=\"x\\ty $HOME \\$HOME\"\nC=\"line\nline\" # c\nD='it\\'s'\n") ==
        "A=[$HOME \\n]B=[x\ty /home/me $HOME]C=[line\nline]D=[it's]");
}

TEST_CASE("values see the shell first, then earlier lines", "[load]") {
  CHECK(read("HOME=other\nA=$HOME\nB=${A}/x\nC=${NOPE:-d}\n") == "HOME=[other]A=[/home/me]B=[/home/me/x]C=[d]");
}

TEST_CASE("a name alone is inherited or left out", "[load]") {
  CHECK(read("HOME\nNOPE\nA=1\nHOME\n") == "HOME=[/home/me]A=[1]HOME=[/home/me]");
  // Without a line end behind it, it is the value of a variable without a name, as Docker Compose reads it.
  CHECK(read("A=1\nHOME") == "A=[1]=[HOME]");
  CHECK(read("A=\"a\"b") == "A=[a]=[b]");
}

TEST_CASE("values see what earlier files set, but their own file first", "[load]") {
  const auto result = parse_dotenv("B=$A\nA=2\nC=$A\n", shell, {{"A", "1"}});
  REQUIRE(result.variables.size() == 3);
  CHECK(result.variables[0].second == "1");
  CHECK(result.variables[2].second == "2");
}

TEST_CASE("malformed env files name their line", "[load]") {
  CHECK(read("A=1\nB!=2\n") == "line 2: unexpected character '!' in a variable name");
  CHECK(read("A=1\n\nB=\"open\n\n") == "line 3: unterminated quoted value");
  CHECK(read("A B=2\n") == "line 1: a variable name cannot contain a space");
  CHECK(read("A=${\n") == "line 1: invalid variable in '${'");
}

TEST_CASE("the raw format takes values literally", "[load]") {
  CHECK(read("A=\"$HOME\" # x\n#c\nHOME\nB=\n", true) == "A=[\"$HOME\" # x]HOME=[/home/me]B=[]");
  CHECK(read("export A=1\n", true) == "line 1: a variable name cannot contain a space");
}
