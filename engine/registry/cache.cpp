#include "engine/registry/cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "base/sys.h"
#include "engine/images/image_store.h"
#include "engine/registry/blobs.h"
#include "engine/registry/layer_fetch.h"
#include "engine/registry/manifest.h"
#include "engine/registry/place.h"

namespace engine::registry {

using base::ErrorKind;
using nlohmann::json;
using ordered = nlohmann::ordered_json;

namespace {

constexpr const char* config_type = "application/vnd.compose.buildcache.config.v1+json";
constexpr const char* inline_key = "vnd.compose.buildcache.v1";
constexpr int index_depth_max = 4;
constexpr std::size_t config_max = 32u << 20, entries_max = 100'000;

base::Error malformed(const std::string& why) { return base::make_error(ErrorKind::invalid, "not a build cache: " + why); }

ordered descriptor(const std::string& type, const std::string& digest, std::size_t size) {
  return {{"mediaType", type}, {"digest", digest}, {"size", size}};
}

Result<> write_bytes(Place& place, const std::string& digest, const std::string& bytes) {
  ASSIGN_OR_RETURN(const bool there, place.has_blob(digest));
  if (there) return {};
  ASSIGN_OR_RETURN(const auto file, PartialFile::create());
  TRY(base::sys::write_all(file.fd(), bytes));
  return place.write_blob({.media_type = config_type, .digest = digest, .size = static_cast<std::int64_t>(bytes.size())}, file.fd());
}

class Source final : public CacheSource {
 public:
  explicit Source(std::unique_ptr<Place> place) : place_(std::move(place)) {}

  Result<> read() {
    ASSIGN_OR_RETURN(auto top, place_->manifest(""));
    ASSIGN_OR_RETURN(top, image_of(std::move(top)));
    const auto root = json::parse(top.bytes, nullptr, false);
    if (!root.is_object()) return malformed("no JSON object");
    try {
      const bool image = root.at("config").at("mediaType") != config_type;
      ASSIGN_OR_RETURN(const auto text, config_of(root.at("config")));
      return image ? read_image(root, json::parse(text)) : read_cache(root, json::parse(text));
    } catch (const json::exception& error) {
      return malformed(error.what());
    }
  }

  [[nodiscard]] const CacheEntry* find(const std::string& key) const override {
    const auto found = entries_.find(key);
    return found == entries_.end() ? nullptr : &found->second;
  }

  Result<std::string> fetch(store::Store& store, const CacheEntry& entry) override {
    const std::lock_guard guard(mutex_);
    std::vector<Descriptor> blobs;
    for (const auto& id : entry.diff_ids) blobs.push_back(blobs_.at(id));
    if (place_->client() == nullptr) {
      for (const auto& blob : blobs) TRY(take_in(store, blob));
    }
    auto jobs = plan_layers(blobs, entry.diff_ids);
    const std::string chain = jobs.back().chain_id;
    TRY(LayerFetcher(store, place_->client(), std::move(jobs), {}).run());
    return chain;
  }

 private:
  /// Of an index, the image for this machine.
  Result<Fetched> image_of(Fetched top) {
    for (int depth = 0; depth < index_depth_max; ++depth) {
      const auto root = json::parse(top.bytes, nullptr, false);
      if (!root.is_object() || !root.contains("manifests")) return top;
      ASSIGN_OR_RETURN(const auto index, parse_manifest(top.bytes, top.media_type));
      ASSIGN_OR_RETURN(const auto child, choose_platform(index, "", "the cache"));
      ASSIGN_OR_RETURN(top, place_->manifest(child.digest));
    }
    return malformed("indexes nested too deep");
  }

  Result<std::string> config_of(const json& descriptor) {
    const Descriptor config{.media_type = "", .digest = descriptor.at("digest"), .size = descriptor.at("size")};
    if (!images::is_digest(config.digest) || config.size < 0 || config.size > static_cast<std::int64_t>(config_max)) return malformed("a config that cannot be");
    ASSIGN_OR_RETURN(const auto file, PartialFile::create());
    TRY(place_->read_blob(config, file.fd()));
    return base::sys::read_file("/proc/self/fd/" + std::to_string(file.fd().number()), config_max);
  }

  Result<> read_layers(const json& layers, const std::vector<std::string>& diff_ids) {
    if (layers.size() != diff_ids.size()) return malformed("layers and diff ids differ in number");
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const Descriptor blob{.media_type = layers[i].at("mediaType"), .digest = layers[i].at("digest"), .size = layers[i].at("size")};
      if (!images::is_digest(blob.digest) || blob.size < 0 || !images::is_digest(diff_ids[i])) return malformed("a layer without digest or size");
      blobs_[diff_ids[i]] = blob;
    }
    return {};
  }

  Result<> take(CacheEntry entry) {
    if (entries_.size() == entries_max) return malformed("too many steps");
    for (const auto& id : entry.diff_ids)
      if (!images::is_digest(id) || !blobs_.contains(id)) return malformed("a step whose layer is missing");
    if (!images::is_digest(entry.key) || entry.diff_ids.empty()) return malformed("a step without a key or a layer");
    entries_[entry.key] = std::move(entry);
    return {};
  }

  Result<> read_cache(const json& manifest, const json& index) {
    TRY(read_layers(manifest.at("layers"), index.at("diff_ids")));
    for (const auto& one : index.at("entries"))
      TRY(take({.key = one.at("key"), .text = one.at("text"), .diff_ids = one.at("diff_ids"), .created = one.at("created")}));
    return {};
  }

  Result<> read_image(const json& manifest, const json& config) {
    const auto kept = config.find(inline_key);
    if (kept == config.end()) return malformed("an image, without what its build left (cache_to type=inline keeps it)");
    const std::vector<std::string> diff_ids = config.at("rootfs").at("diff_ids");
    TRY(read_layers(manifest.at("layers"), diff_ids));
    for (const auto& one : kept->at("entries")) {
      const std::size_t count = one.at("layers");
      if (count > diff_ids.size()) return malformed("a step whose layer is missing");
      TRY(take({.key = one.at("key"), .text = one.at("text"),
                .diff_ids = {diff_ids.begin(), diff_ids.begin() + static_cast<std::ptrdiff_t>(count)}, .created = one.at("created")}));
    }
    return {};
  }

  /// A folder's blob into the blob store, where layers are unpacked from.
  Result<> take_in(store::Store&, const Descriptor& blob) {
    const auto path = images::blob_path(blob.digest);
    if (::access(path.c_str(), F_OK) == 0) return {};
    ASSIGN_OR_RETURN(auto file, PartialFile::create());
    TRY(place_->read_blob(blob, file.fd()));
    return file.keep(blob.digest);
  }

  std::unique_ptr<Place> place_;
  std::map<std::string, Descriptor> blobs_;  ///< by diff id
  std::map<std::string, CacheEntry> entries_;
  std::mutex mutex_;
};

}  // namespace

Result<> export_cache(store::Store& store, const std::vector<CacheEntry>& entries, const std::string& to) {
  ASSIGN_OR_RETURN(const auto place, open_place(to, "pull,push"));
  ordered config{{"entries", ordered::array()}, {"diff_ids", ordered::array()}};
  auto layers = ordered::array();
  std::set<std::string> written;
  for (const auto& entry : entries) {
    std::string parent;
    for (const auto& diff_id : entry.diff_ids) {
      parent = images::chain_id(parent, diff_id);
      if (!written.insert(diff_id).second) continue;
      ASSIGN_OR_RETURN(const Descriptor blob, ensure_blob(store, parent));
      ASSIGN_OR_RETURN(const bool there, place->has_blob(blob.digest));
      if (!there) {
        ASSIGN_OR_RETURN(const auto file, base::sys::open(images::blob_path(blob.digest), O_RDONLY));
        TRY(place->write_blob(blob, file.borrow()));
      }
      layers.push_back(descriptor(blob.media_type, blob.digest, static_cast<std::size_t>(blob.size)));
      config["diff_ids"].push_back(diff_id);
    }
    config["entries"].push_back({{"key", entry.key}, {"text", entry.text}, {"created", entry.created}, {"diff_ids", entry.diff_ids}});
  }
  const std::string config_bytes = config.dump(-1, ' ', false, ordered::error_handler_t::replace);
  const auto config_digest = images::sha256_digest(config_bytes);
  TRY(write_bytes(*place, config_digest, config_bytes));
  const ordered manifest{{"schemaVersion", 2}, {"mediaType", media::oci_manifest}, {"config", descriptor(config_type, config_digest, config_bytes.size())}, {"layers", layers}};
  Fetched top{.bytes = manifest.dump(), .media_type = std::string(media::oci_manifest), .digest = ""};
  top.digest = images::sha256_digest(top.bytes);
  return place->write_manifest(top, true);
}

Result<std::string> with_inline_cache(const std::string& config_json, const std::vector<CacheEntry>& entries) {
  auto config = ordered::parse(config_json, nullptr, false);
  if (!config.is_object()) return base::make_error(ErrorKind::invalid, "an image config that is no JSON object");
  const auto rootfs = config.value("rootfs", ordered::object());
  const auto diff_ids = rootfs.value("diff_ids", std::vector<std::string>{});
  auto kept = ordered::array();
  for (const auto& entry : entries) {
    if (entry.diff_ids.empty() || entry.diff_ids.size() > diff_ids.size() || !std::equal(entry.diff_ids.begin(), entry.diff_ids.end(), diff_ids.begin())) continue;
    kept.push_back({{"key", entry.key}, {"text", entry.text}, {"created", entry.created}, {"layers", entry.diff_ids.size()}});
  }
  config[inline_key] = {{"entries", std::move(kept)}};
  return config.dump(-1, ' ', false, ordered::error_handler_t::replace);
}

Result<std::unique_ptr<CacheSource>> CacheSource::open(const std::string& from) {
  TRY(images::prepare_folders());
  ASSIGN_OR_RETURN(auto place, open_place(from, "pull"));
  auto source = std::make_unique<Source>(std::move(place));
  TRY(source->read().with(from));
  return std::unique_ptr<CacheSource>(std::move(source));
}

}  // namespace engine::registry
