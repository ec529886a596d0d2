#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/spec/spec.h"

namespace runtime {

struct CapabilityMasks {
  std::uint64_t bounding = 0, effective = 0, inheritable = 0, permitted = 0, ambient = 0;
};

/// What we hold and could hand on.
base::Result<std::uint64_t> held_capabilities();
/// Whether we have CAP_SYS_ADMIN: without it mounts and namespaces need a user namespace of our own first.
bool may_mount();

/// The sets that can be given by somebody who holds `held`. What is asked for beyond that, a name no kernel knows included, is
/// left out and told in `warnings`: runtime-spec config.md "Linux Process" forbids to fail. Pure.
CapabilityMasks capability_masks(const spec::Capabilities& names, std::uint64_t held, std::vector<std::string>& warnings);

/// Removes everything outside `masks.bounding` from the bounding set. Needs CAP_SETPCAP.
base::Result<> drop_bounding(const CapabilityMasks& masks);
/// Sets effective, permitted, inheritable and ambient ones: the last step before execve, after the user changed.
base::Result<> set_capabilities(const CapabilityMasks& masks);

}  // namespace runtime
