#pragma once
// Where images and caches are copied from and to: a registry, or an OCI image layout on the disk. Private to the room.
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/images/reference.h"
#include "engine/registry/client.h"
#include "engine/registry/manifest.h"

namespace engine::registry {

class Place {
 public:
  virtual ~Place() = default;
  /// By digest; "" = the one the place names. Verified. Errors: as Client::manifest; not_found.
  virtual Result<Fetched> manifest(const std::string& digest) = 0;
  /// Writes a blob's bytes to `into` and verifies them.
  virtual Result<> read_blob(const Descriptor& blob, base::Fd into) = 0;
  virtual Result<bool> has_blob(const std::string& digest) = 0;
  virtual Result<> write_blob(const Descriptor& blob, base::Fd content) = 0;
  /// `top`: it gets the name of the place.
  virtual Result<> write_manifest(const Fetched& manifest, bool top) = 0;
  /// Of a registry; null for a folder.
  virtual Client* client() { return nullptr; }
};

/// "docker://NAME" or "oci:FOLDER[:TAG]". `actions`: "pull" or "pull,push". Error invalid: neither.
Result<std::unique_ptr<Place>> open_place(const std::string& text, const std::string& actions);

/// The registry itself, mirrors left out.
Result<std::unique_ptr<Client>> open_origin(const images::Reference& reference, const std::string& actions);
/// The digest of a reference, else its tag.
std::string wanted(const images::Reference& reference);

}  // namespace engine::registry
