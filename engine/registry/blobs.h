#pragma once
// Compressed layers in the blob store: kept when they come in, made when they go out. Private to the room.
#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/images/image_store.h"
#include "engine/registry/hash.h"
#include "engine/registry/gzip_writer.h"
#include "engine/registry/manifest.h"
#include "engine/registry/unpack.h"

namespace engine::registry {

/// A file below images/partial that goes away unless it is kept.
class PartialFile {
 public:
  static Result<PartialFile> create();
  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&&) = delete;
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  ~PartialFile();
  [[nodiscard]] base::Fd fd() const { return fd_.borrow(); }
  /// Makes it the blob `digest`.
  Result<> keep(const std::string& digest);

 private:
  PartialFile(std::filesystem::path path, base::UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::filesystem::path path_;
  base::UniqueFd fd_;
};

/// Writes a layer's bytes aside as they are read: gzip and zstd as they come, a plain tar as gzip. Other compressions are
/// not kept: registries take none of them.
class BlobKeeper {
 public:
  explicit BlobKeeper(PartialFile file);
  /// Reads `source` and keeps what passes by.
  Result<std::size_t> read(const ByteSource& source, std::span<char> into);
  struct Kept {
    std::string digest, media_type;   ///< "" when nothing was kept
    std::int64_t bytes = 0;
  };
  /// After the end of the stream.
  Result<Kept> finish();

 private:
  Result<> take(std::span<const char> bytes);
  Result<> write(std::span<const char> bytes);
  PartialFile file_;
  Hasher hasher_;
  std::unique_ptr<GzipWriter> gzip_;
  std::string start_;
  Compression compression_ = Compression::none;
  bool known_ = false;
  std::int64_t bytes_ = 0;
};

/// The compressed form of a layer, made from its folder when there is none yet.
/// Errors: not_found (no such layer), internal (its folder no longer makes the same tar).
Result<Descriptor> ensure_blob(store::Store& store, const std::string& chain_id);

/// What a registry or archive gets for an image: the manifest as it was pulled when every blob is still there, else a new one.
struct Outgoing {
  std::string manifest, media_type, digest;
  std::string config;
  Descriptor config_blob;
  std::vector<Descriptor> layers;
};
Result<Outgoing> outgoing(store::Store& store, const images::Image& image);

}  // namespace engine::registry
