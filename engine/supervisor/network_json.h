#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "network/config.h"

namespace engine::supervisor {

/// What was decided about a network, as the store keeps it.
std::string to_json(const network::NetworkConfig& config);
base::Result<network::NetworkConfig> network_config_from(std::string_view text);

/// The message of the last error in a log of compose-runtime (--log-format json); "" when there is none.
std::string last_runtime_error(std::string_view log);

}  // namespace engine::supervisor
