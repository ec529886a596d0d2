#pragma once
// Inside of the room: one service in the engine's words.
#include <vector>

#include "compose/load/diagnostics.h"
#include "compose/model/project.h"
#include "engine/api/types.h"

namespace compose::reconcile {

/// Everything of the spec but name, image_id and the labels of ours.
engine::ContainerSpec service_spec(const model::Project& project, const model::Service& service);

/// Adds an error for every attribute of the enabled services, networks, volumes, configs and secrets that the engine cannot honour.
void refuse_unsupported(const model::Project& project, std::vector<load::Diagnostic>& refusals);

/// The engine's name for the network a service's `network_mode: bridge` joins: private to the project.
std::string bridge_network(const model::Project& project);

}  // namespace compose::reconcile
