#pragma once
// Decompression of a byte stream by its magic. Private to the room.
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "engine/registry/unpack.h"

namespace engine::registry {

class Inflater {
 public:
  virtual ~Inflater() = default;
  /// Fills `into` as far as it can; 0 = end of stream. Error invalid: damaged or truncated.
  virtual Result<std::size_t> read(std::span<char> into) = 0;
};

Compression detect_compression(std::string_view first_bytes);

/// Reads a little of `source` to see what it is. gzip (several members), zstd (several frames), xz, bzip2, lzma; else as is.
/// `source` must live as long as the result.
struct Inflating {
  std::unique_ptr<Inflater> inflater;
  Compression compression = Compression::none;
};
Result<Inflating> make_inflater(const ByteSource& source);

}  // namespace engine::registry
