#include "engine/registry/tar.h"

#include <catch2/catch.hpp>

#include "engine/registry/extract.h"
#include "tests/support/tar_builder.h"

using namespace engine::registry;
using support::tar_archive;
using support::TarItem;

namespace {

/// Reads an archive in pieces of `step` bytes; "name type size data" a line, or the error.
std::string listing(const std::string& archive, std::size_t step = 7) {
  std::size_t at = 0;
  TarReader reader([&]() -> base::Result<std::span<const char>> {
    const auto count = std::min(step, archive.size() - at);
    const std::span<const char> piece(archive.data() + at, count);
    at += count;
    return piece;
  });
  std::string out;
  TarEntry entry;
  for (;;) {
    auto more = reader.next(entry);
    if (!more) return out + "error: " + more.error().message + "\n";
    if (!*more) return out;
    std::string data;
    for (;;) {
      auto piece = reader.data();
      if (!piece) return out + "error: " + piece.error().message + "\n";
      if (piece->empty()) break;
      data.append(piece->begin(), piece->end());
    }
    out += entry.name + " " + std::to_string(static_cast<int>(entry.type)) + " " + std::to_string(entry.size) + " " + data + "\n";
  }
}

/// One entry whose header has `bytes` at `offset`, with its checksum put right.
std::string with_header(const TarItem& item, std::size_t offset, std::string_view bytes) {
  auto entry = support::tar_item(item);
  entry.replace(offset, bytes.size(), bytes);
  entry.replace(148, 8, 8, ' ');
  unsigned sum = 0;
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(entry[i]);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  entry.replace(148, 7, text, 7);
  return entry;
}
const std::string end_mark(1024, '\0');

}  // namespace

TEST_CASE("the dialects of old and new writers are read", "[tar]") {
  const TarItem item{.name = "name", .content = "hi", .uid = 1};
  const auto zeros = [](std::size_t count) { return std::string(count, '\0'); };
  // Version 7: no magic, a directory is a name with a slash, numbers padded with blanks.
  CHECK(listing(with_header(item, 257, zeros(8)) + end_mark) == "name 0 2 hi\n");
  CHECK(listing(with_header({.name = "d/", .type = '\0'}, 257, zeros(8)) + end_mark) == "d/ 5 0 \n");
  CHECK(listing(with_header(item, 108, "     1 ") + end_mark) == "name 0 2 hi\n");
  CHECK(listing(with_header(item, 108, std::string("1\0 junk", 7)) + end_mark) == "name 0 2 hi\n");
  // Old GNU: "ustar  ", other things where POSIX has the prefix.
  CHECK(listing(with_header(item, 257, std::string("ustar  \0" "root", 12)) + end_mark) == "name 0 2 hi\n");
  CHECK(listing(with_header(item, 257, std::string("ustar  \0", 8) + zeros(80) + "12345670123") + end_mark) == "name 0 2 hi\n");
  CHECK(listing(with_header(item, 345, "folder") + end_mark) == "folder/name 0 2 hi\n");
  // Base-256 numbers, sizes and negative times included.
  CHECK(listing(with_header(item, 124, std::string("\x80\0\0\0\0\0\0\0\0\0\0\x02", 12)) + end_mark) == "name 0 2 hi\n");
  CHECK(listing(with_header(item, 136, std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfb", 12)) + end_mark) == "name 0 2 hi\n");
  CHECK(listing(with_header(item, 124, std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12)) + end_mark).find("error") == 0);
  CHECK(listing(with_header(item, 124, std::string(12, '\xbf')) + end_mark).find("error") == 0);
  // star: "tar\0" at the end of the block, times behind a shorter prefix.
  CHECK(listing(with_header(item, 508, std::string("tar\0", 4)) + end_mark) == "name 0 2 hi\n");
  // Kinds only some know: contiguous files are files, unknown ones are passed by with their data, incremental folders too.
  CHECK(listing(with_header(item, 156, "7") + end_mark) == "name 0 2 hi\n");
  CHECK(listing(with_header({.name = "volume", .type = 'V'}, 156, "V") + tar_archive({item})) == "volume 7 0 \nname 0 2 hi\n");
  CHECK(listing(with_header({.name = "d/", .type = 'D', .content = "Yfile"}, 156, "D") + tar_archive({item})).ends_with("name 0 2 hi\n"));
  // Signed checksums of old writers; a name that fills its field; one zero block, or none, at the end.
  CHECK(listing(tar_archive({{.name = std::string(100, 'n'), .content = "x"}})) == std::string(100, 'n') + " 0 1 x\n");
  CHECK(listing(support::tar_item(item) + zeros(512)) == "name 0 2 hi\n");
  CHECK(listing(support::tar_item(item)) == "name 0 2 hi\n");
}

TEST_CASE("extended headers without measure are refused", "[tar]") {
  CHECK(listing(tar_archive({{.name = "x", .type = 'x', .content = std::string(2 << 20, 'a')}})).find("too large") != std::string::npos);
  CHECK(listing(tar_archive({{.name = "x", .type = 'L', .content = std::string(2 << 20, 'a')}})).find("too large") != std::string::npos);
  std::string many;
  for (int i = 0; i < 2000; ++i) many += support::tar_item({.name = "g", .type = 'g', .content = "10 a=bcde\n"});
  CHECK(listing(many + end_mark).find("too many global") != std::string::npos);
}

TEST_CASE("entries come out the same whatever the pieces of the stream", "[tar]") {
  const auto archive = tar_archive({{.name = "a", .content = std::string(700, 'x')}, {.name = "d/", .type = '5'}, {.name = "l", .type = '2', .link = "a"}});
  const auto expected = listing(archive, archive.size());
  CHECK(expected == "a 0 700 " + std::string(700, 'x') + "\nd/ 5 0 \nl 2 0 \n");
  for (const std::size_t step : {1U, 511U, 512U, 513U}) CHECK(listing(archive, step) == expected);
}

TEST_CASE("PAX and GNU headers replace what ustar cannot say", "[tar]") {
  std::string name(150, 'n');
  name.push_back('\xff');
  auto terminated = name;
  terminated.push_back('\0');
  CHECK(listing(tar_archive({{.name = "short", .content = "hi", .pax = {{"path", name}, {"mtime", "1.5"}}}})) == name + " 0 2 hi\n");
  CHECK(listing(tar_archive({{.name = "././@LongLink", .type = 'L', .content = terminated}, {.name = "x", .content = "1"}})) == name + " 0 1 1\n");
  CHECK(listing(tar_archive({{.name = "x", .type = '5', .stated_size = 99}})) == "x 5 0 \n");
}

TEST_CASE("a truncated or damaged archive is an error, not a shorter archive", "[tar]") {
  const auto archive = tar_archive({{.name = "a", .content = std::string(2000, 'x')}});
  CHECK(listing(archive.substr(0, 1000)).find("error") != std::string::npos);
  CHECK(listing(archive.substr(0, 100)).find("error") != std::string::npos);
  // Only what fills the last block up, and the end mark, may be missing: nothing is lost.
  CHECK(listing(archive.substr(0, 512 + 2000)) == listing(archive));
  CHECK(listing(archive.substr(0, 512 + 2010)) == listing(archive));
  CHECK(listing(archive.substr(0, 512 + 1999)).find("error") != std::string::npos);
  auto damaged = archive;
  damaged[3] = 'Z';
  CHECK(listing(damaged) == "error: malformed tar archive: a header with a wrong checksum\n");
  CHECK(listing(tar_archive({{.name = "pax", .type = 'x', .content = "99999999999 path=a\n"}})).find("error") != std::string::npos);
  CHECK(listing(tar_archive({{.name = "pax", .type = 'x', .content = "20 path=a\n"}})).find("error") != std::string::npos);
  CHECK(listing(tar_archive({{.name = "pax", .type = 'x', .content = "10 path=a\n"}})).find("ends after an extended header") != std::string::npos);
}

TEST_CASE("numbers out of range are refused", "[tar]") {
  CHECK(listing(tar_archive({{.name = "a", .pax = {{"uid", "-1"}}}})).find("error") != std::string::npos);
  CHECK(listing(tar_archive({{.name = "a", .pax = {{"uid", "4294967295"}}}})).find("error") != std::string::npos);
  CHECK(listing(tar_archive({{.name = "a", .pax = {{"size", "-5"}}}})).find("error") != std::string::npos);
  CHECK(listing(tar_archive({{.name = "a", .pax = {{"size", "9223372036854775807"}}}})).find("error") != std::string::npos);
}

TEST_CASE("sparse maps must fit their file", "[tar]") {
  const auto sparse = [](const std::string& map, const std::string& size, const std::string& data) {
    return listing(tar_archive({{.name = "s", .content = data, .pax = {{"GNU.sparse.size", size}, {"GNU.sparse.map", map}}}}));
  };
  CHECK(sparse("10,3", "100", "abc") == "s 0 100 abc\n");
  CHECK(sparse("10,4", "100", "abc").find("error") != std::string::npos);
  CHECK(sparse("99,3", "100", "abc").find("error") != std::string::npos);
  CHECK(sparse("10,2,5,1", "100", "abc").find("error") != std::string::npos);
  CHECK(sparse("9223372036854775807,3", "100", "abc").find("error") != std::string::npos);
  CHECK(listing(tar_archive({{.name = "s", .content = std::string("1\n5\n2\n").append(506, '\0') + "hi",
                              .pax = {{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}, {"GNU.sparse.realsize", "20"}, {"GNU.sparse.name", "real"}}}})) ==
        "real 0 20 hi\n");
}

TEST_CASE("paths are cleaned, and those that leave the root refused", "[tar]") {
  CHECK(*clean_path("./a//b/./c/", 10) == "a/b/c");
  CHECK(*clean_path("/etc/passwd", 10) == "etc/passwd");
  CHECK(clean_path("./", 10)->empty());
  CHECK_FALSE(clean_path("../x", 10));
  CHECK_FALSE(clean_path("a/../../x", 10));
  CHECK_FALSE(clean_path(std::string("a\0b", 3), 10));
  CHECK_FALSE(clean_path(std::string(256, 'a'), 10));
  CHECK_FALSE(clean_path("a/b/c", 2));
}

TEST_CASE("random bytes never crash the reader", "[tar]") {
  std::uint64_t state = 42;
  const auto base_archive = tar_archive({{.name = "a", .content = "data", .pax = {{"path", "b"}}}, {.name = "s", .content = "abc", .pax = {{"GNU.sparse.size", "9"}, {"GNU.sparse.map", "1,3"}}}});
  for (int round = 0; round < 3000; ++round) {
    auto archive = base_archive;
    for (int i = 0; i < 3; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      archive[(state >> 33U) % archive.size()] = static_cast<char>(state >> 56U);
    }
    (void)listing(archive, 600);
  }
  SUCCEED();
}
