#pragma once
// Compose files published to a registry as an OCI artifact (`docker compose publish`).
// Source: github.com/docker/compose internal/oci: artifact type application/vnd.docker.compose.project, a layer a file.
#include <filesystem>
#include <string>

#include "base/result.h"

namespace engine::registry {

/// Fetches NAME (without "oci://") and writes compose.yaml and its env files into the empty folder `into`.
/// Returns the artifact's digest. Blocks on the network.
/// Errors: not_found, permission, unavailable as for images; invalid when it is no Compose project, or too large.
base::Result<std::string> fetch_compose_artifact(const std::string& name, const std::filesystem::path& into);

}  // namespace engine::registry
