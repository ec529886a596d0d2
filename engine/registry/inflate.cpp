#include "engine/registry/inflate.h"

#include <archive.h>
#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include "engine/registry/tar.h"

namespace engine::registry {

using base::ErrorKind;

namespace {

constexpr std::size_t input_size = 256 * 1024;

base::Error damaged(const std::string& what) { return base::make_error(ErrorKind::invalid, what); }

/// The source with the bytes that were looked at put back.
class Input {
 public:
  Input(const ByteSource& source, std::string start) : source_(source), buffer_(std::move(start)), left_(buffer_) {}
  /// What is at hand, reading more when there is nothing; empty at the end.
  Result<std::span<const char>> peek() {
    if (left_.empty() && !ended_) {
      buffer_.resize(input_size);
      ASSIGN_OR_RETURN(const auto count, source_(std::span(buffer_)));
      left_ = std::span<const char>(buffer_.data(), count);
      ended_ = count == 0;
    }
    return left_;
  }
  void consume(std::size_t count) { left_ = left_.subspan(count); }

 private:
  const ByteSource& source_;
  std::string buffer_;
  std::span<const char> left_;
  bool ended_ = false;
};

class Plain final : public Inflater {
 public:
  explicit Plain(Input input) : input_(std::move(input)) {}
  Result<std::size_t> read(std::span<char> into) override {
    ASSIGN_OR_RETURN(const auto bytes, input_.peek());
    const auto count = std::min(bytes.size(), into.size());
    std::copy_n(bytes.begin(), count, into.begin());
    input_.consume(count);
    return count;
  }

 private:
  Input input_;
};

/// RFC 1952; members follow each other (pigz, estargz). Zeros after the last one are padding.
class Gzip final : public Inflater {
 public:
  explicit Gzip(Input input) : input_(std::move(input)), state_(std::make_unique<inflate_state>()) {
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_GZIP;
  }
  Result<std::size_t> read(std::span<char> into) override {
    std::size_t done = 0;
    while (done < into.size()) {
      ASSIGN_OR_RETURN(auto bytes, input_.peek());
      if (between_members_) {
        std::size_t zeros = 0;
        while (zeros < bytes.size() && bytes[zeros] == 0) ++zeros;
        if (zeros > 0) {
          input_.consume(zeros);
          continue;
        }
        if (bytes.empty()) return done;
        isal_inflate_reset(state_.get());
        state_->crc_flag = ISAL_GZIP;
        between_members_ = false;
      }
      const auto count = std::min<std::size_t>(bytes.size(), UINT32_MAX);
      state_->next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(bytes.data()));
      state_->avail_in = static_cast<std::uint32_t>(count);
      state_->next_out = reinterpret_cast<std::uint8_t*>(into.data() + done);
      state_->avail_out = static_cast<std::uint32_t>(std::min<std::size_t>(into.size() - done, UINT32_MAX));
      const auto room = state_->avail_out;
      const int code = isal_inflate(state_.get());
      input_.consume(count - state_->avail_in);
      done += room - state_->avail_out;
      if (code < 0) return damaged("the gzip stream is damaged (" + std::to_string(code) + ")");
      if (state_->block_state == ISAL_BLOCK_FINISH) {
        between_members_ = true;
      } else if (bytes.empty() && room == state_->avail_out) {
        return damaged("the gzip stream ends too early");
      }
    }
    return done;
  }

 private:
  Input input_;
  std::unique_ptr<inflate_state> state_;
  bool between_members_ = false;
};

class Zstd final : public Inflater {
 public:
  explicit Zstd(Input input) : input_(std::move(input)), context_(ZSTD_createDCtx(), ZSTD_freeDCtx) {}
  Result<std::size_t> read(std::span<char> into) override {
    ZSTD_outBuffer output{into.data(), into.size(), 0};
    while (output.pos < output.size) {
      ASSIGN_OR_RETURN(const auto bytes, input_.peek());
      if (bytes.empty() && frame_done_) return output.pos;
      ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
      const auto before = output.pos;
      const auto code = ZSTD_decompressStream(context_.get(), &output, &in);
      input_.consume(in.pos);
      if (ZSTD_isError(code) != 0) return damaged(std::string("the zstd stream is damaged: ") + ZSTD_getErrorName(code));
      frame_done_ = code == 0;
      if (bytes.empty() && output.pos == before && !frame_done_) return damaged("the zstd stream ends too early");
    }
    return output.pos;
  }

 private:
  Input input_;
  std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> context_;
  bool frame_done_ = false;
};

/// xz, lzma, bzip2 and compress through libarchive's filters: only ADD and `load` meet them.
class Filtered final : public Inflater {
 public:
  explicit Filtered(Input input) : input_(std::move(input)), archive_(archive_read_new(), archive_read_free) {}
  Result<> open() {
    archive_read_support_filter_xz(archive_.get());
    archive_read_support_filter_lzma(archive_.get());
    archive_read_support_filter_bzip2(archive_.get());
    archive_read_support_filter_compress(archive_.get());
    archive_read_support_format_raw(archive_.get());
    archive_entry* entry = nullptr;
    if (archive_read_open(archive_.get(), this, nullptr, fill, nullptr) != ARCHIVE_OK ||
        archive_read_next_header(archive_.get(), &entry) != ARCHIVE_OK)
      return failure();
    return {};
  }
  Result<std::size_t> read(std::span<char> into) override {
    const auto count = archive_read_data(archive_.get(), into.data(), into.size());
    if (count < 0) return failure();
    return static_cast<std::size_t>(count);
  }

 private:
  static la_ssize_t fill(archive* handle, void* self, const void** bytes) {
    auto& me = *static_cast<Filtered*>(self);
    me.input_.consume(me.given_);
    me.given_ = 0;
    auto next = me.input_.peek();
    if (!next) {
      me.error_ = std::move(next).error();
      archive_set_error(handle, EIO, "read");
      return -1;
    }
    *bytes = next->data();
    me.given_ = next->size();
    return static_cast<la_ssize_t>(next->size());
  }
  base::Error failure() {
    if (error_) return *error_;
    const char* text = archive_error_string(archive_.get());
    return damaged(std::string("the compressed stream is damaged: ") + (text == nullptr ? "unknown" : text));
  }
  Input input_;
  std::unique_ptr<archive, int (*)(archive*)> archive_;
  std::size_t given_ = 0;
  std::optional<base::Error> error_;
};

}  // namespace

Compression detect_compression(std::string_view first) {
  using namespace std::string_view_literals;
  if (first.starts_with("\x1f\x8b"sv)) return Compression::gzip;
  if (first.starts_with("\x28\xb5\x2f\xfd"sv)) return Compression::zstd;
  // A skippable frame: zstd:chunked puts one in front.
  if (first.size() >= 4 && (first[0] & '\xf0') == '\x50' && first.substr(1).starts_with("\x2a\x4d\x18"sv)) return Compression::zstd;
  if (first.starts_with("\xfd"
                        "7zXZ\0"sv) ||
      first.starts_with("BZh"sv) || first.starts_with("\x1f\x9d"sv) || first.starts_with("\x5d\0\0"sv))
    return Compression::other;
  return Compression::none;
}

Result<Inflating> make_inflater(const ByteSource& source) {
  constexpr std::size_t look = 512;
  std::string start(look, '\0');
  std::size_t have = 0;
  while (have < look) {
    ASSIGN_OR_RETURN(const auto count, source(std::span(start).subspan(have)));
    if (count == 0) break;
    have += count;
  }
  start.resize(have);
  auto compression = detect_compression(start);
  // A tar may begin with a file called "BZh…": a valid header wins.
  if (compression != Compression::none && is_tar_header(start)) compression = Compression::none;
  Inflating result{.inflater = nullptr, .compression = compression};
  Input input(source, std::move(start));
  switch (compression) {
    case Compression::none: result.inflater = std::make_unique<Plain>(std::move(input)); break;
    case Compression::gzip: result.inflater = std::make_unique<Gzip>(std::move(input)); break;
    case Compression::zstd: result.inflater = std::make_unique<Zstd>(std::move(input)); break;
    case Compression::other: {
      auto filtered = std::make_unique<Filtered>(std::move(input));
      TRY(filtered->open());
      result.inflater = std::move(filtered);
    }
  }
  return result;
}

bool is_archive(std::string_view first_bytes) {
  if (is_tar_header(first_bytes)) return true;
  if (detect_compression(first_bytes) == Compression::none) return false;
  // A compressed file is only unpacked when a tar is inside.
  const ByteSource source = [left = first_bytes](std::span<char> into) mutable -> Result<std::size_t> {
    const auto count = std::min(into.size(), left.size());
    std::copy_n(left.begin(), count, into.begin());
    left.remove_prefix(count);
    return count;
  };
  auto inflating = make_inflater(source);
  if (!inflating) return false;
  std::string block(512, '\0');
  for (std::size_t have = 0; have < block.size();) {
    auto count = inflating->inflater->read(std::span(block).subspan(have));
    if (!count || *count == 0) return false;
    have += *count;
  }
  return is_tar_header(block);
}

}  // namespace engine::registry
