// A root file system becomes an image of one layer.
#include "base/sys.h"
#include "engine/images/image_store.h"
#include "engine/registry/archive.h"
#include "engine/registry/blobs.h"
#include "engine/registry/changes.h"
#include "engine/registry/tar_pipe.h"

namespace engine::registry {

using base::Fd;
using images::ImageStore;

namespace {

/// The finished layer as an image with the wanted config.
Result<Loaded> finish(store::Store& store, const std::filesystem::path& folder, images::NewLayer layer, const ImportOptions& options) {
  images::ImageConfig config;
  const auto platform = options.platform.empty() ? images::host_platform() : options.platform;
  const auto first = platform.find('/'), second = platform.find('/', first + 1);
  if (first == std::string::npos) return base::make_error(base::ErrorKind::invalid, "'" + platform + "' is not a platform (OS/ARCH)");
  config.os = platform.substr(0, first);
  config.architecture = platform.substr(first + 1, second == std::string::npos ? second : second - first - 1);
  if (second != std::string::npos) config.variant = platform.substr(second + 1);
  config.created = images::format_time(store::now_ns());
  config.diff_ids = {layer.diff_id};
  config.history = {{.created = config.created, .created_by = "", .author = "", .comment = options.message.empty() ? "imported" : options.message}};
  TRY(apply_changes(options.changes, config));
  ImageStore images(store);
  ASSIGN_OR_RETURN(const auto chain, images.add_layer(folder, layer));
  images::NewImage image{.config_json = images::to_json(config), .chain_ids = {chain}};
  if (!options.reference.empty()) image.references = {options.reference};
  ASSIGN_OR_RETURN(const auto id, images.add(image));
  images::settle_in_background();
  Loaded loaded{.id = id, .references = {}};
  if (!options.reference.empty()) {
    ASSIGN_OR_RETURN(const auto reference, images::parse_reference(options.reference));
    loaded.references.push_back(reference.full());
  }
  return loaded;
}

/// Errors that are certain before any work.
Result<> check(const ImportOptions& options) {
  images::ImageConfig scratch;
  TRY(apply_changes(options.changes, scratch));
  if (options.reference.empty()) return {};
  ASSIGN_OR_RETURN(const auto reference, images::parse_reference(options.reference));
  if (!reference.digest.empty()) return base::make_error(base::ErrorKind::invalid, "cannot import to a digest reference");
  return {};
}

}  // namespace

Result<Loaded> import_tar(store::Store& store, Fd input, const ImportOptions& options) {
  TRY(check(options));
  ASSIGN_OR_RETURN(const auto lease, ImageStore::lease());
  ASSIGN_OR_RETURN(auto file, PartialFile::create());
  ASSIGN_OR_RETURN(const auto folder, ImageStore::new_layer_dir());
  BlobKeeper keeper(std::move(file));
  const ByteSource raw = [input](std::span<char> into) { return base::sys::read(input, into); };
  auto loaded = [&]() -> Result<Loaded> {
    ASSIGN_OR_RETURN(const auto root, base::sys::open(folder, O_RDONLY | O_DIRECTORY));
    ASSIGN_OR_RETURN(const auto done, unpack([&](std::span<char> into) { return keeper.read(raw, into); }, root.borrow(), {}));
    ASSIGN_OR_RETURN(const auto kept, keeper.finish());
    images::NewLayer layer{.parent_chain_id = "", .diff_id = done.diff_id, .blob_digest = kept.digest, .blob_media_type = kept.media_type,
                           .blob_bytes = kept.bytes, .size_bytes = done.content_bytes};
    if (kept.digest.empty()) {
      // A compression no registry takes: the layer is what our own archive of the folder says, so that push can make it.
      ASSIGN_OR_RETURN(const auto packed, pack(root.borrow(), {}, {}));
      layer.diff_id = packed.diff_id;
    }
    return finish(store, folder, layer, options);
  }();
  if (!loaded) (void)base::sys::remove_tree(folder);
  return loaded;
}

Result<Loaded> import_directory(store::Store& store, const std::filesystem::path& source, const ImportOptions& options) {
  TRY(check(options));
  ASSIGN_OR_RETURN(const auto lease, ImageStore::lease());
  ASSIGN_OR_RETURN(const auto from, base::sys::open(source, O_RDONLY | O_DIRECTORY));
  ASSIGN_OR_RETURN(const auto folder, ImageStore::new_layer_dir());
  auto loaded = [&]() -> Result<Loaded> {
    ASSIGN_OR_RETURN(const auto root, base::sys::open(folder, O_RDONLY | O_DIRECTORY));
    Packed packed;
    const auto write = [&](const ByteSink& sink) -> Result<> {
      ASSIGN_OR_RETURN(packed, pack(from.borrow(), sink, {}));
      return {};
    };
    const auto read = [&](const ByteSource& tar) -> Result<> {
      TRY(unpack(tar, root.borrow(), {}));
      return {};
    };
    TRY(tar_pipe(write, read));
    return finish(store, folder, {.parent_chain_id = "", .diff_id = packed.diff_id, .size_bytes = packed.content_bytes}, options);
  }();
  if (!loaded) (void)base::sys::remove_tree(folder);
  return loaded;
}

}  // namespace engine::registry
