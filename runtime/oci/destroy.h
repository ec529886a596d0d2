#pragma once
#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/oci/state.h"

namespace runtime::oci {

enum class Force : bool { no, yes };

/// Removes a container: its processes (with force, or when init ended already), cgroups, state; then runs the poststop hooks.
/// Goes on past failures and returns the first. Error invalid when it still runs and force is no.
base::Result<> destroy(const std::string& root, const std::string& id, Force force);
/// The same for whoever made the container and has reaped its init: nothing is read again. Gone already is success.
base::Result<> destroy_ended(const StateDir& dir, const ContainerRecord& record, const std::vector<spec::Hook>& poststop);

/// The number that tells this mount from others on top of or below it.
base::Result<std::uint64_t> mount_id(base::Fd file);
/// Takes away what a container without a mount namespace of its own mounted at its root. Nothing else is touched.
base::Result<> detach_root(const ContainerRecord& record);

}  // namespace runtime::oci
