#pragma once
// What tests put in place of the runtime and the registry.
#include "engine/build/build.h"
#include "engine/build/solver.h"

namespace engine::build {

struct BuildHooks {
  std::function<std::unique_ptr<StepRunner>(Session&)> runner;  ///< empty: compose-runtime
  PullFunction pull;                                            ///< empty: the registry
};
base::Result<BuildResult> build_image_with(const BuildRequest& request, base::Fd out, const BuildHooks& hooks,
                                           BuildFailure* failure = nullptr);

}  // namespace engine::build
