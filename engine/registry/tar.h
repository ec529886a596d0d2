#pragma once
// Reading tar: ustar, GNU long names and numbers, PAX, sparse files. Strict, no copies of file data. Private to the room.
// Not libarchive: that rewrites names by locale, alters security.capability, and takes a truncated archive for a whole one.
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace engine::registry {

using base::Result;

struct TarEntry {
  enum class Type : std::uint8_t { file, hard_link, symlink, character, block, directory, fifo, unknown };
  struct Extent {
    std::int64_t offset = 0, size = 0;
  };
  Type type = Type::file;
  std::string name, link;             ///< as in the archive: untrusted bytes
  std::uint32_t mode = 0, uid = 0, gid = 0;
  std::int64_t size = 0;              ///< of the file; data in the archive is less when sparse
  std::int64_t mtime_s = 0;
  std::int64_t mtime_ns = 0;
  std::uint32_t device_major = 0, device_minor = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
  bool sparse = false;
  std::vector<Extent> extents;        ///< of a sparse file: where its data belongs
};

/// The next piece of the archive; empty at the end. Valid until the next call.
using ChunkSource = std::function<Result<std::span<const char>>()>;
/// Passes over that many bytes of the archive, which come after the last piece. Error invalid: there are fewer.
using SkipSource = std::function<Result<>(std::int64_t)>;

class TarReader {
 public:
  /// Without `skip`, data nobody asks for is read all the same.
  explicit TarReader(ChunkSource source, SkipSource skip = {}) : source_(std::move(source)), skip_(std::move(skip)) {}
  /// The next entry; false at the end of the archive. Skips data not yet read. Error invalid: malformed, truncated.
  Result<bool> next(TarEntry& entry);
  /// The next piece of the entry's data; empty when there is no more.
  Result<std::span<const char>> data();
  /// Bytes of the archive before what comes next: after next(), where the entry's data begins.
  [[nodiscard]] std::int64_t position() const { return given_ - static_cast<std::int64_t>(view_.size()); }
  /// Reads to the end of the stream: what follows the end mark belongs to the digest too.
  Result<> drain();

 private:
  struct Extended;
  Result<bool> fill();
  Result<bool> block(std::span<char> into);
  Result<std::string> text(std::int64_t size);
  /// `may_end`: the stream may end before.
  Result<> skip(std::int64_t count, bool may_end = false);
  Result<> read_header(std::string_view header, const Extended& extended, TarEntry& entry);
  Result<> read_sparse(std::string_view header, const Extended& extended, TarEntry& entry);
  Result<> read_old_sparse(std::string_view header, TarEntry& entry);
  Result<> read_sparse_map(TarEntry& entry);

  ChunkSource source_;
  SkipSource skip_;
  std::int64_t given_ = 0;  ///< bytes got or passed over
  std::span<const char> view_;
  std::int64_t data_left_ = 0, padding_ = 0;
  std::vector<std::pair<std::string, std::string>> global_;
};

/// A 512-byte block with a correct checksum that is not all zeros.
bool is_tar_header(std::string_view block);

}  // namespace engine::registry
