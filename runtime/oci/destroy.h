#pragma once
#include "base/result.h"
#include "runtime/oci/state.h"

namespace runtime::oci {

enum class Force : bool { no, yes };

/// Removes a container: its processes (with force, or when init ended already), cgroups, state; then runs the poststop hooks.
/// Goes on past failures and returns the first. Error invalid when it still runs and force is no.
base::Result<> destroy(const std::string& root, const std::string& id, Force force);

}  // namespace runtime::oci
