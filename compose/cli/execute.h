#pragma once
// A decision carried out, with progress on the terminal.
#include <functional>
#include <string>

#include "base/result.h"
#include "compose/reconcile/reconcile.h"
#include "engine/api/outcome.h"

namespace compose::cli {

struct CarryOut {
  std::string heading = "Running";                       ///< of the live view
  /// Progress that is shown; absent: all.
  std::function<bool(const engine::Progress&)> show;
};

/// Prints warnings, notes and progress, has the engine execute the plan, prints what failed. An empty plan contacts nobody.
/// With --dry-run prints the plan and what would be reported. Returns the exit code: 0, 1, or 130 after Ctrl-C.
base::Result<int> carry_out(const std::string& project, const reconcile::Decision& decision, const CarryOut& options);

/// What a person reads of failures: each message once, in order.
void print_failures(const engine::Outcome& outcome, const engine::Plan* plan = nullptr);
/// The exit code Docker gives a failed start: 127 not found in the image, 126 not executable, 1 anything else.
int failure_code(const engine::Outcome& outcome);

/// The progress an executor would report for a plan.
std::vector<engine::Progress> rehearse(const engine::Plan& plan);

}  // namespace compose::cli
