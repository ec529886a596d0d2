#pragma once
// Writing tar: ustar, with a PAX header in front where ustar has no room. Private to the room.
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace engine::registry {

using base::Result;

struct TarHeader {
  enum class Type : char { file = '0', hard_link = '1', symlink = '2', character = '3', block = '4', directory = '5', fifo = '6' };
  Type type = Type::file;
  std::string name, link;
  std::uint32_t mode = 0, uid = 0, gid = 0;
  std::int64_t size = 0, mtime_s = 0, mtime_ns = 0;
  std::uint32_t device_major = 0, device_minor = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

class TarWriter {
 public:
  using Sink = std::function<Result<>(std::span<const char>)>;
  explicit TarWriter(Sink sink) : sink_(std::move(sink)) { buffer_.reserve(buffer_max); }
  Result<> header(const TarHeader& header);
  Result<> data(std::span<const char> bytes);
  /// Pads the data of a file of `size` bytes.
  Result<> end_data(std::int64_t size);
  /// The end mark; nothing may follow.
  Result<> finish();

 private:
  static constexpr std::size_t buffer_max = 256 * 1024;
  Result<> put(std::string_view bytes);
  Result<> flush();
  Sink sink_;
  std::string buffer_;
};

}  // namespace engine::registry
