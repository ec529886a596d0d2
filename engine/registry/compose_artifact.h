#pragma once
// Compose files published to a registry as an OCI artifact (`docker compose publish`).
// Source: github.com/docker/compose internal/oci: artifact type application/vnd.docker.compose.project, a layer a file.
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace engine::registry {

/// Fetches NAME (without "oci://") and writes compose.yaml and its env files into the empty folder `into`.
/// Returns the artifact's digest. Blocks on the network.
/// Errors: not_found, permission, unavailable as for images; invalid when it is no Compose project, or too large.
base::Result<std::string> fetch_compose_artifact(const std::string& name, const std::filesystem::path& into);

struct ComposeArtifact {
  enum class Kind : std::uint8_t { compose, extended, environment };
  struct File {
    Kind kind = Kind::compose;
    std::string name, bytes;
  };
  std::vector<File> files;
  std::string compose_version;        ///< for annotations
  std::string oci_version;            ///< "1.0", "1.1"; "" = 1.1, and 1.0 where the registry refuses that
  std::vector<std::string> images;    ///< copied beside it, with an index that names them all
};
/// Publishes as NAME. Returns the artifact's digest. Blocks on the network. Errors: as push.
base::Result<std::string> publish_compose_artifact(const std::string& name, const ComposeArtifact& artifact);

}  // namespace engine::registry
