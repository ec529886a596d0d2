#pragma once
// Firewall rules as text. Pure; internal to the room.
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "network/address.h"
#include "network/config.h"

namespace network {

/// Both ends of an uplink.
struct Uplink {
  std::string interface;       ///< in the host: "cps-a9fe0100", named after the host's address so that /31 and name are one
  Prefix host, network;        ///< "169.254.1.0/31", "169.254.1.1/31"
  std::optional<Prefix> host6, network6;
};
/// Error invalid for a config without a valid uplink.
base::Result<Uplink> uplink_of(const NetworkConfig& config);

constexpr const char* uplink_prefix = "cps-";
constexpr const char* uplink_inside = "uplink";  ///< name of the uplink in the network's namespace

/// The network's address on the uplink called `interface`; nothing when it is not one of ours.
std::optional<Address> uplink_address(const std::string& interface);

/// The host's table, for a namespace that has none.
std::string host_rules(const std::string& uplinks, const std::string& uplinks6);

/// The table in a network's namespace, while it has none.
std::string network_rules(const NetworkConfig& config, const std::string& bridge);

/// The same in one transaction where a table is already: all rules anew; elements stay.
std::string replacing(const std::string& rules);
/// Fails with `exists` where a table is already.
std::string creating(const std::string& rules);

}  // namespace network
