#pragma once
// Directory → tar: a layer's unpacked form (overlay upper directory) back into the bytes of a layer.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::registry {

using base::Result;

struct Packed {
  std::string diff_id;                 ///< sha256 of the tar
  std::int64_t tar_bytes = 0;
  std::int64_t content_bytes = 0;
  std::string blob_digest;             ///< of the gzip form; "" when none was asked for
  std::int64_t blob_bytes = 0;
};

/// Where the bytes go; may be empty when only digests are wanted.
using ByteSink = std::function<Result<>(std::string_view)>;

struct PackOptions {
  bool gzip = false;                   ///< the sink gets gzip, else the tar
  bool layer = true;                   ///< false: overlay's marks mean nothing, devices 0:0 and all are what they are
  /// SOURCE_DATE_EPOCH: times later than this are clamped to it.
  std::optional<std::int64_t> clamp_mtime_s;
};

/// Entries in name order, PAX headers where ustar has no room, 0:0 devices as ".wh." files, opaque directories as
/// ".wh..wh..opq", hard links kept, sockets left out: the same tree always makes the same bytes.
Result<Packed> pack(base::Fd directory, const ByteSink& sink, const PackOptions& options);

/// Only what `directory` holds under `name`, with everything below it, called `as` in the archive. A link is taken as a link. `as` "."
/// says a folder's contents: "./", "./a", …
Result<Packed> pack_entry(base::Fd directory, const std::string& name, const std::string& as, const ByteSink& sink,
                          const PackOptions& options);

}  // namespace engine::registry
