// A layer's bytes: decompression by magic, then tar in every dialect, as far as it can be read without a file system.
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "engine/registry/inflate.h"
#include "engine/registry/tar.h"

using namespace engine::registry;

namespace {

constexpr std::size_t output_max = 8u << 20;  // what a bomb in a small input may cost here

void read_tar(std::string_view bytes) {
  bool given = false;
  TarReader reader([&]() -> engine::registry::Result<std::span<const char>> {
    if (given) return std::span<const char>();
    given = true;
    return std::span<const char>(bytes.data(), bytes.size());
  });
  TarEntry entry;
  std::size_t total = 0;
  while (true) {
    entry = {};
    const auto more = reader.next(entry);
    if (!more || !*more) return;
    if (entry.size < 0) std::abort();
    for (const auto& extent : entry.extents)
      if (extent.offset < 0 || extent.size < 0 || extent.offset > entry.size - extent.size) std::abort();
    while (true) {
      const auto piece = reader.data();
      if (!piece || piece->empty()) break;
      total += piece->size();
      if (total > bytes.size()) std::abort();  // more data than the archive holds
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_tar(text);
  std::size_t at = 0;
  const ByteSource source = [&](std::span<char> into) -> engine::registry::Result<std::size_t> {
    const auto count = std::min(into.size(), text.size() - at);
    if (count > 0) std::memcpy(into.data(), text.data() + at, count);
    at += count;
    return count;
  };
  auto inflating = make_inflater(source);
  if (!inflating) return 0;
  std::string plain;
  std::vector<char> buffer(64 * 1024);
  while (plain.size() < output_max) {
    const auto count = inflating->inflater->read(buffer);
    if (!count || *count == 0) break;
    plain.append(buffer.data(), *count);
  }
  read_tar(plain);
  return 0;
}
