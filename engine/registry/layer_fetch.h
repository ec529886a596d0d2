#pragma once
// One layer from the registry into the store: download, verify, unpack as one pipeline. Private to the room.
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "engine/images/image_store.h"
#include "engine/registry/client.h"
#include "engine/registry/manifest.h"
#include "engine/registry/progress.h"
#include "engine/registry/unpack.h"

namespace engine::registry {

struct LayerJob {
  Descriptor blob;
  std::string diff_id, chain_id, parent_chain_id;
};

/// Fetches the layers of one image, several at a time, the lowest first. Whatever was there already is used.
class LayerFetcher {
 public:
  /// `client` may be null when every blob is in the store already.
  LayerFetcher(store::Store& store, Client* client, std::vector<LayerJob> jobs, const ProgressSink& progress);
  /// Blocks until all are in the store, or the first error.
  Result<> run();

 private:
  enum class State : std::uint8_t { waiting, done, failed };
  void work();
  Result<> fetch(std::size_t index);
  Result<> fetch_locked(const LayerJob& job, std::size_t index);
  Result<> make_layer(const LayerJob& job, std::size_t index);
  Result<Unpacked> from_blob(const LayerJob& job, base::Fd folder, const UnpackOptions& options);
  Result<Unpacked> from_registry(const LayerJob& job, base::Fd folder, const UnpackOptions& options);
  Result<base::UniqueFd> open_below(std::size_t index, const std::string& path);
  Result<bool> present(const LayerJob& job);
  void report(const LayerJob& job, const char* status, std::int64_t current = 0, std::int64_t total = 0);
  void finish(std::size_t index, State state);

  store::Store& store_;
  images::ImageStore images_;
  Client* client_;
  std::vector<LayerJob> jobs_;
  const ProgressSink& progress_;
  std::mutex store_mutex_, progress_mutex_, mutex_;
  std::condition_variable changed_;
  std::vector<State> states_;
  std::size_t next_ = 0;
  std::optional<base::Error> error_;
};

/// The chain ids of a config's layers, lowest first.
std::vector<LayerJob> plan_layers(const std::vector<Descriptor>& blobs, const std::vector<std::string>& diff_ids);
std::string short_digest(const std::string& digest);

}  // namespace engine::registry
