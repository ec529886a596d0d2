#pragma once
// A container in the words of `docker ps`.
#include <string>

#include "compose/cli/template.h"
#include "compose/reconcile/observed.h"

namespace compose::cli {

/// "Up 3 seconds (healthy)", "Exited (3) 2 seconds ago", "Created".
std::string status_text(const engine::ContainerInfo& info, engine::WallNs now);
/// "0.0.0.0:18080->80/tcp, [::]:18080->80/tcp, 9000/tcp"
std::string ports_text(const engine::ContainerInfo& info);
/// `"sh -c 'echo db star…"`
std::string command_text(const engine::ContainerInfo& info, bool whole);

/// All fields of `ps --format json`.
Fields container_fields(const reconcile::Found& container, const std::string& project, engine::WallNs now, bool no_trunc);

}  // namespace compose::cli
