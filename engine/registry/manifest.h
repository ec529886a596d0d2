#pragma once
// Manifests and indexes: OCI image-spec and Docker's schema 2. Private to the room.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace engine::registry {

using base::Result;

namespace media {
constexpr std::string_view oci_index = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view oci_manifest = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view oci_config = "application/vnd.oci.image.config.v1+json";
constexpr std::string_view oci_layer_gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
constexpr std::string_view oci_layer_zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
constexpr std::string_view oci_layer = "application/vnd.oci.image.layer.v1.tar";
constexpr std::string_view docker_list = "application/vnd.docker.distribution.manifest.list.v2+json";
constexpr std::string_view docker_manifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr std::string_view docker_config = "application/vnd.docker.container.image.v1+json";
}  // namespace media

struct Descriptor {
  std::string media_type, digest;
  std::int64_t size = 0;
  std::string os, architecture, variant;   ///< of a child of an index
  std::string reference_name;              ///< annotation org.opencontainers.image.ref.name / io.containerd.image.name
};

struct Manifest {
  bool is_index = false;
  std::string media_type;
  std::vector<Descriptor> children;        ///< of an index
  Descriptor config;
  std::vector<Descriptor> layers;          ///< bottom → top
};

/// Errors: invalid (malformed), unsupported (schema 1, an artifact that is no image).
Result<Manifest> parse_manifest(std::string_view bytes, std::string_view content_type);
/// An OCI manifest of these blobs.
std::string make_manifest(const Descriptor& config, const std::vector<Descriptor>& layers);
/// The child for a platform "os/arch[/variant]". Error unsupported, naming what there is.
Result<Descriptor> choose_platform(const Manifest& index, const std::string& platform, const std::string& name);

}  // namespace engine::registry
