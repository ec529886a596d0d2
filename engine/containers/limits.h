#pragma once
// Resources, ulimits and devices of a spec as runtime-spec values.
#include <vector>

#include "base/result.h"
#include "engine/api/types.h"
#include "runtime/spec/spec.h"

namespace engine::containers {

/// Memory, CPU, pids and block I/O; devices are left alone. Looks up the numbers of the block devices named.
base::Result<runtime::spec::Resources> resources(const engine::Resources& asked);
/// "nofile" → RLIMIT_NOFILE. Errors: invalid (unknown name, soft above hard).
base::Result<std::vector<runtime::spec::Rlimit>> rlimits(const std::vector<Ulimit>& ulimits);

struct Devices {
  std::vector<runtime::spec::Device> nodes;
  std::vector<runtime::spec::DeviceRule> rules;
};
/// The devices to make and to allow; a folder stands for all devices in it. Errors: not_found, invalid.
base::Result<Devices> devices(const std::vector<DeviceMapping>& mappings, const std::vector<std::string>& cgroup_rules);
/// Every device node of the machine: what `privileged` gives.
std::vector<runtime::spec::Device> host_devices();
/// "c 1:3 mr". Error invalid.
base::Result<runtime::spec::DeviceRule> parse_device_rule(const std::string& text);

}  // namespace engine::containers
