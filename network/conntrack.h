#pragma once
// Connection tracking entries. Internal to the room.
#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"

namespace network {

/// Forgets UDP flows to `port` in `netns` (none: the process's own). A flow keeps the translation it began with for as long
/// as packets come, so without this a client goes on talking to a container that is gone (moby#8795).
base::Result<> forget_udp_flows(base::Fd netns, std::uint16_t port);

}  // namespace network
