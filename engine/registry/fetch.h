#pragma once
// Plain downloads for the builder (ADD of a URL), with the registry client's TLS, proxy and retry rules.
#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::registry {

using base::Result;

struct Download {
  std::string digest;           ///< sha256 of the body
  std::int64_t bytes = 0;
  std::int64_t last_modified_s = 0;  ///< 0 = the server did not say
  std::string etag;
  std::string file_name;        ///< from Content-Disposition, else ""
  std::string content_type;
};

/// GET into `output` (written from its current offset). http and https only; 10 redirects; `bytes_max` bounds the body.
/// Errors: not_found (404, 410), permission (401, 403), unavailable, exhausted, invalid (URL).
Result<Download> fetch_url(const std::string& url, base::Fd output, std::int64_t bytes_max);

}  // namespace engine::registry
