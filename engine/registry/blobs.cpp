#include "engine/registry/blobs.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/registry/inflate.h"
#include "engine/registry/pack.h"

namespace engine::registry {

using base::ErrorKind;
using base::Fd;
using base::UniqueFd;

Result<PartialFile> PartialFile::create() {
  TRY(images::prepare_folders());
  auto pattern = (paths::images() / "partial" / "new-XXXXXX").string();
  UniqueFd fd(mkostemp(pattern.data(), O_CLOEXEC));
  if (!fd.valid()) return base::errno_error(errno, "make a file in " + (paths::images() / "partial").string());
  return PartialFile(pattern, std::move(fd));
}

PartialFile::PartialFile(PartialFile&& other) noexcept : path_(std::exchange(other.path_, {})), fd_(std::move(other.fd_)) {}
PartialFile::~PartialFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}
Result<> PartialFile::keep(const std::string& digest) {
  TRY(base::sys::rename(path_, images::blob_path(digest)));
  path_.clear();
  return {};
}

BlobKeeper::BlobKeeper(PartialFile file) : file_(std::move(file)) {}

Result<> BlobKeeper::write(std::span<const char> bytes) {
  hasher_.update(bytes);
  bytes_ += static_cast<std::int64_t>(bytes.size());
  return base::sys::write_all(file_.fd(), {bytes.data(), bytes.size()});
}

Result<> BlobKeeper::take(std::span<const char> bytes) {
  if (!known_) {
    start_.append(bytes.begin(), bytes.end());
    if (start_.size() < 512 && !bytes.empty()) return {};
    known_ = true;
    compression_ = detect_compression(start_);
    if (compression_ == Compression::none)
      gzip_ = std::make_unique<GzipWriter>([this](std::span<const char> out) { return write(out); });
    const auto first = std::exchange(start_, {});
    return take(first);
  }
  if (compression_ == Compression::other) return {};
  return gzip_ ? gzip_->write(bytes) : write(bytes);
}

Result<std::size_t> BlobKeeper::read(const ByteSource& source, std::span<char> into) {
  ASSIGN_OR_RETURN(const auto count, source(into));
  if (count > 0) TRY(take(into.first(count)));
  return count;
}

Result<BlobKeeper::Kept> BlobKeeper::finish() {
  if (!known_) TRY(take({}));
  if (compression_ == Compression::other) return Kept{};
  if (gzip_) TRY(gzip_->finish());
  Kept kept{.digest = hasher_.finish(), .media_type = std::string(compression_ == Compression::zstd ? media::oci_layer_zstd : media::oci_layer_gzip), .bytes = bytes_};
  TRY(file_.keep(kept.digest));
  return kept;
}

Result<Descriptor> ensure_blob(store::Store& store, const std::string& chain) {
  ASSIGN_OR_RETURN(auto row, store.layer(chain));
  if (!row) return base::make_error(ErrorKind::not_found, "no such layer: " + chain);
  const auto describe = [](const store::LayerRecord& layer) {
    return Descriptor{.media_type = layer.blob_media_type, .digest = layer.blob_digest, .size = layer.blob_bytes};
  };
  if (!row->blob_digest.empty() && access(images::blob_path(row->blob_digest).c_str(), R_OK) == 0) return describe(*row);
  ASSIGN_OR_RETURN(auto file, PartialFile::create());
  ASSIGN_OR_RETURN(const auto folder, base::sys::open(images::layer_dir(chain), O_RDONLY | O_DIRECTORY));
  const Fd out = file.fd();
  ASSIGN_OR_RETURN(const auto packed, pack(folder.borrow(), [out](std::string_view bytes) { return base::sys::write_all(out, bytes); }, {.gzip = true}));
  if (packed.diff_id != row->diff_id)
    return base::make_error(ErrorKind::internal, "layer " + chain + " was kept without its archive, and its folder makes another one (" + packed.diff_id + " instead of " + row->diff_id + ")");
  TRY(file.keep(packed.blob_digest));
  row->blob_digest = packed.blob_digest;
  row->blob_bytes = packed.blob_bytes;
  row->blob_media_type = media::oci_layer_gzip;
  TRY(store.put_layer(*row));
  return describe(*row);
}

namespace {
/// A new manifest is OCI's, so its layers are too.
std::string oci_type(const std::string& type) {
  if (type.find("zstd") != std::string::npos) return std::string(media::oci_layer_zstd);
  if (type.find("gzip") != std::string::npos) return std::string(media::oci_layer_gzip);
  return std::string(media::oci_layer);
}
}  // namespace

Result<Outgoing> outgoing(store::Store& store, const images::Image& image) {
  ASSIGN_OR_RETURN(const auto record, store.image(image.id));
  if (!record) return base::make_error(ErrorKind::not_found, "no such image: " + image.id);
  Outgoing result{.manifest = "", .media_type = "", .digest = "", .config = record->config_json, .config_blob = {}, .layers = {}};
  if (!record->manifest_digest.empty()) {
    auto bytes = base::sys::read_file(images::blob_path(record->manifest_digest), 4 << 20);
    auto manifest = bytes ? parse_manifest(*bytes, "") : Result<Manifest>(bytes.error());
    bool whole = manifest && !manifest->is_index;
    for (std::size_t i = 0; whole && i < manifest->layers.size(); ++i)
      whole = access(images::blob_path(manifest->layers[i].digest).c_str(), R_OK) == 0;
    if (whole) {
      result.manifest = *std::move(bytes);
      result.digest = record->manifest_digest;
      result.media_type = manifest->media_type.empty() ? std::string(media::oci_manifest) : manifest->media_type;
      result.config_blob = manifest->config;
      result.layers = manifest->layers;
      return result;
    }
  }
  result.config_blob = {.media_type = std::string(media::oci_config), .digest = image.id, .size = static_cast<std::int64_t>(result.config.size())};
  for (const auto& chain : record->chain_ids) {
    ASSIGN_OR_RETURN(auto layer, ensure_blob(store, chain));
    layer.media_type = oci_type(layer.media_type);
    result.layers.push_back(std::move(layer));
  }
  result.media_type = media::oci_manifest;
  result.manifest = make_manifest(result.config_blob, result.layers);
  result.digest = images::sha256_digest(result.manifest);
  return result;
}

}  // namespace engine::registry
