// The pipeline: source → inflate (caller's thread) → digest of the tar (one thread) and files (another).
#include "engine/registry/unpack.h"

#include <atomic>
#include <thread>

#include "base/sys.h"
#include "engine/registry/channel.h"
#include "engine/registry/extract.h"
#include "engine/registry/hash.h"
#include "engine/registry/inflate.h"
#include "engine/registry/sandbox.h"

namespace engine::registry {

namespace {

constexpr std::size_t buffer_bytes = 512 * 1024;
constexpr std::size_t buffer_count = 12;

class DigestWorker {
 public:
  DigestWorker() : thread_([this] { run(); }) {}
  ~DigestWorker() { join(); }
  DigestWorker(const DigestWorker&) = delete;
  DigestWorker& operator=(const DigestWorker&) = delete;
  void join() {
    channel.close();
    if (thread_.joinable()) thread_.join();
  }
  Channel channel;
  std::string digest;

 private:
  void run() {
    confine_thread(base::Fd());
    Hasher hasher;
    while (const auto buffer = channel.pop()) hasher.update(std::span(buffer->bytes).first(buffer->used));
    digest = hasher.finish();
  }
  std::thread thread_;
};

class FileWorker {
 public:
  FileWorker(base::Fd root, const UnpackOptions& options)
      : root_(root), extractor_(root, options), thread_([this] { run(); }) {}
  ~FileWorker() { join(); }
  FileWorker(const FileWorker&) = delete;
  FileWorker& operator=(const FileWorker&) = delete;
  void join() {
    channel.close();
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] const Extractor& extractor() const { return extractor_; }
  Channel channel;
  std::atomic<bool> failed = false;
  Result<> result;

 private:
  void run() {
    confine_thread(root_);
    result = extract();
    if (!result) {
      failed = true;
      channel.abandon();
    }
    current_.reset();
  }
  Result<> extract() {
    TarReader reader([this]() -> Result<std::span<const char>> {
      current_ = channel.pop();
      if (current_ == nullptr) return std::span<const char>();
      return std::span<const char>(current_->bytes).first(current_->used);
    });
    TarEntry entry;
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, reader.next(entry));
      if (!more) break;
      TRY(extractor_.apply(entry, reader));
    }
    TRY(reader.drain());
    return extractor_.finish();
  }
  base::Fd root_;
  Extractor extractor_;
  BufferPtr current_;
  std::thread thread_;  // last: it uses all of the above
};

/// Counts and hashes what the source gives.
class MeasuredSource {
 public:
  explicit MeasuredSource(const ByteSource& source, std::string_view algorithm = "sha256") : source_(source), hasher_(algorithm) {}
  Result<std::size_t> read(std::span<char> into) {
    ASSIGN_OR_RETURN(const auto count, source_(into));
    if (hashing_) hasher_.update(into.first(count));
    bytes_ += static_cast<std::int64_t>(count);
    return count;
  }
  Result<> drain() {
    std::vector<char> scratch(65536);
    for (;;) {
      ASSIGN_OR_RETURN(const auto count, read(scratch));
      if (count == 0) return {};
    }
  }
  std::string digest() { return hasher_.finish(); }
  void stop_hashing() { hashing_ = false; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  const ByteSource& source_;
  Hasher hasher_;
  std::int64_t bytes_ = 0;
  bool hashing_ = true;
};

/// Inflates until the end, giving each full buffer to `deliver`; false from it ends the work early. What is not compressed is
/// not hashed a second time when `same_digest`: its digest is the tar's.
template <class Deliver>
Result<> pump(MeasuredSource& input, bool same_digest, BufferPool& pool, Unpacked& done, std::int64_t bytes_max, Deliver deliver) {
  const ByteSource source = [&](std::span<char> into) { return input.read(into); };
  ASSIGN_OR_RETURN(const auto inflating, make_inflater(source));
  done.compression = inflating.compression;
  if (same_digest && done.compression == Compression::none) input.stop_hashing();
  for (bool more = true; more;) {
    auto buffer = pool.take();
    while (buffer->used < buffer->bytes.size()) {
      ASSIGN_OR_RETURN(const auto count, inflating.inflater->read(std::span(buffer->bytes).subspan(buffer->used)));
      buffer->used += count;
      more = count > 0;
      if (!more) break;
    }
    done.tar_bytes += static_cast<std::int64_t>(buffer->used);
    // Headers and padding come on top of the files; more than this is a bomb of empty entries.
    if (done.tar_bytes / 2 > bytes_max)
      return base::make_error(base::ErrorKind::exhausted, "the archive is larger than the limit");
    if (buffer->used > 0 && !deliver(buffer)) return {};
  }
  return input.drain();
}

}  // namespace

Result<Unpacked> unpack(const ByteSource& source, base::Fd root, const UnpackOptions& options) {
  Unpacked done;
  MeasuredSource input(source, options.input_algorithm);
  BufferPool pool(buffer_count, buffer_bytes);
  DigestWorker digest;
  FileWorker files(root, options);
  const bool same_digest = options.input_algorithm == "sha256";
  auto pumped = pump(input, same_digest, pool, done, options.limits.bytes_max, [&](const BufferPtr& buffer) {
    digest.channel.push(buffer);
    return files.channel.push(buffer);
  });
  digest.join();
  files.join();
  // The stream's own failure explains a tar that ended early; the tar's failure explains a stream not read to its end.
  TRY(std::move(pumped));
  TRY(std::move(files.result));
  if (done.tar_bytes == 0) return base::make_error(base::ErrorKind::invalid, "the archive is empty");
  done.diff_id = digest.digest;
  done.input_digest = same_digest && done.compression == Compression::none ? done.diff_id : input.digest();
  done.input_bytes = input.bytes();
  done.content_bytes = files.extractor().content_bytes();
  done.entries = files.extractor().entries();
  return done;
}

Result<Unpacked> digest_archive(const ByteSource& source) {
  Unpacked done;
  MeasuredSource input(source);
  BufferPool pool(4, buffer_bytes);
  DigestWorker digest;
  TRY(pump(input, false, pool, done, UnpackLimits{}.bytes_max, [&](const BufferPtr& buffer) { return digest.channel.push(buffer); }));
  digest.join();
  done.diff_id = digest.digest;
  done.input_digest = input.digest();
  done.input_bytes = input.bytes();
  return done;
}

Result<Unpacked> unpack(base::Fd input, base::Fd root, const UnpackOptions& options) {
  return unpack([input](std::span<char> into) { return base::sys::read(input, into); }, root, options);
}

}  // namespace engine::registry
