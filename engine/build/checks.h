#pragma once
// Warnings about a Dockerfile that works: BuildKit's build checks (docs.docker.com/reference/build-checks), same names and words.
// Source: moby/buildkit frontend/dockerfile/linter and where dockerfile2llb calls it.
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/build/ignore.h"
#include "engine/build/stages.h"
#include "engine/images/config.h"

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

/// Collects what the options ask for.
class Findings {
 public:
  explicit Findings(const CheckOptions& options) : options_(options) {}
  void say(const std::string& rule, std::string message, const Span& where, bool experimental = false);
  /// By line; of one line in the order they were found.
  [[nodiscard]] std::vector<Finding> sorted() &&;

 private:
  const CheckOptions& options_;
  std::vector<Finding> found_;
};

/// The config of the image a stage begins with, for the stage's platform; nothing when it is not known here. It may block on a registry.
using BaseConfig = std::function<Result<std::optional<images::ImageConfig>>(const Stage& stage)>;

struct CheckInputs {
  const IgnoreRules* ignore = nullptr;   ///< of the main context, for CopyIgnoredFile; may be null
  BaseConfig base;                       ///< empty: no base is known
  std::string platform = "linux/amd64";  ///< the target's
  bool every_stage = false;              ///< also those the target does not need
};

struct Checked {
  std::vector<Finding> findings;
  std::optional<base::Error> error;      ///< why the file cannot be built: found without running anything; `where` names the lines
  Span where;
};
Checked check_dockerfile(const Dockerfile& file, const StagePlan& plan, const StageOptions& options, const CheckOptions& checks,
                         const CheckInputs& inputs);

/// What is found in a file that cannot be planned: in `stages`, those the planning came to, and the instructions above line `until`
/// (0 = all of them).
std::vector<Finding> check_unplanned(const Dockerfile& file, const StagePlan& stages, const StageOptions& options, const CheckOptions& checks, int until);

/// The checks of what instructions do, stage by stage (stage_checks.cpp). Error invalid: an instruction that cannot be carried out.
Result<> check_stages(const Dockerfile& file, const StagePlan& plan, const StageOptions& options, const CheckInputs& inputs, Findings& findings, Span& where);

/// "JSONArgsRecommended: JSON arguments recommended … (line 3)"
std::string finding_text(const Finding& finding);
/// Where a rule is explained; "" = nowhere.
std::string rule_address(const std::string& rule);

}  // namespace engine::build
