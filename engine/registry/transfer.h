#pragma once
// Pull and push: the distribution-spec client. Linked into compose-image only.
#include <string>

#include "base/result.h"
#include "engine/images/config.h"
#include "engine/registry/progress.h"
#include "engine/store/store.h"

namespace engine::registry {

using base::Result;

struct PullOptions {
  std::string platform;        ///< "linux/arm64/v8"; "" = this machine's
  bool any_platform = false;   ///< an image that is not in an index is taken whatever it is for
  ProgressSink progress;       ///< may be empty
};

struct Pulled {
  std::string id;              ///< image id
  std::string reference;       ///< normalised
  std::string digest;          ///< what the registry served under the name (index or manifest)
  bool changed = false;        ///< false: it was up to date
};

/// Gets an image. Blobs and layers are fetched once on the machine, whoever asks; partial downloads go on where they stopped.
/// Errors: invalid (reference; what the registry served is malformed or its digests do not match)
///         not_found ("manifest for nginx:9 not found: manifest unknown")
///         permission ("pull access denied for …": 401, 403)
///         unavailable (registry down, 5xx after retries), unsupported (no such platform; schema 1)
///         exhausted (no space left on the disk; over a size limit)
/// Threads: makes several; single calls may run at once with separate Stores.
Result<Pulled> pull(store::Store& store, const std::string& reference, const PullOptions& options);

/// The config of the image a pull would get, wherever it is for; no layer is fetched. Same errors.
Result<images::ImageConfig> remote_config(const std::string& reference, const std::string& platform);

/// Digest the registry serves for a name now (HEAD, else GET). Same errors.
Result<std::string> remote_digest(const std::string& reference);

struct Pushed {
  std::string reference, digest;
  std::int64_t size_bytes = 0;   ///< of the manifest
};
/// Uploads a local image under its name. Layers keep the compressed bytes they were pulled with; built ones are compressed
/// (gzip) now and kept. Errors: as pull; not_found when there is no such local image.
Result<Pushed> push(store::Store& store, const std::string& reference, const ProgressSink& progress);

}  // namespace engine::registry
