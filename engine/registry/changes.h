#pragma once
// Dockerfile instructions applied to an image config, as `import --change` and `commit --change` take them.
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/images/config.h"

namespace engine::registry {

using base::Result;

/// CMD ENTRYPOINT ENV EXPOSE LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR. Errors: invalid, with the instruction.
Result<> apply_changes(const std::vector<std::string>& changes, images::ImageConfig& config);

}  // namespace engine::registry
