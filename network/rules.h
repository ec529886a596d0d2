#pragma once
// Our firewall tables. Pure; internal to the room.
#include <optional>
#include <string>

#include "base/result.h"
#include "network/address.h"
#include "network/allocate.h"
#include "network/config.h"
#include "network/nf_table.h"

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

/// The host's table `inet compose`; errors: invalid, for pools that are no prefixes.
base::Result<NfTableSpec> host_table(const Pools& pools);

/// The table in a network's namespace.
NfTableSpec network_table(const NetworkConfig& config, const std::string& bridge);

constexpr const char* table_name = "compose";

}  // namespace network
