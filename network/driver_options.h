#pragma once
// driver_opts, in Docker's names. Internal to the room.
#include "base/result.h"
#include "network/config.h"

namespace network {

/// A config with everything but subnets and uplink. Errors: invalid (a bad value), unsupported (unknown driver or option).
base::Result<NetworkConfig> apply_driver_options(const NetworkRequest& request);

}  // namespace network
