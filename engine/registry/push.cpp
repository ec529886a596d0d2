#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "base/sys.h"
#include "engine/images/image_store.h"
#include "engine/registry/blobs.h"
#include "engine/registry/client.h"
#include "engine/registry/image_index.h"
#include "engine/registry/layer_fetch.h"
#include "engine/registry/settings.h"
#include "engine/registry/transfer.h"

namespace engine::registry {

using base::ErrorKind;

namespace {

/// Uploads the blobs the registry lacks, several at a time.
class Uploader {
 public:
  Uploader(Client& client, std::vector<Descriptor> blobs, const ProgressSink& progress)
      : client_(client), blobs_(std::move(blobs)), progress_(progress) {}

  Result<> run() {
    constexpr std::size_t workers_max = 4;
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < std::min(workers_max, blobs_.size()); ++i) threads.emplace_back([this] { work(); });
    for (auto& thread : threads) thread.join();
    if (error_) return *std::move(error_);
    return {};
  }

 private:
  void work() {
    for (;;) {
      const auto index = next_++;
      if (index >= blobs_.size() || failed_) return;
      auto done = send(blobs_[index]);
      if (done) continue;
      failed_ = true;
      const std::lock_guard guard(mutex_);
      if (!error_) error_ = std::move(done).error();
    }
  }

  Result<> send(const Descriptor& blob) {
    report(blob, "Preparing", 0);
    ASSIGN_OR_RETURN(const bool there, client_.has_blob(blob.digest));
    if (there) {
      report(blob, "Layer already exists", 0);
      return {};
    }
    ASSIGN_OR_RETURN(const auto file, base::sys::open(images::blob_path(blob.digest), O_RDONLY));
    std::int64_t last = 0;
    TRY(client_.upload_blob(blob.digest, file.borrow(), blob.size, [&](std::int64_t sent) {
      constexpr std::int64_t step = 4 << 20;
      if (sent - last < step && sent >= last) return;
      last = sent;
      report(blob, "Pushing", sent);
    }));
    report(blob, "Pushed", 0);
    return {};
  }

  void report(const Descriptor& blob, const char* status, std::int64_t current) {
    if (!progress_) return;
    const std::lock_guard guard(mutex_);
    progress_({.id = short_digest(blob.digest), .status = status, .current = current, .total = current > 0 ? blob.size : 0});
  }

  Client& client_;
  std::vector<Descriptor> blobs_;
  const ProgressSink& progress_;
  std::mutex mutex_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  std::optional<base::Error> error_;
};

base::Error explained(base::Error error, const images::Reference& reference) {
  if (error.kind == ErrorKind::permission) error.context.push_back("push access denied for " + reference.familiar_name());
  else error.context.push_back("pushing " + reference.familiar());
  return error;
}

/// Blobs that other repositories of the same registry gave us: digest → repository.
Result<std::map<std::string, std::string>> other_repositories(store::Store& store, const images::Reference& target) {
  std::map<std::string, std::string> found;
  ASSIGN_OR_RETURN(const auto references, store.references());
  for (const auto& row : references) {
    const auto reference = images::parse_reference(row.reference);
    if (row.digest.empty() || !reference || reference->domain != target.domain || reference->path == target.path) continue;
    ASSIGN_OR_RETURN(const auto image, store.image(row.image_id));
    for (const auto& chain : image ? image->chain_ids : std::vector<std::string>{}) {
      ASSIGN_OR_RETURN(const auto layer, store.layer(chain));
      if (layer && !layer->blob_digest.empty()) found.emplace(layer->blob_digest, reference->path);
    }
  }
  return found;
}

/// Sends an image's blobs and its manifest, called `name` there, and remembers that it is there.
Result<Outgoing> send_image(store::Store& store, Client& client, const images::Image& image, const images::Reference& reference,
                            const std::string& name, const ProgressSink& progress) {
  ASSIGN_OR_RETURN(auto parts, outgoing(store, image));
  std::vector<Descriptor> blobs;
  std::set<std::string> seen;  // an image may hold one layer twice
  for (const auto& layer : parts.layers)
    if (seen.insert(layer.digest).second) blobs.push_back(layer);
  TRY(Uploader(client, std::move(blobs), progress).run());
  ASSIGN_OR_RETURN(const bool has_config, client.has_blob(parts.config_blob.digest));
  if (!has_config) TRY(client.upload_bytes(parts.config_blob.digest, parts.config));
  TRY(client.put_manifest(name.empty() ? parts.digest : name, parts.manifest, parts.media_type));
  TRY(base::sys::replace_file(images::blob_path(parts.digest), parts.manifest, 0600));
  ASSIGN_OR_RETURN(auto record, store.image(image.id));
  if (record) {
    record->manifest_digest = parts.digest;
    TRY(store.put_image(*record));
  }
  TRY(store.put_reference({.reference = reference.name() + "@" + parts.digest, .image_id = image.id, .digest = parts.digest, .updated = store::now_ns()}));
  return parts;
}

Result<Pushed> push_to(store::Store& store, const images::Reference& reference, const ProgressSink& progress) {
  images::ImageStore images(store);
  ASSIGN_OR_RETURN(const auto image, images.resolve(reference.full()));
  ASSIGN_OR_RETURN(const auto lease, images::ImageStore::lease());
  ASSIGN_OR_RETURN(const auto settings, Settings::load());
  ASSIGN_OR_RETURN(const auto endpoints, settings.endpoints(reference));
  const auto& endpoint = endpoints.back();  // the origin: mirrors are for reading
  Client client(endpoint, settings.tls(endpoint), "pull,push");
  ASSIGN_OR_RETURN(auto elsewhere, other_repositories(store, reference));
  client.mount_from(std::move(elsewhere));
  ASSIGN_OR_RETURN(const auto index, stored_index(store, reference));
  if (index) {
    for (const auto& one : index->images) TRY(send_image(store, client, one, reference, "", progress));
    TRY(client.put_manifest(reference.tag, index->bytes, std::string(media::oci_index)));
    return Pushed{.reference = reference.full(), .digest = index->digest, .size_bytes = static_cast<std::int64_t>(index->bytes.size())};
  }
  ASSIGN_OR_RETURN(const auto parts, send_image(store, client, image, reference, reference.tag, progress));
  return Pushed{.reference = reference.full(), .digest = parts.digest, .size_bytes = static_cast<std::int64_t>(parts.manifest.size())};
}

}  // namespace

Result<Pushed> push(store::Store& store, const std::string& name, const ProgressSink& progress) {
  ASSIGN_OR_RETURN(const auto reference, images::parse_reference(name));
  if (!reference.digest.empty()) return base::make_error(ErrorKind::invalid, "cannot push a digest reference: '" + name + "'");
  auto pushed = push_to(store, reference, progress);
  if (!pushed) return explained(std::move(pushed).error(), reference);
  return pushed;
}

}  // namespace engine::registry
