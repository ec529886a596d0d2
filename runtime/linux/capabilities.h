#pragma once
#include <cstdint>

#include "base/result.h"
#include "runtime/spec/spec.h"

namespace runtime {

struct CapabilityMasks {
  std::uint64_t bounding = 0, effective = 0, inheritable = 0, permitted = 0, ambient = 0;
};

/// Bits of the names. Pure. Error invalid naming a capability no kernel knows.
base::Result<CapabilityMasks> capability_masks(const spec::Capabilities& names);

/// What we hold and could hand on.
base::Result<std::uint64_t> held_capabilities();
/// Error permission naming the first capability that is wanted but not held.
base::Result<> check_held(const CapabilityMasks& wanted, std::uint64_t held);

/// Removes everything outside `masks.bounding` from the bounding set. Needs CAP_SETPCAP.
base::Result<> drop_bounding(const CapabilityMasks& masks);
/// Sets effective, permitted, inheritable and ambient ones: the last step before execve, after the user changed.
base::Result<> set_capabilities(const CapabilityMasks& masks);

}  // namespace runtime
