#pragma once
// Instructions → stages, and which of them a build needs.
#include <map>
#include <string>
#include <vector>

#include "engine/build/instruction.h"
#include "engine/images/reference.h"

namespace engine::build {

struct Stage {
  std::size_t index = 0;
  std::string name;               ///< lower case; "" = unnamed
  instr::From from;               ///< as written
  std::string base;               ///< image with variables replaced
  std::string platform;           ///< of FROM, variables replaced; "" = the target's
  std::optional<std::size_t> base_stage;
  Span span;
  std::string original;
  std::vector<Command> commands;
  std::string late_need;          ///< the error of needing a stage that is defined later; "" = it does not
  Span late_span;
  std::vector<std::size_t> needs; ///< stages that must be finished first: base, COPY --from, RUN --mount from
  /// "builder", "stage-1"; "" for the only stage of a file.
  std::string shown;
};

struct StagePlan {
  std::vector<instr::ArgItem> globals;   ///< ARG before the first FROM, values expanded and overridden
  std::vector<Stage> stages;
  std::size_t target = 0;
  std::vector<bool> needed;              ///< by stage index
};

struct StageOptions {
  std::string target;                                ///< "" = the last
  std::map<std::string, std::string> args;           ///< --build-arg
  std::map<std::string, std::string> platform_args;  ///< TARGETPLATFORM, BUILDARCH …
  std::set<std::string> contexts;                    ///< names (context_name) of additional contexts: they replace stages and images
};

/// Errors: invalid (`where` names the lines): a bad instruction, no FROM, a cycle, an unknown target … Then `*partial` (may be null)
/// has what was read until there.
Result<StagePlan> plan_stages(const Dockerfile& file, const StageOptions& options, Span& where, StagePlan* partial = nullptr);

/// The stage that `name` (or its number) means; nothing when it must be an image.
std::optional<std::size_t> find_stage(const StagePlan& plan, const std::string& name);

/// How additional contexts are compared: names of images in their short form without ":latest", others in lower case.
std::string context_name(const std::string& name);

/// TARGETPLATFORM, TARGETOS, TARGETARCH, TARGETVARIANT and the same with BUILD.
std::map<std::string, std::string> platform_arguments(const std::string& target, const std::string& build);

/// "linux/x86_64" → "linux/amd64", "arm64" → "linux/arm64", "linux" → this machine's: as containerd reads platforms.
/// Error invalid: more than three parts, or characters no platform has.
Result<std::string> normal_platform(const std::string& text, const std::string& host);

/// Whether an image for `have` serves one who wants `wanted`: one without variant fits a wanted variant, and the other way round.
bool fits_platform(const std::string& have, const std::string& wanted);
/// "linux/arm/v7" → "linux/arm"
std::string os_and_architecture(const std::string& platform);

/// The image a FROM names. Error invalid, in BuildKit's words.
Result<images::Reference> parse_base(const std::string& name);

/// HTTP_PROXY and so on: usable without ARG, in neither history nor cache keys.
bool is_proxy_argument(const std::string& name);

}  // namespace engine::build
