#pragma once
// Warnings about a Dockerfile that works: BuildKit's build checks (docs.docker.com/reference/build-checks), same names and words.
// Not among them: InvalidBaseImagePlatform.
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/build/ignore.h"
#include "engine/build/stages.h"

namespace engine::build {

struct Finding {
  std::string rule, message;
  Span where;
  bool operator==(const Finding& other) const { return rule == other.rule && message == other.message && where.first == other.where.first; }
};

/// "# check=skip=RULE,RULE;error=true;experimental=all"
struct CheckOptions {
  std::set<std::string> skip, experimental;
  bool skip_all = false, experimental_all = false, fail = false;
  /// Error invalid: an unknown option.
  static Result<CheckOptions> parse(const std::string& text);
};

/// The names of the variables that a stage's base image sets; nothing when it is not known here.
using BaseVariables = std::function<std::optional<std::set<std::string>>(const Stage& stage)>;

/// All findings, by line. `ignore`: of the main context, for CopyIgnoredFile; may be null. Without `base`, nothing is said of
/// variables in stages that begin with an image.
std::vector<Finding> check_dockerfile(const Dockerfile& file, const StagePlan& plan, const StageOptions& options, const CheckOptions& checks,
                                      const IgnoreRules* ignore, const BaseVariables& base = {});

/// UndefinedVar alone, for the stages that are needed.
std::vector<Finding> undefined_variables(const Dockerfile& file, const StagePlan& plan, const BaseVariables& base);

/// "JSONArgsRecommended: JSON arguments recommended … (line 3)"
std::string finding_text(const Finding& finding);

}  // namespace engine::build
