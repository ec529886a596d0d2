#pragma once
// Names of images, parsed before any I/O. Grammar and normalisation: distribution/reference (docker.io, library/, latest).
#include <string>
#include <string_view>

#include "base/result.h"

namespace engine::images {

using base::Result;

struct Reference {
  std::string domain;   ///< "docker.io", "localhost:5000"
  std::string path;     ///< "library/nginx"
  std::string tag;      ///< "" only when a digest is given
  std::string digest;   ///< "sha256:…" or ""

  /// "docker.io/library/nginx"
  [[nodiscard]] std::string name() const { return domain + "/" + path; }
  /// Normalised: "docker.io/library/nginx:latest"; with a digest "docker.io/library/nginx@sha256:…" (the tag is dropped:
  /// the digest decides). This is the form the store keeps.
  [[nodiscard]] std::string full() const;
  /// As people write it: "nginx:latest", "user/app:1", "localhost:5000/app@sha256:…".
  [[nodiscard]] std::string familiar() const;
  [[nodiscard]] std::string familiar_name() const;
  bool operator==(const Reference&) const = default;
};

/// Errors: invalid ("invalid reference format", like Docker, with the reason).
Result<Reference> parse_reference(std::string_view text);
/// "sha256:" and 64 lower-case hex digits (or sha512 and 128): safe to use in a path.
bool is_digest(std::string_view text);
/// The part after "sha256:".
std::string_view digest_hex(std::string_view digest);

}  // namespace engine::images
