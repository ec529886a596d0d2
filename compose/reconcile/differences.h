#pragma once
// Why a container does not match its service any more, in words a person can act on.
#include <string>
#include <vector>

#include "engine/api/types.h"

namespace compose::reconcile {

/// "environment LOG_LEVEL changed, ports changed"; "configuration changed" when no field accounts for it.
/// `is` has its references to other services resolved, `wanted` has not: those are not compared.
std::string differences(const engine::ContainerSpec& is, const engine::ContainerSpec& wanted, bool image_changed);

/// Services whose namespaces or volumes a spec takes ("service:NAME"); sorted, no duplicates.
std::vector<std::string> shared_services(const engine::ContainerSpec& spec);

}  // namespace compose::reconcile
