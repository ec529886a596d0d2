#include "engine/registry/layer_fetch.h"

#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/registry/channel.h"
#include "engine/registry/hash.h"

namespace engine::registry {

using base::ErrorKind;

namespace {

constexpr std::size_t workers_max = 4;
constexpr std::size_t download_buffers = 8, download_buffer_bytes = 256 * 1024;

/// A download on its own thread; the unpacking thread reads it as a ByteSource. The bytes are kept in the partial file too.
class Download {
 public:
  Download(Client& client, const Descriptor& blob, base::Fd partial, std::int64_t have, std::function<void(std::int64_t)> on_bytes)
      : client_(client), blob_(blob), partial_(partial), have_(have), on_bytes_(std::move(on_bytes)),
        pool_(download_buffers, download_buffer_bytes), thread_([this] { run(); }) {}
  ~Download() { stop(); }
  Download(const Download&) = delete;
  Download& operator=(const Download&) = delete;

  Result<std::size_t> read(std::span<char> into) {
    if (current_ == nullptr || used_ == current_->used) {
      current_ = channel_.pop();
      used_ = 0;
    }
    if (current_ == nullptr) {
      if (thread_.joinable()) thread_.join();
      if (!result_) return result_.error();
      return std::size_t{0};
    }
    const auto count = std::min(into.size(), current_->used - used_);
    std::copy_n(current_->bytes.begin() + static_cast<std::ptrdiff_t>(used_), count, into.begin());
    used_ += count;
    return count;
  }
  /// Ends the download when the reader has given up.
  void stop() {
    current_.reset();
    channel_.abandon();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run() {
    result_ = resume();
    if (result_) result_ = client_.blob_stream(blob_.digest, have_, blob_.size, [this](std::span<const char> bytes) -> Result<> {
      TRY(base::sys::write_all(partial_, {bytes.data(), bytes.size()}));
      have_ += static_cast<std::int64_t>(bytes.size());
      on_bytes_(have_);
      return deliver(bytes);
    });
    channel_.close();
  }
  /// What an earlier pull left is read again: it must pass the digests like everything else.
  Result<> resume() {
    std::vector<char> scratch(download_buffer_bytes);
    for (std::int64_t at = 0; at < have_;) {
      ASSIGN_OR_RETURN(const auto count, base::sys::read(partial_, scratch));
      if (count == 0) break;
      at += static_cast<std::int64_t>(count);
      TRY(deliver(std::span(scratch).first(count)));
    }
    return {};
  }
  Result<> deliver(std::span<const char> bytes) {
    while (!bytes.empty()) {
      auto buffer = pool_.take();
      buffer->used = std::min(bytes.size(), buffer->bytes.size());
      std::copy_n(bytes.begin(), buffer->used, buffer->bytes.begin());
      bytes = bytes.subspan(buffer->used);
      if (!channel_.push(std::move(buffer))) return base::make_error(ErrorKind::cancelled, "the download was given up");
    }
    return {};
  }

  Client& client_;
  const Descriptor& blob_;
  base::Fd partial_;
  std::int64_t have_;
  std::function<void(std::int64_t)> on_bytes_;
  BufferPool pool_;
  Channel channel_;
  BufferPtr current_;
  std::size_t used_ = 0;
  Result<> result_;
  std::thread thread_;
};

base::Error other_content(const std::string& have, const std::string& want) {
  return base::make_error(ErrorKind::invalid, "its content has digest " + have + ", the image config says " + want);
}

}  // namespace

std::string short_digest(const std::string& digest) { return std::string(images::digest_hex(digest).substr(0, 12)); }

std::vector<LayerJob> plan_layers(const std::vector<Descriptor>& blobs, const std::vector<std::string>& diff_ids) {
  std::vector<LayerJob> jobs;
  std::string parent;
  for (std::size_t i = 0; i < diff_ids.size(); ++i) {
    LayerJob job{.blob = i < blobs.size() ? blobs[i] : Descriptor{}, .diff_id = diff_ids[i],
                 .chain_id = images::chain_id(parent, diff_ids[i]), .parent_chain_id = parent};
    parent = job.chain_id;
    jobs.push_back(std::move(job));
  }
  return jobs;
}

LayerFetcher::LayerFetcher(store::Store& store, Client* client, std::vector<LayerJob> jobs, const ProgressSink& progress)
    : store_(store), images_(store), client_(client), jobs_(std::move(jobs)), progress_(progress), states_(jobs_.size(), State::waiting) {}

void LayerFetcher::report(const LayerJob& job, const char* status, std::int64_t current, std::int64_t total) {
  if (!progress_) return;
  const std::lock_guard guard(progress_mutex_);
  progress_({.id = short_digest(job.blob.digest.empty() ? job.diff_id : job.blob.digest), .status = status, .current = current, .total = total});
}

Result<> LayerFetcher::run() {
  for (const auto& job : jobs_) report(job, "Pulling fs layer");
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < std::min(workers_max, jobs_.size()); ++i) threads.emplace_back([this] { work(); });
  for (auto& thread : threads) thread.join();
  if (error_) return *std::move(error_);
  return {};
}

void LayerFetcher::finish(std::size_t index, State state) {
  const std::lock_guard guard(mutex_);
  states_[index] = state;
  changed_.notify_all();
}

void LayerFetcher::work() {
  for (;;) {
    std::size_t index = 0;
    {
      const std::lock_guard guard(mutex_);
      if (error_ || next_ == jobs_.size()) return;
      index = next_++;
    }
    auto done = fetch(index);
    if (!done) {
      const std::lock_guard guard(mutex_);
      if (!error_) error_ = std::move(done).error();
    }
    finish(index, done ? State::done : State::failed);
  }
}

Result<bool> LayerFetcher::present(const LayerJob& job) {
  const std::lock_guard guard(store_mutex_);
  return images_.has_layer(job.chain_id);
}

Result<> LayerFetcher::fetch(std::size_t index) {
  const auto& job = jobs_[index];
  ASSIGN_OR_RETURN(bool there, present(job));
  if (there) {
    report(job, "Already exists");
    return {};
  }
  // Whoever pulls the same blob, in this process or another, waits here and then finds it done.
  ASSIGN_OR_RETURN(const auto guard, images::ImageStore::lock("blob-" + std::string(images::digest_hex(job.blob.digest))));
  ASSIGN_OR_RETURN(there, present(job));
  if (there) {
    report(job, "Already exists");
    return {};
  }
  return fetch_locked(job, index).with("layer " + short_digest(job.blob.digest));
}

/// What an earlier pull left of a blob, whole or in part, may be torn by a power cut: then it is gone afterwards and the registry is asked
/// once more for all of it.
Result<> LayerFetcher::fetch_locked(const LayerJob& job, std::size_t index) {
  const auto size_of = [](const std::filesystem::path& path) {
    std::error_code failed;
    const auto size = std::filesystem::file_size(path, failed);
    return failed ? std::uintmax_t{0} : size;
  };
  const auto partial = paths::images() / "partial" / images::digest_hex(job.blob.digest);
  const bool kept = size_of(images::blob_path(job.blob.digest)) > 0 || size_of(partial) > 0;
  auto done = make_layer(job, index);
  if (!done && kept && client_ != nullptr && done.error().kind == ErrorKind::invalid) done = make_layer(job, index);
  return done;
}

Result<> LayerFetcher::make_layer(const LayerJob& job, std::size_t index) {
  ASSIGN_OR_RETURN(const auto folder, images::ImageStore::new_layer_dir());
  auto unpacked = [&]() -> Result<Unpacked> {
    ASSIGN_OR_RETURN(const auto root, base::sys::open(folder, O_RDONLY | O_DIRECTORY));
    UnpackOptions options;
    options.input_algorithm = job.blob.digest.substr(0, job.blob.digest.find(':'));
    options.open_below = [this, index](const std::string& path) { return open_below(index, path); };
    const bool have = access(images::blob_path(job.blob.digest).c_str(), R_OK) == 0;
    return have ? from_blob(job, root.borrow(), options) : from_registry(job, root.borrow(), options);
  }();
  if (!unpacked) {
    (void)base::sys::remove_tree(folder);
    return std::move(unpacked).error();
  }
  const std::lock_guard guard(store_mutex_);
  auto added = images_.add_layer(folder, {.parent_chain_id = job.parent_chain_id, .diff_id = job.diff_id, .blob_digest = job.blob.digest,
                                          .blob_media_type = job.blob.media_type, .blob_bytes = job.blob.size,
                                          .size_bytes = unpacked->content_bytes});
  if (!added) return std::move(added).error();
  report(job, "Pull complete");
  return {};
}

Result<Unpacked> LayerFetcher::from_blob(const LayerJob& job, base::Fd folder, const UnpackOptions& options) {
  report(job, "Extracting", 0, job.blob.size);
  const auto path = images::blob_path(job.blob.digest);
  ASSIGN_OR_RETURN(const auto blob, base::sys::open(path, O_RDONLY));
  auto done = unpack(blob.borrow(), folder, options);
  if (done && done->input_digest == job.blob.digest) {
    if (done->diff_id != job.diff_id) return other_content(done->diff_id, job.diff_id);
    return done;
  }
  // Torn by a power cut or a broken disk: the next pull fetches it again.
  (void)base::sys::unlink(path);
  if (!done) return done;
  return base::make_error(ErrorKind::invalid, "the stored blob is damaged and was removed; pull again");
}

Result<Unpacked> LayerFetcher::from_registry(const LayerJob& job, base::Fd folder, const UnpackOptions& options) {
  if (client_ == nullptr) return base::make_error(ErrorKind::not_found, "blob " + job.blob.digest + " is missing");
  const auto partial = paths::images() / "partial" / images::digest_hex(job.blob.digest);
  ASSIGN_OR_RETURN(const auto file, base::sys::open(partial, O_RDWR | O_CREAT, 0600));
  struct stat info {};
  TRY(base::sys::wrap("stat " + partial.string(), fstat(file.number(), &info)));
  std::int64_t have = info.st_size;
  if (have > job.blob.size) {
    TRY(base::sys::wrap("truncate " + partial.string(), ftruncate(file.number(), 0)));
    have = 0;
  }
  auto next_report = std::chrono::steady_clock::now();
  Download download(*client_, job.blob, file.borrow(), have, [&](std::int64_t bytes) {
    const auto now = std::chrono::steady_clock::now();
    if (bytes < job.blob.size && now < next_report) return;
    next_report = now + std::chrono::milliseconds(100);
    report(job, bytes < job.blob.size ? "Downloading" : "Extracting", bytes, job.blob.size);
  });
  auto done = unpack([&](std::span<char> into) { return download.read(into); }, folder, options);
  download.stop();
  const bool wrong = done && (done->input_digest != job.blob.digest || done->input_bytes != job.blob.size);
  const bool other = done && done->diff_id != job.diff_id;
  // Bytes that are wrong must not be resumed from; bytes that are only too few may.
  const bool lost = !done && done.error().kind != ErrorKind::unavailable && done.error().kind != ErrorKind::cancelled;
  if (wrong || other || lost) (void)base::sys::unlink(partial);
  if (wrong)
    return base::make_error(ErrorKind::invalid, "what the registry served has digest " + done->input_digest + ", the manifest says " + job.blob.digest);
  if (other) return other_content(done->diff_id, job.diff_id);
  if (done) TRY(base::sys::rename(partial, images::blob_path(job.blob.digest)));
  return done;
}

/// A hard link to a file of a lower layer: waits for those layers and looks from the nearest down.
Result<base::UniqueFd> LayerFetcher::open_below(std::size_t index, const std::string& path) {
  {
    std::unique_lock lock(mutex_);
    const auto settled = [&] {
      return error_.has_value() || std::all_of(states_.begin(), states_.begin() + static_cast<std::ptrdiff_t>(index),
                                               [](State one) { return one == State::done; });
    };
    changed_.wait(lock, settled);
    if (error_) return base::make_error(ErrorKind::cancelled, "a lower layer failed");
  }
  const auto missing = base::make_error(ErrorKind::invalid, "a hard link to '" + path + "', which does not exist");
  for (auto below = index; below-- > 0;) {
    ASSIGN_OR_RETURN(const auto root, base::sys::open(images::layer_dir(jobs_[below].chain_id), O_RDONLY | O_DIRECTORY));
    auto found = base::sys::openat2(root.borrow(), path, O_PATH | O_NOFOLLOW, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (!found) {
      if (found.error().number == ENOENT) continue;
      return missing;  // ENOTDIR: a parent is whited out or no directory
    }
    struct stat info {};
    if (fstat(found->number(), &info) != 0 || !S_ISREG(info.st_mode)) return missing;
    return base::sys::openat2(root.borrow(), path, O_RDONLY | O_NOFOLLOW, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  }
  return missing;
}

}  // namespace engine::registry
