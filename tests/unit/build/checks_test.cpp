#include <catch2/catch.hpp>

#include "engine/build/checks.h"

using namespace engine::build;
using base::Result;

namespace {

/// A base image that sets PATH and NODE_VERSION; "unknown" is not known, "shell" has one, "arm" is for arm64, "trigger" has triggers.
Result<std::optional<engine::images::ImageConfig>> base_of(const Stage& stage) {
  if (stage.base == "unknown") return std::optional<engine::images::ImageConfig>();
  engine::images::ImageConfig config;
  config.os = "linux";
  config.architecture = stage.base == "arm" ? "arm64" : "amd64";
  config.env = {"PATH=/bin", "NODE_VERSION=20"};
  if (stage.base == "shell") config.shell = {"/bin/bash", "-c"};
  if (stage.base == "trigger") config.on_build = {"CMD x", "WORKDIR y", "ENV A=$NOPE"};
  return std::optional(config);
}

struct Asked {
  std::string options, ignored, target, platform = "linux/amd64";
  bool every_stage = true;
};

Checked checked(const std::string& text, const Asked& asked = {}) {
  Span where;
  const auto file = parse_dockerfile("Dockerfile", text, where);
  REQUIRE(file);
  StageOptions stages;
  stages.target = asked.target;
  stages.platform_args = platform_arguments(asked.platform, "linux/amd64");
  const auto plan = plan_stages(*file, stages, where);
  INFO((plan ? "" : plan.error().text()));
  REQUIRE(plan);
  const auto checks = CheckOptions::parse(asked.options.empty() ? file->check : asked.options);
  REQUIRE(checks);
  const auto rules = IgnoreRules::parse(asked.ignored);
  return check_dockerfile(*file, *plan, stages, *checks, {.ignore = &*rules, .base = base_of, .platform = asked.platform, .every_stage = asked.every_stage});
}

/// "rule:line rule:line …" of a Dockerfile.
std::string found(const std::string& text, const Asked& asked = {}) {
  std::string all;
  for (const auto& one : checked(text, asked).findings) all += (all.empty() ? "" : " ") + one.rule + ":" + std::to_string(one.where.first);
  return all;
}

/// The first finding's text.
std::string said(const std::string& text, const Asked& asked = {}) {
  const auto findings = checked(text, asked).findings;
  return findings.empty() ? "" : findings.front().message;
}

}  // namespace

TEST_CASE("the build checks find what BuildKit's find", "[build]") {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"FROM a\nRUN x\n", ""},
      {"FROM a AS Name\n", "StageNameCasing:1"},
      {"FROM a as x\n", "FromAsCasing:1"},
      {"FROM a\nrun x\nRUN y\n", "ConsistentInstructionCasing:2"},
      {"FROM a\nRUN x && \\\n\n y\n", "NoEmptyContinuation:4"},
      {"FROM a\nRUN x && \\\n\n", "NoEmptyContinuation:3"},
      {"arg A=1\nFROM a\narg A\n", "ConsistentInstructionCasing:3"},
      {"FROM a AS x\nFROM b AS x\n", "DuplicateStageName:2"},
      {"FROM a AS context\n", "ReservedStageName:1"},
      {"FROM a\nCMD x\n", "JSONArgsRecommended:2"},
      {"FROM a\nSHELL [\"s\"]\nCMD x\n", ""},
      {"FROM a AS b\nSHELL [\"s\"]\nFROM b\nCMD x\n", ""},
      {"FROM shell\nCMD x\n", ""},
      {"FROM unknown\nCMD x\nENV A=$B\n", ""},
      {"FROM a AS b\nONBUILD CMD x\nFROM b\nCMD [\"y\"]\n", "JSONArgsRecommended:3 MultipleInstructionsDisallowed:3"},
      {"FROM trigger\nWORKDIR z\n", "JSONArgsRecommended:1 WorkdirRelativePath:1 UndefinedVar:1"},
      {"FROM a\nENV D=x\nWORKDIR $D\n", "WorkdirRelativePath:3"},
      {"FROM a\nENV D=/x\nWORKDIR $D\nWORKDIR z\n", ""},
      {"FROM a AS b\nWORKDIR /x\nFROM b\nWORKDIR y\n", ""},
      {"FROM a\nENV \"A B\"=c\n", ""},
      {"FROM a\nARG P=80/TCP\nEXPOSE $P :80 ${Q:-90}\n", "ExposeProtoCasing:3"},
      {"FROM arm\n", "InvalidBaseImagePlatform:1"},
      {"FROM --platform=$BUILDPLATFORM arm AS x\nFROM scratch\n", "InvalidBaseImagePlatform:1"},
      {"FROM a\nCMD [\"x\"]\nCMD [\"y\"]\n", "MultipleInstructionsDisallowed:2"},
      {"FROM a\nMAINTAINER x\n", "MaintainerDeprecated:2"},
      {"FROM a:${NOPE:-1}\n", "UndefinedArgInFrom:1"},
      {"ARG V\nFROM a:b$V\n", ""},
      {"ARG V=A\nFROM $V${NO:-x}\n", "UndefinedArgInFrom:2 InvalidDefaultArgInFrom:2"},
      {"FROM a\nWORKDIR x\nWORKDIR y\n", "WorkdirRelativePath:2"},
      {"FROM a\nENV A b\n", "LegacyKeyValueFormat:2"},
      {"FROM a\nENV DB_PASSWORD=x PUBLIC_KEY=y\nARG TOKEN\n", "SecretsUsedInArgOrEnv:2 SecretsUsedInArgOrEnv:3"},
      {"FROM --platform=$TARGETPLATFORM a\n", "RedundantTargetPlatform:1"},
      {"FROM --platform=linux/arm64 arm\n", "FromPlatformFlagConstDisallowed:1"},
      {"FROM --platform=linux/arm64/v8 arm AS build-arm64\n", ""},
      {"FROM a\nEXPOSE 80/TCP 1:2\n", "ExposeProtoCasing:2 ExposeInvalidFormat:2"},
  };
  for (const auto& [text, wanted] : rows) {
    INFO(text);
    CHECK(found(text) == wanted);
  }
}

TEST_CASE("build checks are skipped, asked for and made errors by name", "[build]") {
  CHECK(found("# check=skip=JSONArgsRecommended,StageNameCasing\nFROM a AS B\nCMD x\nMAINTAINER y\n") == "MaintainerDeprecated:4");
  CHECK(found("# check=skip=all\nFROM a\nMAINTAINER y\n").empty());
  CHECK(found("FROM a\nCOPY x /x\n", {.ignored = "x\n"}).empty());
  CHECK(found("FROM a\nCOPY x /x\nADD x/y /y\nCOPY x/ /z\nCOPY ./x /w\nCOPY /x /v\n", {.options = "experimental=CopyIgnoredFile", .ignored = "x\n"}) ==
        "CopyIgnoredFile:2 CopyIgnoredFile:3 CopyIgnoredFile:4");
  const std::string all = "# check=experimental=all\n";
  CHECK(found("# other\nFROM a AS b\n").empty());
  CHECK(found(all + "# other\nFROM a AS b\n") == "InvalidDefinitionDescription:3");
  CHECK(found(all + "# b is good\nFROM a AS b\n").empty());
  CHECK(found(all + "FROM a AS b\n").empty());
  CHECK(found(all + "# other\n\nFROM a AS b\n# c\nRUN x\n") == "InvalidDefinitionDescription:4");
  CHECK(found(all + "# other\n#\nFROM a AS b\n").empty());
  CHECK(found(all + "# v\n# the w\nARG v=1 w=2\nFROM a\n") == "InvalidDefinitionDescription:4");
  CHECK(CheckOptions::parse("error=true")->fail);
  CHECK(CheckOptions::parse("foo").error().message == "invalid check option \"foo\"");
  CHECK(CheckOptions::parse("error=maybe").error().message == "failed to parse check option \"error=maybe\": strconv.ParseBool: parsing \"maybe\": invalid syntax");
  CHECK(finding_text({"A", "text", {3, 3, 0}}) == "A: text (line 3)");
  CHECK(rule_address("JSONArgsRecommended") == "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/");
  CHECK(rule_address("FromAsCasing") == "https://docs.docker.com/go/dockerfile/rule/from-as-casing/");
}

TEST_CASE("build checks name what they found as it is written, and what may have been meant", "[build]") {
  CHECK(said("FROM a\nlabel A b\nenv C=d\nRUN x\ncmd [\"x\"]\n", {.options = "skip=ConsistentInstructionCasing"}) == "\"label key=value\" should be used instead of legacy \"label key value\" format");
  CHECK(said("FROM a\nCmd [\"x\"]\nCmd [\"x\"]\n", {.options = "skip=ConsistentInstructionCasing"}).starts_with("Multiple Cmd instructions"));
  CHECK(said("ARG VERSION=1\nFROM a:${VERSON:-1}\n") == "FROM argument 'VERSON' is not declared (did you mean VERSION?)");
  CHECK(said("FROM a:1$TARGETARC\n") == "FROM argument 'TARGETARC' is not declared (did you mean TARGETARCH?)");
  CHECK(said("FROM arm\n") == "Base image arm was pulled with platform \"linux/arm64\", expected \"linux/amd64\" for current build");
  CHECK(said("FROM a\n", {.platform = "linux/arm/v7"}) == "Base image a was pulled with platform \"linux/amd64\", expected \"linux/arm/v7\" for current build");
}

TEST_CASE("a check looks at every stage, or at those the target needs", "[build]") {
  const std::string text = "FROM a AS x\nCMD x\nFROM a AS y\nMAINTAINER z\n";
  CHECK(found(text) == "JSONArgsRecommended:2 MaintainerDeprecated:4");
  CHECK(found(text, {.every_stage = false}) == "MaintainerDeprecated:4");
  CHECK(found(text, {.target = "x", .every_stage = false}) == "JSONArgsRecommended:2 MaintainerDeprecated:4");
}

TEST_CASE("a check says what cannot be carried out, after what it found above", "[build]") {
  const auto bad = checked("FROM a AS X\nCMD x\nSTOPSIGNAL foo\nENTRYPOINT y\n");
  REQUIRE(bad.error);
  CHECK(bad.error->message == "invalid signal: foo");
  CHECK(bad.where.first == 3);
  REQUIRE(bad.findings.size() == 2);
  CHECK(bad.findings.back().where.first == 2);
  CHECK(checked("FROM a\nENV A=${B:?gone}\n").error);
  CHECK_FALSE(checked("FROM unknown\nENV A=${B:?gone}\nSTOPSIGNAL $C\n").error);  // the base may set them

  Span where;
  const auto file = parse_dockerfile("Dockerfile", "FROM a AS X\nCMD x\nRUN --foo y\nMAINTAINER z\n", where);
  REQUIRE(file);
  StagePlan partial;
  REQUIRE_FALSE(plan_stages(*file, {}, where, &partial));
  const auto some = check_unplanned(*file, partial, {}, {}, where.first);
  REQUIRE(some.size() == 1);
  CHECK(some.front().rule == "StageNameCasing");
}

TEST_CASE("variables that nobody set are found, with the one that may have been meant", "[build]") {
  const auto undefined = [](const std::string& text) {
    std::string all;
    for (const auto& one : checked(text).findings)
      if (one.rule == "UndefinedVar") all += one.message.substr(28) + " " + std::to_string(one.where.first) + ";";
    return all;
  };
  CHECK(undefined("FROM a\nCOPY $NOPE /x\n") == "'$NOPE' 2;");
  CHECK(undefined("FROM a\nENV PATH=$PATHX:/a\n") == "'$PATHX' (did you mean $PATH?) 2;");
  CHECK(undefined("FROM a\nENV X=$NODE_VERSON Y=$node_version\n") == "'$NODE_VERSON' (did you mean $NODE_VERSION?) 2;'$node_version' 2;");
  CHECK(undefined("FROM a\nENV A=1 B=$A\nLABEL x=$A$B\n") == "'$A' 2;");  // a line sees what was before it
  CHECK(undefined("FROM a\nARG V\nENV X=$V\nUSER ${UNSET:-root}\n") == "'$UNSET' 4;");
  CHECK(undefined("FROM a\nRUN echo $X\nCMD echo $X\nHEALTHCHECK CMD $X\n").empty());  // for a shell
  CHECK(undefined("FROM a\nCOPY <<E <<'F' /x/\n$X\nE\n$Y\nF\n") == "'$X' 2;");
  CHECK(undefined("FROM a AS one\nENV E=1\nARG A\nFROM one\nWORKDIR /$E$A$FOUR\n") == "'$FOUR' 5;");
  CHECK(undefined("FROM scratch\nUSER $P\nEXPOSE ${Q:-80}\nVOLUME /$PATH\n") == "'$P' 2;");
  CHECK(undefined("FROM unknown AS u\nENV X=$Y\nFROM u\nENV X=$Z\n").empty());
  CHECK(undefined("FROM a\nENV X=\\$Z '$q'=v\n").empty());
  CHECK(undefined("FROM a\nENV X=$Y Z=$Y$HTTP_PROXY\n") == "'$Y' 2;'$HTTP_PROXY' 2;'$Y' 2;");
}
