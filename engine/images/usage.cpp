#include "engine/images/usage.h"

#include <fcntl.h>
#include <fts.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <set>

#include "base/sys.h"
#include "engine/api/paths.h"

namespace engine::images {
namespace {

namespace fs = std::filesystem;

/// Layers by chain id with their parents', so that "used by" can be walked down.
using Layers = std::map<std::string, store::LayerRecord>;

void mark(const Layers& layers, std::string chain, std::set<std::string>& marked) {
  while (!chain.empty() && marked.insert(chain).second) {
    const auto found = layers.find(chain);
    if (found == layers.end()) return;
    chain = found->second.parent_chain_id;
  }
}

std::int64_t bytes_of(const Layers& layers, const std::set<std::string>& chains) {
  std::int64_t total = 0;
  std::set<std::string> blobs;
  for (const auto& chain : chains) {
    const auto found = layers.find(chain);
    if (found == layers.end()) continue;
    total += found->second.size_bytes;
    if (!found->second.blob_digest.empty() && blobs.insert(found->second.blob_digest).second) total += found->second.blob_bytes;
  }
  return total;
}

std::set<std::string> without(const std::set<std::string>& all, const std::set<std::string>& others) {
  std::set<std::string> rest;
  std::set_difference(all.begin(), all.end(), others.begin(), others.end(), std::inserter(rest, rest.end()));
  return rest;
}

Result<Layers> read_layers(store::Store& store) {
  ASSIGN_OR_RETURN(auto rows, store.layers());
  Layers layers;
  for (auto& row : rows) layers.emplace(row.chain_id, std::move(row));
  return layers;
}

fs::path mounts_folder() { return paths::build_cache() / "mounts"; }

/// Folders of RUN --mount=type=cache: path and bytes.
std::vector<std::pair<fs::path, std::int64_t>> mount_caches() {
  std::vector<std::pair<fs::path, std::int64_t>> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(mounts_folder(), ignored))
    if (entry.is_directory(ignored)) found.emplace_back(entry.path(), tree_bytes(entry.path()));
  return found;
}

/// Layers that only the cache needs.
Result<std::set<std::string>> cache_layers(store::Store& store, const Layers& layers, const std::vector<store::CacheRecord>& entries) {
  std::set<std::string> cached, imaged;
  for (const auto& entry : entries) mark(layers, entry.chain_id, cached);
  ASSIGN_OR_RETURN(const auto images, store.images());
  for (const auto& image : images)
    for (const auto& chain : image.chain_ids) mark(layers, chain, imaged);
  return without(cached, imaged);
}

}  // namespace

std::int64_t tree_bytes(const fs::path& folder) {
  std::string path = folder.string();
  char* roots[] = {path.data(), nullptr};
  FTS* walk = ::fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, nullptr);
  if (walk == nullptr) return 0;
  std::int64_t total = 0;
  std::set<std::pair<dev_t, ino_t>> linked;
  while (const FTSENT* entry = ::fts_read(walk)) {
    if (entry->fts_info == FTS_DP || entry->fts_statp == nullptr || entry->fts_info == FTS_NS || entry->fts_info == FTS_ERR) continue;
    const auto& info = *entry->fts_statp;
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1 && !linked.insert({info.st_dev, info.st_ino}).second) continue;
    total += static_cast<std::int64_t>(info.st_blocks) * 512;
  }
  ::fts_close(walk);
  return total;
}

Result<Usage> usage(store::Store& store) {
  Usage result;
  ASSIGN_OR_RETURN(const Layers layers, read_layers(store));
  ASSIGN_OR_RETURN(const auto images, store.images());
  std::set<std::string> all, active;
  for (const auto& image : images) {
    ASSIGN_OR_RETURN(const auto users, store.containers_of_image(image.id));
    ++result.images.total;
    if (!users.empty()) ++result.images.active;
    for (const auto& chain : image.chain_ids) {
      mark(layers, chain, all);
      if (!users.empty()) mark(layers, chain, active);
    }
  }
  result.images.size_bytes = bytes_of(layers, all);
  result.images.reclaimable_bytes = bytes_of(layers, without(all, active));

  ASSIGN_OR_RETURN(const auto containers, store.containers());
  std::set<std::string> used_volumes;
  for (const auto& container : containers) {
    ++result.containers.total;
    const auto bytes = tree_bytes(paths::container(container.id) / "upper");
    result.containers.size_bytes += bytes;
    const bool running = container.run.state == ContainerState::running || container.run.state == ContainerState::paused;
    if (running) ++result.containers.active;
    else result.containers.reclaimable_bytes += bytes;
    // The column is JSON text ("/target": "volume"): a quoted name in it is a use.
    used_volumes.insert(container.volumes_json);
  }
  ASSIGN_OR_RETURN(const auto volumes, store.volumes());
  for (const auto& volume : volumes) {
    ++result.volumes.total;
    const auto bytes = tree_bytes(volume.mountpoint);
    result.volumes.size_bytes += bytes;
    const bool used = std::any_of(used_volumes.begin(), used_volumes.end(), [&](const auto& json) { return json.find("\"" + volume.name + "\"") != std::string::npos; });
    if (used) ++result.volumes.active;
    else result.volumes.reclaimable_bytes += bytes;
  }

  ASSIGN_OR_RETURN(const auto entries, store.cache_entries());
  ASSIGN_OR_RETURN(const auto only_cache, cache_layers(store, layers, entries));
  result.build_cache.total = std::count_if(entries.begin(), entries.end(), [](const auto& entry) { return !entry.chain_id.empty(); });
  result.build_cache.size_bytes = bytes_of(layers, only_cache);
  for (const auto& [folder, bytes] : mount_caches()) {
    ++result.build_cache.total;
    result.build_cache.size_bytes += bytes;
  }
  result.build_cache.reclaimable_bytes = result.build_cache.size_bytes;
  return result;
}

namespace {

/// A folder whose lock nobody holds goes, with its lock file.
std::int64_t remove_mount_cache(const fs::path& folder, std::int64_t bytes) {
  const auto lock_path = folder.string() + ".lock";
  const auto lock = base::sys::open(lock_path, O_RDWR | O_CREAT, 0600);
  if (!lock || ::flock(lock->number(), LOCK_EX | LOCK_NB) != 0) return 0;
  if (!base::sys::remove_tree(folder)) return 0;
  (void)base::sys::unlink(lock_path);
  return bytes;
}

}  // namespace

Result<std::int64_t> prune_build_cache(store::Store& store, const CachePrune& options) {
  const WallNs limit = options.unused_for ? store::now_ns() - std::chrono::nanoseconds(*options.unused_for).count() : 0;
  std::int64_t freed = 0, size = 0;
  {
    ASSIGN_OR_RETURN(auto transaction, store.begin());
    ASSIGN_OR_RETURN(const Layers layers, read_layers(store));
    ASSIGN_OR_RETURN(auto entries, store.cache_entries());
    ASSIGN_OR_RETURN(const auto only_cache, cache_layers(store, layers, entries));
    size = bytes_of(layers, only_cache);
    for (const auto& [folder, bytes] : mount_caches()) size += bytes;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const auto& entry = entries[i];
      if ((options.unused_for && entry.used > limit) || (options.keep_bytes > 0 && size <= options.keep_bytes)) break;  // by last use
      TRY(store.remove_cache_entry(entry.key));
      const auto layer = layers.find(entry.chain_id);
      if (layer != layers.end() && only_cache.contains(entry.chain_id)) size -= layer->second.size_bytes;
    }
    TRY(transaction.commit());
  }
  for (const auto& [folder, bytes] : mount_caches()) {
    struct stat info {};
    if (::stat(folder.c_str(), &info) != 0) continue;
    const WallNs touched = static_cast<WallNs>(info.st_mtim.tv_sec) * 1'000'000'000;
    if ((options.unused_for && touched > limit) || (options.keep_bytes > 0 && size <= options.keep_bytes)) continue;
    const auto gone = remove_mount_cache(folder, bytes);
    freed += gone;
    size -= gone;
  }
  if (!options.unused_for && options.keep_bytes == 0) (void)base::sys::remove_tree(paths::build_cache() / "digests");
  ASSIGN_OR_RETURN(const auto collected, ImageStore(store).collect_garbage());
  return freed + collected;
}

}  // namespace engine::images
