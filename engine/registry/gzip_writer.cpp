#include "engine/registry/gzip_writer.h"

#include <libdeflate.h>

#include <algorithm>

namespace engine::registry {

namespace {
constexpr std::size_t member_bytes = 1 << 20;
}

GzipWriter::GzipWriter(Sink sink, int level) : sink_(std::move(sink)), compressor_(libdeflate_alloc_compressor(level)) {}
GzipWriter::~GzipWriter() { libdeflate_free_compressor(compressor_); }

Result<> GzipWriter::write(std::span<const char> bytes) {
  while (!bytes.empty()) {
    const auto step = std::min(bytes.size(), member_bytes - input_.size());
    input_.append(bytes.data(), step);
    bytes = bytes.subspan(step);
    if (input_.size() == member_bytes) TRY(member());
  }
  return {};
}

Result<> GzipWriter::member() {
  output_.resize(libdeflate_gzip_compress_bound(compressor_, input_.size()));
  const auto size = libdeflate_gzip_compress(compressor_, input_.data(), input_.size(), output_.data(), output_.size());
  if (size == 0) return base::make_error(base::ErrorKind::internal, "gzip: the output did not fit");
  input_.clear();
  empty_ = false;
  return sink_(std::span<const char>(output_.data(), size));
}

Result<> GzipWriter::finish() {
  if (!input_.empty() || empty_) return member();
  return {};
}

}  // namespace engine::registry
