#include <catch2/catch.hpp>
#include <string>

#include "engine/registry/gzip_writer.h"
#include "engine/registry/inflate.h"

using namespace engine::registry;

namespace {

std::string gunzip(std::string_view packed) {
  const ByteSource source = [left = packed](std::span<char> into) mutable -> Result<std::size_t> {
    const auto count = std::min(into.size(), left.size());
    std::copy_n(left.begin(), count, into.begin());
    left.remove_prefix(count);
    return count;
  };
  const auto inflating = make_inflater(source);
  REQUIRE(inflating);
  REQUIRE(inflating->compression == Compression::gzip);
  std::string out;
  for (std::string piece(100'000, '\0');;) {
    const auto count = inflating->inflater->read(piece);
    REQUIRE(count);
    if (*count == 0) return out;
    out.append(piece, 0, *count);
  }
}

}  // namespace

TEST_CASE("what was compressed is there again, nothing, a byte and more than all buffers hold", "[gzip]") {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{512 * 1024}, std::size_t{5'000'000}}) {
    INFO(size);
    std::string text(size, '\0'), packed;
    unsigned state = 1;
    for (auto& c : text) c = static_cast<char>('a' + ((state = state * 1103515245 + 12345) >> 16) % 20);
    GzipWriter gzip([&](std::span<const char> bytes) {
      packed.append(bytes.data(), bytes.size());
      return Result<>();
    });
    for (std::size_t at = 0; at < size; at += 70'001) REQUIRE(gzip.write(std::span(text).subspan(at, std::min<std::size_t>(70'001, size - at))));
    REQUIRE(gzip.finish());
    CHECK(gunzip(packed) == text);
    if (size > 1000) CHECK(packed.size() < size * 3 / 4);
  }
}

TEST_CASE("a sink that fails ends the writing with its error, however much is still written", "[gzip]") {
  const std::string text(8 << 20, 'x');
  GzipWriter gzip([](std::span<const char>) { return Result<>(base::make_error(base::ErrorKind::exhausted, "the disk is full")); });
  auto done = gzip.write(text);
  if (done) done = gzip.finish();
  REQUIRE_FALSE(done);
  CHECK(done.error().message == "the disk is full");
  GzipWriter given_up([](std::span<const char>) { return Result<>(); });
  CHECK(given_up.write(text));  // and never finished
}
