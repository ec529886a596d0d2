#pragma once
// Buffers that travel between the threads of a pipeline. Private to the room.
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

namespace engine::registry {

struct Buffer {
  std::vector<char> bytes;
  std::size_t used = 0;
};
using BufferPtr = std::shared_ptr<Buffer>;

/// A fixed number of buffers: taking one waits until a consumer let one go, which bounds the pipeline's memory.
/// The pool must outlive its buffers.
class BufferPool {
 public:
  BufferPool(std::size_t count, std::size_t size) {
    for (std::size_t i = 0; i < count; ++i) free_.push_back(std::make_unique<Buffer>(Buffer{std::vector<char>(size), 0}));
  }
  BufferPtr take() {
    std::unique_lock lock(mutex_);
    returned_.wait(lock, [&] { return !free_.empty(); });
    auto buffer = std::move(free_.back());
    free_.pop_back();
    buffer->used = 0;
    return {buffer.release(), [this](Buffer* done) {
              const std::lock_guard guard(mutex_);
              free_.emplace_back(done);
              returned_.notify_one();
            }};
  }

 private:
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::unique_ptr<Buffer>> free_;
};

/// Hands buffers from one thread to another in order. close(): no more will come; abandon(): nobody reads any more.
class Channel {
 public:
  /// False once abandoned.
  bool push(BufferPtr buffer) {
    const std::lock_guard guard(mutex_);
    if (abandoned_) return false;
    queue_.push_back(std::move(buffer));
    changed_.notify_one();
    return true;
  }
  void close() {
    const std::lock_guard guard(mutex_);
    closed_ = true;
    changed_.notify_one();
  }
  void abandon() {
    std::deque<BufferPtr> dropped;
    const std::lock_guard guard(mutex_);
    abandoned_ = true;
    dropped.swap(queue_);
  }
  /// The next buffer; null after the last.
  BufferPtr pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !queue_.empty() || closed_; });
    if (queue_.empty()) return nullptr;
    auto buffer = std::move(queue_.front());
    queue_.pop_front();
    return buffer;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<BufferPtr> queue_;
  bool closed_ = false, abandoned_ = false;
};

}  // namespace engine::registry
