#pragma once
#include <string>

#include "engine/api/plan.h"

namespace compose::reconcile {

/// One line a step: "1 after 0    start demo-web-1: was running". The same text everywhere: plan, dry run, logs, tests.
std::string to_text(const engine::Plan& plan);
/// "start demo-web-1"
std::string to_text(const engine::Action& action);

}  // namespace compose::reconcile
