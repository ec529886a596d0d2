#include <catch2/catch.hpp>

#include "engine/build/stages.h"

using namespace engine::build;

namespace {

Result<StagePlan> plan(const std::string& text, StageOptions options = {}) {
  if (options.platform_args.empty()) options.platform_args = platform_arguments("linux/arm64/v8", "linux/amd64");
  Span where;
  auto file = parse_dockerfile("Dockerfile", text, where);
  if (!file) return std::move(file).error();
  return plan_stages(*file, options, where);
}

std::string needed(const Result<StagePlan>& result) {
  if (!result) return result.error().text();
  std::string text;
  for (const bool one : result->needed) text += one ? '1' : '0';
  return text;
}

}  // namespace

TEST_CASE("only stages the target needs are built", "[build]") {
  const std::string text =
      "FROM a AS base\nFROM base AS one\nFROM b AS unused\nFROM scratch AS two\nCOPY --from=one /x /\nFROM two\nRUN "
      "--mount=type=bind,from=base,target=/m x\n";
  CHECK(needed(plan(text)) == "11011");
  CHECK(needed(plan(text, {.target = "Unused", .args = {}, .platform_args = {}, .contexts = {}})) == "00100");
  CHECK(needed(plan(text, {.target = "nope", .args = {}, .platform_args = {}, .contexts = {}})) == "target stage \"nope\" could not be found");
}

TEST_CASE("ARGs before the first FROM shape the bases", "[build]") {
  const auto result = plan("ARG V=1\nARG W=${V}-x\nFROM --platform=$BUILDPLATFORM img:$W AS a\nFROM x:${NONE:-z}\n");
  REQUIRE(result);
  CHECK(result->stages[0].base == "img:1-x");
  CHECK(result->stages[0].platform == "linux/amd64");
  CHECK(result->stages[1].base == "x:z");
  CHECK(result->stages[1].shown == "stage-1");
  const auto given = plan("ARG V=1\nFROM img:$V\n", {.target = "", .args = {{"V", "9"}}, .platform_args = {}, .contexts = {}});
  REQUIRE(given);
  CHECK(given->stages[0].base == "img:9");
  CHECK(given->stages[0].shown.empty());
}

TEST_CASE("stages that need each other, or themselves, are refused", "[build]") {
  CHECK(needed(plan("FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nCOPY --from=a / /\n")) ==
        "circular dependency detected on stage: a");
  CHECK(needed(plan("FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nCOPY --from=a / /\nFROM scratch\n")) ==
        "circular dependency detected on stage: a");  // what the target does not need too
  CHECK(needed(plan("FROM scratch\nCOPY --from=0 / /\n")) == "circular dependency detected on stage: stage-0");
}

TEST_CASE("a stage is found as BuildKit finds it", "[build]") {
  CHECK(plan("FROM a AS Base\nFROM base\n")->stages[1].base_stage == 0);
  CHECK_FALSE(plan("FROM a AS base\nFROM BASE\n")->stages[1].base_stage.has_value());
  CHECK(needed(plan("FROM a AS a\nCOPY --from=b /x /\nFROM b AS b\n", {.target = "a", .args = {}, .platform_args = {}, .contexts = {}})) ==
        "cannot copy from stage \"b\", it needs to be defined before current stage \"a\"");
  CHECK(needed(plan("FROM a\nCOPY --from=5 /x /\n")) == "invalid stage index 5");
  CHECK(needed(plan("FROM a AS s\nFROM b AS s\nFROM c\nCOPY --from=s /x /\n")) == "011");
  // What a base stage leaves for its children needs stages, too.
  CHECK(needed(plan("FROM a AS src\nFROM b AS base\nONBUILD COPY --from=src /s /t\nFROM base\n")) == "111");
  // A number is a stage for COPY and an image for a mount.
  CHECK(needed(plan("FROM a\nFROM b\nRUN --mount=from=0,target=/m x\n")) == "01");
}

TEST_CASE("a lone stage shows its name only when images are named beside it", "[build]") {
  CHECK(plan("FROM a AS x\nRUN y\n")->stages[0].shown.empty());
  CHECK(plan("FROM a\nCOPY --from=img /a /a\n")->stages[0].shown == "stage-0");
  CHECK(plan("FROM a AS x\nRUN --mount=type=tmpfs,target=/t y\n")->stages[0].shown == "x");
}

TEST_CASE("names of additional contexts are compared as images are", "[build]") {
  CHECK(context_name("busybox") == context_name("docker.io/library/busybox:latest"));
  CHECK(context_name("Stage") == "stage");
  CHECK(context_name("localhost:5000/a:1") == "localhost:5000/a:1");
}

TEST_CASE("a file without stages, or with instructions before them, is refused", "[build]") {
  CHECK(needed(plan("ARG x\n")).find("no build stage") != std::string::npos);
  CHECK(needed(plan("RUN x\nFROM a\n")) == "dockerfile parse error on line 1: no build stage in current context");
  CHECK(needed(plan("FROM $NONE\n")) == "base name ($NONE) should not be blank");
}

TEST_CASE("an additional context takes the place of a stage of that name", "[build]") {
  const auto result = plan("FROM scratch AS src\nRUN x\nFROM scratch\nCOPY --from=src / /\n",
                           {.target = "", .args = {}, .platform_args = {}, .contexts = {"src"}});
  CHECK(needed(result) == "01");
}

TEST_CASE("platforms are read as containerd reads them", "[build]") {
  const auto normal = [](const std::string& text) {
    const auto result = normal_platform(text, "linux/amd64");
    return result ? *result : result.error().message;
  };
  CHECK(normal("linux/x86_64") == "linux/amd64");
  CHECK(normal("Linux/ARM64/v8") == "linux/arm64/v8");
  CHECK(normal("aarch64") == "linux/arm64");
  CHECK(normal("linux/arm") == "linux/arm/v7");
  CHECK(normal("linux/arm/v6") == "linux/arm/v6");
  CHECK(normal("linux") == "linux/amd64");
  CHECK(normal("linux/armhf") == "linux/arm/v7");
  CHECK(normal("linux/amd64/v1") == "linux/amd64");
  for (const char* wrong : {"a/b/c/d", "linux/", "/amd64", "linux/am d64", "linux/../x"})
    CHECK(normal(wrong).find("cannot parse platform specifier") != std::string::npos);
}

TEST_CASE("platform arguments name os, architecture and variant", "[build]") {
  const auto args = platform_arguments("linux/arm64/v8", "linux/amd64");
  CHECK(args.at("TARGETARCH") == "arm64");
  CHECK(args.at("TARGETVARIANT") == "v8");
  CHECK(args.at("BUILDVARIANT").empty());
  CHECK(is_proxy_argument("HTTP_PROXY"));
  CHECK(is_proxy_argument("no_proxy"));
  CHECK_FALSE(is_proxy_argument("Http_Proxy"));
}
