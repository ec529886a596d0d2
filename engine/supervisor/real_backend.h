#pragma once
#include <memory>
#include <string>

#include "engine/supervisor/backend.h"

namespace boost::asio {
class io_context;
}

namespace engine::supervisor {

/// The kernel, through engine/containers, network, volumes and compose-runtime. `io` runs name servers and port relays.
/// Error: not_found (compose-runtime), permission, those of the network room.
Result<std::unique_ptr<Backend>> open_backend(boost::asio::io_context& io, const std::string& project);

}  // namespace engine::supervisor
