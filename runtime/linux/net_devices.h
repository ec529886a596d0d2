#pragma once
// linux.netDevices: interfaces of the host that become the container's.
#include <map>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/linux/namespaces.h"
#include "runtime/spec/spec.h"

namespace runtime {

/// Error invalid naming the property: a bad or doubled interface name, no network namespace to move them to.
base::Result<> check_net_devices(const spec::Config& config, const NamespacePlan& plan);

/// Moves each interface (key: its name in our network namespace) to the network namespace `target` under its new name, gives it back
/// its permanent global addresses, which the move takes away, and raises it. MTU and hardware address move along.
/// Needs CAP_NET_ADMIN over both. Moves the calling, single-threaded process to `target` and back.
/// Errors: not_found, exists (name taken there), permission; they name the interface. Source: config-linux.md "Network Devices".
base::Result<> move_net_devices(const std::map<std::string, spec::NetDevice>& devices, base::Fd target);

}  // namespace runtime
