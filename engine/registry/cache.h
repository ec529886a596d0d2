#pragma once
// Build caches elsewhere: which step made which layer, with the layers, as an OCI manifest in a registry or a folder.
//   config  application/vnd.compose.buildcache.config.v1+json:
//           {"entries": [{"key": "sha256:…", "text": "RUN make", "created": ns, "diff_ids": [bottom → top]}],
//            "diff_ids": [of the manifest's layers, in order]}
//   layers  the compressed layers, each once
// An image can carry the steps of its own layers itself (cache_to type=inline): in its config, under "vnd.compose.buildcache.v1",
//           {"entries": [{"key": …, "text": …, "created": …, "layers": how many, from the bottom}]}
// Keys are digests of a step and everything it depends on, the same on every machine.
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/store/store.h"

namespace engine::registry {

using base::Result;

struct CacheEntry {
  std::string key, text;
  std::vector<std::string> diff_ids;   ///< of the step's layer and all below
  WallNs created = 0;
};

/// Writes the steps and their layers to "docker://NAME" or "oci:FOLDER[:TAG]"; what is there already is not sent again.
Result<> export_cache(store::Store& store, const std::vector<CacheEntry>& entries, const std::string& to);

/// The config of an image with the steps that made its layers: entries whose diff_ids are not the first of the image's are left out.
/// Error invalid: no config.
Result<std::string> with_inline_cache(const std::string& config_json, const std::vector<CacheEntry>& entries);

/// A cache somebody exported. Thread-safe.
class CacheSource {
 public:
  /// Reads what it holds, no layer. Errors: as pull; invalid: what is there is an image without an inline cache, or malformed.
  static Result<std::unique_ptr<CacheSource>> open(const std::string& from);
  virtual ~CacheSource() = default;
  /// Null: this step is not in it.
  [[nodiscard]] virtual const CacheEntry* find(const std::string& key) const = 0;
  /// Brings the entry's layers into the store and returns the chain id of the last.
  virtual Result<std::string> fetch(store::Store& store, const CacheEntry& entry) = 0;
};

}  // namespace engine::registry
