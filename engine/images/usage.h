#pragma once
// What the store holds, in bytes, and the build cache's share of it.
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/images/image_store.h"

namespace engine::images {

struct UsageRow {
  std::int64_t total = 0, active = 0;             ///< how many, and how many in use
  std::int64_t size_bytes = 0, reclaimable_bytes = 0;
};

/// Shared layers count once. Image sizes are the unpacked layers and the compressed blobs kept for push.
struct Usage {
  UsageRow images, containers, volumes, build_cache;
};
/// Walks the files of containers and volumes: takes as long as `du`.
Result<Usage> usage(store::Store& store);

struct CachePrune {
  std::optional<std::chrono::seconds> unused_for;  ///< only what was not used that long
  std::int64_t keep_bytes = 0;                     ///< stop when the cache is no larger than this
};
/// Removes build cache, least recently used first: records, the layers only they need, and RUN --mount=type=cache folders that
/// no build has open. Returns freed bytes. Nothing goes while a pull or build is at work.
Result<std::int64_t> prune_build_cache(store::Store& store, const CachePrune& options);

/// Bytes on the disk below a folder, hard links once.
std::int64_t tree_bytes(const std::filesystem::path& folder);

}  // namespace engine::images
