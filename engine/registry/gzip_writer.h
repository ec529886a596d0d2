#pragma once
// A gzip stream made on a thread of its own, so that reading, hashing and compressing overlap. Private to the room.
#include <functional>
#include <span>
#include <thread>

#include "base/result.h"
#include "engine/registry/channel.h"

namespace engine::registry {

using base::Result;

class GzipWriter {
 public:
  /// Called on the writer's thread, in order.
  using Sink = std::function<Result<>(std::span<const char>)>;
  explicit GzipWriter(Sink sink);
  /// Without finish(), what was written so far may be lost.
  ~GzipWriter();
  GzipWriter(const GzipWriter&) = delete;
  GzipWriter& operator=(const GzipWriter&) = delete;
  /// Blocks while the compressor is behind. Errors: the sink's.
  Result<> write(std::span<const char> bytes);
  /// Ends the stream and waits until the sink has all of it.
  Result<> finish();

 private:
  void run();
  Result<> compress();
  Result<> hand_over();
  /// Waits for the thread; what came of it.
  Result<> ended();

  Sink sink_;
  BufferPool pool_;
  Channel channel_;
  BufferPtr filling_;
  Result<> result_;  ///< the thread's; read once it has ended
  std::thread thread_;
};

}  // namespace engine::registry
