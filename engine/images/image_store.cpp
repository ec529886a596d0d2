#include "engine/images/image_store.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/sys.h"

namespace engine::images {

using base::ErrorKind;

namespace {

base::Error no_such(const std::string& name) { return base::make_error(ErrorKind::not_found, "no such image: " + name); }

bool is_hex_text(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// "repo:tag" or "repo@digest", as Docker shows them.
std::string familiar(const std::string& normalised) {
  const auto parsed = parse_reference(normalised);
  return parsed ? parsed->familiar() : normalised;
}

void split_names(const std::vector<store::ReferenceRecord>& references, std::vector<std::string>& tags,
                 std::vector<std::string>& digests) {
  for (const auto& one : references)
    (one.reference.find('@') == std::string::npos ? tags : digests).push_back(one.reference);
}

/// The manifests of an index that was made or loaded here; empty for everything else, also for what only a registry has.
std::vector<std::string> manifests_of(const std::string& digest) {
  std::vector<std::string> children;
  const auto bytes = is_digest(digest) ? base::sys::read_file(blob_path(digest), 4 << 20) : base::Result<std::string>(std::string());
  const auto root = bytes ? nlohmann::json::parse(*bytes, nullptr, false) : nlohmann::json();
  const auto list = root.is_object() ? root.find("manifests") : root.end();
  if (!root.is_object() || list == root.end() || !list->is_array()) return children;
  for (const auto& one : *list)
    if (one.is_object() && one.contains("digest") && one["digest"].is_string()) children.push_back(one["digest"].get<std::string>());
  return children;
}

}  // namespace

Result<std::string> ImageStore::id_of(const std::string& name, WallNs* referenced) {
  std::string_view hex = name;
  const bool prefixed = hex.starts_with("sha256:");
  if (prefixed) hex.remove_prefix(7);
  if ((prefixed || name.size() == 64) && !is_hex_text(hex)) return no_such(name);
  const bool full = hex.size() == 64 && is_hex_text(hex);
  if (full) return "sha256:" + std::string(hex);
  auto reference = parse_reference(name);
  if (!prefixed && reference) {
    ASSIGN_OR_RETURN(const auto row, store_->reference(reference->full()));
    if (row) {
      if (referenced != nullptr) *referenced = row->updated;
      return row->image_id;
    }
  }
  if (is_hex_text(hex) && hex.size() >= 4) {
    ASSIGN_OR_RETURN(const auto ids, store_->image_ids_with_prefix(std::string(hex)));
    if (ids.size() > 1) return base::make_error(ErrorKind::invalid, "image id prefix '" + name + "' is ambiguous");
    if (ids.size() == 1) return ids.front();
  }
  if (!prefixed && !reference) return std::move(reference).error();
  return no_such(prefixed ? name : reference->familiar());
}

Result<Image> ImageStore::load(const store::ImageRecord& record, WallNs referenced) {
  Image image{.id = record.id, .config = {}, .chain_ids = record.chain_ids, .layer_dirs = {}, .tags = {}, .digests = {},
              .manifest_digest = record.manifest_digest, .size_bytes = record.size_bytes, .created = record.created,
              .added = record.added, .referenced = referenced};
  ASSIGN_OR_RETURN(image.config, parse_config(record.config_json));
  for (const auto& chain : record.chain_ids) {
    ASSIGN_OR_RETURN(const bool there, has_layer(chain));
    if (!there)
      return base::make_error(ErrorKind::not_found, "image " + record.id + " is incomplete: layer " + chain + " is missing");
    image.layer_dirs.push_back(layer_dir(chain));
  }
  ASSIGN_OR_RETURN(const auto references, store_->references(record.id));
  split_names(references, image.tags, image.digests);
  return image;
}

Result<Image> ImageStore::resolve(const std::string& name_or_id) {
  WallNs referenced = 0;
  ASSIGN_OR_RETURN(const auto id, id_of(name_or_id, &referenced));
  ASSIGN_OR_RETURN(const auto record, store_->image(id));
  if (!record) return no_such(name_or_id);
  return load(*record, referenced);
}

Result<Image> ImageStore::by_id(const std::string& id) {
  ASSIGN_OR_RETURN(const auto record, store_->image(id));
  if (!record) return no_such(id);
  return load(*record, 0);
}

Result<std::vector<Summary>> ImageStore::list() {
  ASSIGN_OR_RETURN(const auto records, store_->images());
  std::vector<Summary> all;
  for (const auto& record : records) {
    ASSIGN_OR_RETURN(const auto config, parse_config(record.config_json));
    Summary summary{.id = record.id, .tags = {}, .digests = {}, .platform = record.platform,
                    .size_bytes = record.size_bytes, .created = record.created, .added = record.added,
                    .labels = config.labels, .containers = 0};
    ASSIGN_OR_RETURN(const auto references, store_->references(record.id));
    split_names(references, summary.tags, summary.digests);
    ASSIGN_OR_RETURN(const auto users, store_->containers_of_image(record.id));
    summary.containers = static_cast<int>(users.size());
    all.push_back(std::move(summary));
  }
  return all;
}

Result<> ImageStore::tag(const std::string& source, const std::string& target) {
  ASSIGN_OR_RETURN(const auto reference, parse_reference(target));
  if (!reference.digest.empty())
    return base::make_error(ErrorKind::invalid, "refusing to create a tag with a digest reference: '" + target + "'");
  ASSIGN_OR_RETURN(const auto image, resolve(source));
  const auto old = parse_reference(source);
  ASSIGN_OR_RETURN(const auto row, old ? store_->reference(old->full()) : base::Result<std::optional<store::ReferenceRecord>>(std::nullopt));
  const auto platforms = row && row->image_id == image.id ? manifests_of(row->digest) : std::vector<std::string>{};
  const auto now = store::now_ns();
  ASSIGN_OR_RETURN(auto transaction, store_->begin());
  // Another name for an index is one for its images too.
  for (const auto& manifest : platforms) {
    ASSIGN_OR_RETURN(const auto part, store_->reference(old->name() + "@" + manifest));
    if (part) TRY(store_->put_reference({.reference = reference.name() + "@" + manifest, .image_id = part->image_id, .digest = manifest, .updated = now}));
  }
  const std::string digest = platforms.empty() ? "" : row->digest;
  if (!digest.empty()) TRY(store_->put_reference({.reference = reference.name() + "@" + digest, .image_id = image.id, .digest = digest, .updated = now}));
  TRY(store_->put_reference({.reference = reference.full(), .image_id = image.id, .digest = digest, .updated = now}));
  return transaction.commit();
}

Result<std::string> ImageStore::add(const NewImage& image) {
  ASSIGN_OR_RETURN(const auto config, parse_config(image.config_json));
  if (config.diff_ids.size() != image.chain_ids.size())
    return base::make_error(ErrorKind::invalid, "image config names " + std::to_string(config.diff_ids.size()) +
                                                    " layers, the image has " + std::to_string(image.chain_ids.size()));
  ASSIGN_OR_RETURN(auto transaction, store_->begin());
  store::ImageRecord record{.id = sha256_digest(image.config_json), .manifest_digest = image.manifest_digest,
                            .platform = config.platform(), .config_json = image.config_json,
                            .chain_ids = image.chain_ids, .size_bytes = 0, .created = parse_time(config.created),
                            .added = store::now_ns()};
  std::string parent;
  for (std::size_t i = 0; i < image.chain_ids.size(); ++i) {
    parent = chain_id(parent, config.diff_ids[i]);
    if (parent != image.chain_ids[i])
      return base::make_error(ErrorKind::invalid, "layer " + std::to_string(i) + " is not what the image config names");
    ASSIGN_OR_RETURN(const auto layer, store_->layer(parent));
    if (!layer) return base::make_error(ErrorKind::not_found, "layer " + parent + " is not in the store");
    record.size_bytes += layer->size_bytes;
  }
  TRY(store_->put_image(record));
  for (const auto& name : image.references) {
    ASSIGN_OR_RETURN(const auto reference, parse_reference(name));
    TRY(store_->put_reference({.reference = reference.full(), .image_id = record.id, .digest = image.served_digest,
                               .updated = record.added}));
    if (!image.served_digest.empty())
      TRY(store_->put_reference({.reference = reference.name() + "@" + image.served_digest, .image_id = record.id,
                                 .digest = image.served_digest, .updated = record.added}));
  }
  TRY(transaction.commit());
  return record.id;
}

Result<> ImageStore::drop(const std::string& id, Removed& removed) {
  ASSIGN_OR_RETURN(const auto names, store_->references(id));
  for (const auto& name : names) removed.untagged.push_back(familiar(name.reference));
  TRY(store_->remove_image(id));
  removed.deleted.push_back(id);
  return {};
}

/// The images of other platforms go with the last tag of their index: people know them by that name only. What a container uses stays
/// for prune.
Result<> ImageStore::drop_platforms(const std::string& digest, Removed& removed) {
  const auto manifests = manifests_of(digest);
  if (manifests.empty()) return {};
  ASSIGN_OR_RETURN(const auto rows, store_->references());
  std::set<std::string> tagged, candidates;
  for (const auto& row : rows) {
    const auto at = row.reference.find('@');
    if (at == std::string::npos) tagged.insert(row.image_id);
    if (at == std::string::npos && row.digest == digest) return {};
    if (at != std::string::npos && std::find(manifests.begin(), manifests.end(), row.reference.substr(at + 1)) != manifests.end()) candidates.insert(row.image_id);
  }
  for (const auto& id : candidates) {
    ASSIGN_OR_RETURN(const auto users, store_->containers_of_image(id));
    if (users.empty() && !tagged.contains(id)) TRY(drop(id, removed));
  }
  return {};
}

Result<Removed> ImageStore::remove(const std::string& name_or_id, RemoveOptions options) {
  Removed removed;
  {
    ASSIGN_OR_RETURN(auto transaction, store_->begin());
    ASSIGN_OR_RETURN(const auto id, id_of(name_or_id, nullptr));
    ASSIGN_OR_RETURN(const auto record, store_->image(id));
    if (!record) return no_such(name_or_id);
    ASSIGN_OR_RETURN(const auto names, store_->references(id));
    const auto parsed = parse_reference(name_or_id);
    const bool by_name = parsed && std::any_of(names.begin(), names.end(),
                                               [&](const auto& one) { return one.reference == parsed->full(); });
    std::vector<std::string> tags, digests;
    split_names(names, tags, digests);
    if (!by_name && tags.size() > 1 && !options.force)
      return base::make_error(ErrorKind::exists, "image " + name_or_id + " has several names; remove them one by one or use force");
    const bool last = !by_name || tags.empty() || (tags.size() == 1 && tags.front() == parsed->full());
    ASSIGN_OR_RETURN(const auto users, store_->containers_of_image(id));
    if (last && !users.empty() && !options.force)
      return base::make_error(ErrorKind::exists, "image " + name_or_id + " is used by container " + users.front().substr(0, 12));
    std::set<std::string> indexes;
    for (const auto& one : names)
      if (one.reference.find('@') == std::string::npos && (last || one.reference == parsed->full())) indexes.insert(one.digest);
    if (last && users.empty()) {
      TRY(drop(id, removed));
    } else {
      for (const auto& one : names) {
        if (!last && one.reference != parsed->full()) continue;
        TRY(store_->remove_reference(one.reference));
        removed.untagged.push_back(familiar(one.reference));
      }
    }
    for (const auto& digest : indexes) TRY(drop_platforms(digest, removed));
    TRY(transaction.commit());
  }
  if (removed.deleted.empty()) return removed;
  ASSIGN_OR_RETURN(removed.freed_bytes, collect_garbage());
  return removed;
}

Result<Removed> ImageStore::prune(PruneOptions options) {
  Removed removed;
  {
    ASSIGN_OR_RETURN(auto transaction, store_->begin());
    ASSIGN_OR_RETURN(const auto records, store_->images());
    for (const auto& record : records) {
      ASSIGN_OR_RETURN(const auto users, store_->containers_of_image(record.id));
      if (!users.empty()) continue;
      if (!options.label.empty()) {
        ASSIGN_OR_RETURN(const auto config, parse_config(record.config_json));
        const auto equals = options.label.find('=');
        const auto label = config.labels.find(options.label.substr(0, equals));
        if (label == config.labels.end() || (equals != std::string::npos && label->second != options.label.substr(equals + 1))) continue;
      }
      ASSIGN_OR_RETURN(const auto names, store_->references(record.id));
      std::vector<std::string> tags, digests;
      split_names(names, tags, digests);
      if (options.all || tags.empty()) TRY(drop(record.id, removed));
    }
    TRY(transaction.commit());
  }
  ASSIGN_OR_RETURN(removed.freed_bytes, collect_garbage());
  return removed;
}

}  // namespace engine::images
