#pragma once
// gzip in members of a megabyte, each compressed by libdeflate: every gunzip reads it, and it is fast. Private to the room.
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

struct libdeflate_compressor;

namespace engine::registry {

using base::Result;

class GzipWriter {
 public:
  using Sink = std::function<Result<>(std::span<const char>)>;
  explicit GzipWriter(Sink sink, int level = 1);
  ~GzipWriter();
  GzipWriter(const GzipWriter&) = delete;
  GzipWriter& operator=(const GzipWriter&) = delete;
  Result<> write(std::span<const char> bytes);
  Result<> finish();

 private:
  Result<> member();
  Sink sink_;
  libdeflate_compressor* compressor_;
  std::string input_, output_;
  bool empty_ = true;
};

}  // namespace engine::registry
