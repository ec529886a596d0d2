#include "engine/registry/image_index.h"

#include <nlohmann/json.hpp>

#include "base/sys.h"
#include "engine/registry/blobs.h"
#include "engine/registry/manifest.h"

namespace engine::registry {

using images::ImageStore;
using ordered = nlohmann::ordered_json;

namespace {

constexpr std::size_t manifest_max = 4u << 20;

ordered descriptor(const Outgoing& image, const images::ImageConfig& config) {
  ordered platform{{"architecture", config.architecture}, {"os", config.os}};
  if (!config.variant.empty()) platform["variant"] = config.variant;
  return {{"mediaType", image.media_type}, {"digest", image.digest}, {"size", image.manifest.size()}, {"platform", std::move(platform)}};
}

/// Its manifest becomes a blob that names it, so that it can be found from the index.
Result<> keep_manifest(store::Store& store, const std::string& id, const Outgoing& image) {
  TRY(base::sys::replace_file(images::blob_path(image.digest), image.manifest, 0600));
  ASSIGN_OR_RETURN(auto record, store.image(id));
  if (!record) return base::make_error(base::ErrorKind::not_found, "no such image: " + id);
  record->manifest_digest = image.digest;
  return store.put_image(*record);
}

}  // namespace

Result<std::string> name_index(store::Store& store, const std::vector<std::string>& image_ids, const std::string& main,
                               const std::vector<std::string>& names) {
  ImageStore images(store);
  ordered index{{"schemaVersion", 2}, {"mediaType", media::oci_index}, {"manifests", ordered::array()}};
  std::vector<std::pair<std::string, std::string>> manifests;  // digest → image
  for (const auto& id : image_ids) {
    ASSIGN_OR_RETURN(const auto image, images.by_id(id));
    ASSIGN_OR_RETURN(const auto parts, outgoing(store, image));
    TRY(keep_manifest(store, id, parts));
    index["manifests"].push_back(descriptor(parts, image.config));
    manifests.emplace_back(parts.digest, id);
  }
  const std::string bytes = index.dump();
  TRY(keep_index(store, bytes, manifests, main, names));
  return images::sha256_digest(bytes);
}

Result<> keep_index(store::Store& store, const std::string& bytes, const std::vector<std::pair<std::string, std::string>>& manifests,
                    const std::string& main, const std::vector<std::string>& names) {
  const auto digest = images::sha256_digest(bytes);
  TRY(base::sys::replace_file(images::blob_path(digest), bytes, 0600));
  ASSIGN_OR_RETURN(auto transaction, store.begin());
  const auto now = store::now_ns();
  for (const auto& text : names) {
    ASSIGN_OR_RETURN(const auto name, images::parse_reference(text));
    for (const auto& [manifest, id] : manifests)
      TRY(store.put_reference({.reference = name.name() + "@" + manifest, .image_id = id, .digest = manifest, .updated = now}));
    TRY(store.put_reference({.reference = name.name() + "@" + digest, .image_id = main, .digest = digest, .updated = now}));
    TRY(store.put_reference({.reference = name.full(), .image_id = main, .digest = digest, .updated = now}));
  }
  return transaction.commit();
}

Result<std::optional<StoredIndex>> stored_index(store::Store& store, const images::Reference& reference) {
  ASSIGN_OR_RETURN(const auto row, store.reference(reference.full()));
  if (!row || row->digest.empty()) return std::optional<StoredIndex>();
  auto bytes = base::sys::read_file(images::blob_path(row->digest), manifest_max);
  if (!bytes) return std::optional<StoredIndex>();  // pulled: the registry has it
  const auto index = parse_manifest(*bytes, "");
  if (!index || !index->is_index) return std::optional<StoredIndex>();
  StoredIndex found{.bytes = *std::move(bytes), .digest = row->digest, .images = {}};
  for (const auto& child : index->children) {
    ASSIGN_OR_RETURN(const auto part, store.reference(reference.name() + "@" + child.digest));
    if (!part) return std::optional<StoredIndex>();
    auto image = ImageStore(store).by_id(part->image_id);
    if (!image || image->manifest_digest != child.digest) return std::optional<StoredIndex>();
    found.images.push_back(*std::move(image));
  }
  return std::optional(std::move(found));
}

}  // namespace engine::registry
