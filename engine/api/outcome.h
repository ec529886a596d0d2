#pragma once
// What executing a plan came to.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace engine {

/// A step that failed.
struct StepError {
  std::size_t step = 0;             ///< index in the plan
  std::string object;               ///< Container | Network | Volume | Image
  std::string name;
  base::Error error;
};

struct Outcome {
  std::vector<StepError> errors;    ///< of required steps, as they happened: every one, not only the first
  std::vector<StepError> warnings;  ///< failures of optional steps
  std::size_t done = 0;             ///< steps that succeeded (or were optional)
  std::size_t skipped = 0;          ///< steps never started, because one they come after failed or the plan was cancelled
  bool cancelled = false;
  std::optional<std::int64_t> generation;  ///< the generation recorded, when the plan brought one and every step succeeded
  [[nodiscard]] bool ok() const { return errors.empty() && !cancelled; }
};

}  // namespace engine
