#include "engine/registry/tar_pipe.h"

#include <algorithm>
#include <thread>

#include "engine/registry/channel.h"

namespace engine::registry {

namespace {

constexpr std::size_t buffer_count = 8, buffer_bytes = 512 * 1024;

Result<> push_all(std::string_view bytes, BufferPool& pool, Channel& channel) {
  while (!bytes.empty()) {
    auto buffer = pool.take();
    buffer->used = std::min(bytes.size(), buffer->bytes.size());
    std::copy_n(bytes.begin(), buffer->used, buffer->bytes.begin());
    bytes.remove_prefix(buffer->used);
    if (!channel.push(std::move(buffer))) return base::make_error(base::ErrorKind::cancelled, "given up");
  }
  return {};
}

}  // namespace

Result<> tar_pipe(const std::function<Result<>(const ByteSink&)>& write, const std::function<Result<>(const ByteSource&)>& read) {
  BufferPool pool(buffer_count, buffer_bytes);
  Channel channel;
  Result<> written = base::make_error(base::ErrorKind::internal, "not run");
  std::thread writer([&] {
    written = write([&](std::string_view bytes) { return push_all(bytes, pool, channel); });
    channel.close();
  });
  BufferPtr current;
  std::size_t used = 0;
  auto done = read([&](std::span<char> into) -> Result<std::size_t> {
    if (current == nullptr || used == current->used) {
      current = channel.pop();
      used = 0;
      if (current == nullptr) return std::size_t{0};
    }
    const auto count = std::min(into.size(), current->used - used);
    std::copy_n(current->bytes.begin() + static_cast<std::ptrdiff_t>(used), count, into.begin());
    used += count;
    return count;
  });
  current.reset();
  channel.abandon();
  writer.join();
  if (!written && written.error().kind != base::ErrorKind::cancelled) return written;
  return done;
}

}  // namespace engine::registry
