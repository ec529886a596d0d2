#pragma once
// Images that stay where they are: looking at a registry and copying between places, without the local store.
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/registry/progress.h"

namespace engine::registry {

using base::Result;

/// Every tag of a repository ("nginx", "host:5000/app"), in the registry's order. Errors: as pull.
Result<std::vector<std::string>> remote_tags(const std::string& repository);

struct RemoteOptions {
  std::string platform;   ///< of an index; "" = this machine's
  bool raw = false;       ///< the bytes the registry serves under the name
};
/// What a name stands for, as JSON with skopeo's keys: Name, Digest, MediaType, Created, Architecture, Os, Variant, Labels, Env,
/// Layers, LayersData, and Manifests for an index. Fetches the manifests and the config, no layer.
Result<std::string> inspect_remote(const std::string& reference, const RemoteOptions& options);

struct CopyOptions {
  std::string platform;   ///< only this one of an index; "" = all of it, byte for byte
  ProgressSink progress;
};
/// Copies an image from "docker://NAME" or "oci:FOLDER[:TAG]" to either kind. Manifests and blobs keep their bytes; blobs that
/// are there already are not sent again. Returns the digest at the top.
/// Errors: as pull and push; invalid (a place that is neither kind, a digest that does not match).
Result<std::string> copy_image(const std::string& from, const std::string& to, const CopyOptions& options);

}  // namespace engine::registry
