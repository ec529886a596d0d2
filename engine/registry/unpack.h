#pragma once
// Tar → directory, for bytes nobody vouches for. Nothing outside the directory can be reached, whatever the archive says.
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::registry {

using base::Result;

/// Limits against bombs. Generous: the biggest known images are far below.
struct UnpackLimits {
  std::int64_t bytes_max = std::int64_t{256} << 30;
  std::int64_t entries_max = 20'000'000;
  int depth_max = 4000;                   ///< directories below one another
};

enum class Whiteouts : std::uint8_t {
  to_overlay,                             ///< ".wh.x" becomes a 0:0 character device, opaque marks an xattr (a layer)
  literal,                                ///< names are only names (ADD of an archive)
};

struct UnpackOptions {
  Whiteouts whiteouts = Whiteouts::to_overlay;
  bool keep_owner = true;                 ///< false: everything belongs to uid, gid
  std::uint32_t uid = 0, gid = 0;
  bool keep_kinds = false;                ///< true: a directory in the way of something else, or the reverse, is an error, not replaced
  bool keep_top = true;                   ///< false: an entry for the root itself ("./") changes nothing there
  UnpackLimits limits;
  std::string input_algorithm = "sha256";  ///< of input_digest
  /// Opens a file of the layers below, for hard links that reach down; may be empty. Called on another thread.
  std::function<Result<base::UniqueFd>(const std::string& path)> open_below;
};

enum class Compression : std::uint8_t { none, gzip, zstd, other };

struct Unpacked {
  Compression compression = Compression::none;
  std::string diff_id;                    ///< sha256 of the uncompressed tar
  std::string input_digest;               ///< sha256 of the input as it came
  std::int64_t input_bytes = 0, tar_bytes = 0;
  std::int64_t content_bytes = 0;         ///< sum of file sizes
  std::int64_t entries = 0;
};

/// Where compressed bytes come from: fills the span, returns how many (0 = end).
using ByteSource = std::function<Result<std::size_t>(std::span<char>)>;

/// Unpacks a tar (plain, gzip or zstd by their magic; xz and bzip2 too for ADD) into the directory `root`, which must exist.
/// Errors: invalid (not an archive, truncated, an entry that tries to leave the root), exhausted (limits, disk), permission.
/// On error the directory is left half filled: unpack into a fresh one and rename it.
Result<Unpacked> unpack(const ByteSource& source, base::Fd root, const UnpackOptions& options);
/// Only reads and hashes: what a transfer that keeps nothing needs, and a check of an archive.
Result<Unpacked> digest_archive(const ByteSource& source);
/// From a file or pipe.
Result<Unpacked> unpack(base::Fd input, base::Fd root, const UnpackOptions& options);
/// True when the first bytes look like something unpack() takes: what ADD unpacks and what it copies.
bool is_archive(std::string_view first_bytes);

}  // namespace engine::registry
