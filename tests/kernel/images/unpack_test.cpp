// Archives on a real file system: what a layer may do, and what it may not.
#include "engine/registry/unpack.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "engine/registry/pack.h"
#include "tests/support/support.h"
#include "tests/support/tar_builder.h"

using namespace engine::registry;
using support::tar_archive;
using support::TarItem;

namespace {

#define NEEDS_ROOT() \
  if (geteuid() != 0) SKIP_TEST("needs root: devices and trusted attributes")

struct Layer {
  support::TempDir dir;
  std::filesystem::path root = dir.path() / "root";
  std::filesystem::path outside = dir.path() / "outside";
  Layer() {
    std::filesystem::create_directory(root);
    dir.write("outside/secret", "untouched");
  }
  base::Result<Unpacked> unpack_bytes(const std::string& bytes, const UnpackOptions& options = {}) {
    std::string_view left = bytes;
    auto fd = base::sys::open(root, O_RDONLY | O_DIRECTORY);
    return unpack([left](std::span<char> into) mutable -> base::Result<std::size_t> {
      const auto count = std::min(into.size(), left.size());
      std::copy_n(left.begin(), count, into.begin());
      left.remove_prefix(count);
      return count;
    }, fd->borrow(), options);
  }
  std::string error(const std::vector<TarItem>& items) {
    const auto done = unpack_bytes(tar_archive(items));
    return done ? "" : done.error().text();
  }
  struct stat info(const std::string& name) const {
    struct stat result {};
    if (lstat((root / name).c_str(), &result) != 0) result.st_mode = 0;
    return result;
  }
  [[nodiscard]] bool exists(const std::string& name) const { return info(name).st_mode != 0; }
  [[nodiscard]] bool whiteout(const std::string& name) const { return S_ISCHR(info(name).st_mode) && info(name).st_rdev == 0; }
  [[nodiscard]] bool opaque(const std::string& name) const {
    char value = 0;
    return lgetxattr((root / name).c_str(), "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    auto text = base::sys::read_file(root / name);
    return text ? *text : "missing";
  }
  [[nodiscard]] bool outside_untouched() const {
    std::size_t names = 0;
    for (const auto& one : std::filesystem::directory_iterator(outside)) names += one.exists() ? 1 : 0;
    return names == 1 && *base::sys::read_file(outside / "secret") == "untouched";
  }
};

}  // namespace

TEST_CASE("files get their owner, mode, times and attributes", "[unpack]") {
  NEEDS_ROOT();
  Layer layer;
  REQUIRE(layer.error({{.name = "./", .type = '5', .mode = 0711},
                       {.name = "bin/", .type = '5', .mode = 02755, .gid = 50, .mtime = 77},
                       {.name = "bin/su", .content = "x", .mode = 04755, .uid = 3, .gid = 4, .mtime = -5, .pax = {{"mtime", "12.000000345"}, {"SCHILY.xattr.user.k", "v"}}},
                       {.name = "bin/plain", .content = "y"},
                       {.name = "fifo", .type = '6', .mode = 0600},
                       {.name = "null", .type = '3', .mode = 0666, .device_major = 1, .device_minor = 3},
                       {.name = "link", .type = '2', .link = "/outside/of/here", .uid = 9},
                       {.name = "hard", .type = '1', .link = "bin/su", .mode = 04755, .uid = 3, .gid = 4, .pax = {{"mtime", "12.000000345"}}}}) == "");
  CHECK((layer.info("").st_mode & 07777) == 0711);
  const auto su = layer.info("bin/su");
  CHECK((su.st_mode & 07777) == 04755);
  CHECK(su.st_uid == 3);
  CHECK(su.st_gid == 4);
  CHECK(su.st_mtim.tv_sec == 12);
  CHECK(su.st_mtim.tv_nsec == 345);
  CHECK(su.st_nlink == 2);
  CHECK(layer.info("bin/plain").st_gid == 0);  // not the directory's, although it has the set-group-ID bit
  CHECK(layer.info("bin").st_mtim.tv_sec == 77);
  CHECK(layer.info("null").st_rdev == makedev(1, 3));
  CHECK(S_ISFIFO(layer.info("fifo").st_mode));
  CHECK(layer.info("link").st_uid == 9);
  char value = 0;
  CHECK(getxattr((layer.root / "bin/su").c_str(), "user.k", &value, 1) == 1);
}

TEST_CASE("nothing is written outside the root, whatever the archive says", "[unpack]") {
  NEEDS_ROOT();
  const auto attack = [](const std::vector<TarItem>& items) {
    Layer layer;
    auto made = items;
    const auto up = layer.outside.string();
    for (auto& item : made) {
      if (item.link == "OUT") item.link = up;
      if (item.link == "OUT/secret") item.link = up + "/secret";
    }
    const auto error = layer.error(made);
    CHECK(layer.outside_untouched());
    return error;
  };
  CHECK(attack({{.name = "../outside/x", .content = "evil"}}).find("leave the root") != std::string::npos);
  CHECK(attack({{.name = "a/../../outside/x", .content = "evil"}}).find("leave the root") != std::string::npos);
  // Links, then writing through them.
  (void)attack({{.name = "l", .type = '2', .link = "OUT"}, {.name = "l/secret", .content = "evil"}});
  (void)attack({{.name = "l", .type = '2', .link = "../outside"}, {.name = "l/secret", .content = "evil"}});
  CHECK(attack({{.name = "l", .type = '2', .link = "OUT/secret"}, {.name = "l", .content = "evil"}}) == "");
  (void)attack({{.name = "a", .type = '2', .link = "."}, {.name = "a/b", .type = '2', .link = "../outside"}, {.name = "a/b/secret", .content = "evil"}});
  (void)attack({{.name = "l", .type = '2', .link = "OUT"}, {.name = "l", .type = '5', .mode = 0777}, {.name = "l/x", .content = "fine"}});
  // Hard links out, and through links.
  CHECK(attack({{.name = "h", .type = '1', .link = "OUT/secret"}, {.name = "h", .content = "evil"}}).find("does not exist") != std::string::npos);
  (void)attack({{.name = "l", .type = '2', .link = "OUT"}, {.name = "h", .type = '1', .link = "l/secret"}});
  (void)attack({{.name = "l", .type = '2', .link = "OUT/secret"}, {.name = "h", .type = '1', .link = "l"}, {.name = "h", .content = "evil"}});
  CHECK(attack({{.name = "h", .type = '1', .link = "../outside/secret"}}).find("leave the root") != std::string::npos);
  // Attributes through links: times of a directory that became a link.
  (void)attack({{.name = "d/", .type = '5', .mtime = 1}, {.name = "d", .type = '2', .link = "OUT"}});
  (void)attack({{.name = "proc", .type = '2', .link = "/proc/self/cwd"}, {.name = "proc/x", .content = "evil"}});
  CHECK(access("x", F_OK) != 0);
  // Whiteouts with names that are none.
  CHECK(attack({{.name = ".wh..", .content = ""}}).find("without a name") != std::string::npos);
  CHECK(attack({{.name = ".wh....", .content = ""}}).empty());
  CHECK(attack({{.name = "zero", .type = '3'}}).find("0:0") != std::string::npos);
}

TEST_CASE("an absolute link is followed inside the root", "[unpack]") {
  NEEDS_ROOT();
  Layer layer;
  REQUIRE(layer.error({{.name = "usr/lib/", .type = '5'}, {.name = "lib", .type = '2', .link = "/usr/lib"}, {.name = "lib/x", .content = "1"}}) == "");
  CHECK(layer.read("usr/lib/x") == "1");
}

TEST_CASE("a parent that is a link to nowhere is made inside the root", "[unpack]") {
  NEEDS_ROOT();
  Layer layer;
  CHECK(layer.error({{.name = "a/l", .type = '2', .link = "/t/deep"}, {.name = "a/l/f", .content = "x"},
                     {.name = "a/up", .type = '2', .link = "../../../outside"}, {.name = "a/up/secret", .content = "y"},
                     {.name = "one", .type = '2', .link = "two"}, {.name = "two", .type = '2', .link = "three"}, {.name = "one/f", .content = "z"}}).empty());
  CHECK(layer.read("t/deep/f") == "x");
  CHECK(layer.read("outside/secret") == "y");  // the root's own
  CHECK(layer.read("three/f") == "z");
  CHECK(layer.outside_untouched());
  const auto endless = [](const std::vector<TarItem>& items) { return Layer().error(items); };
  CHECK_FALSE(endless({{.name = "l", .type = '2', .link = "l"}, {.name = "l/f", .content = "x"}}).empty());
  CHECK_FALSE(endless({{.name = "l", .type = '2', .link = "m/x"}, {.name = "m", .type = '2', .link = "l/x"}, {.name = "l/f", .content = "x"}}).empty());
  CHECK_FALSE(endless({{.name = "l", .type = '2', .link = "l/l"}, {.name = "l/f", .content = "x"}}).empty());
}

TEST_CASE("a hard link's entry says owner, mode and time of the file, too", "[unpack]") {
  NEEDS_ROOT();
  Layer layer;
  CHECK(layer.error({{.name = "f", .content = "x", .mode = 0600},
                     {.name = "h", .type = '1', .link = "f", .mode = 04755, .uid = 7, .gid = 8, .mtime = 1'500'000'000, .pax = {{"SCHILY.xattr.user.k", "v"}}},
                     {.name = "s", .type = '2', .link = "f"},
                     {.name = "sh", .type = '1', .link = "s", .mode = 0777, .uid = 9, .gid = 9}}).empty());
  const auto file = layer.info("f");
  CHECK((file.st_mode & 07777) == 04755);
  CHECK(file.st_uid == 7);
  CHECK(file.st_gid == 8);
  CHECK(file.st_mtim.tv_sec == 1'500'000'000);
  CHECK(file.st_nlink == 2);
  char value = 0;
  CHECK(getxattr((layer.root / "f").c_str(), "user.k", &value, 1) == 1);
  CHECK(layer.info("s").st_uid == 9);  // the link itself, not what it leads to
  CHECK(layer.info("s").st_nlink == 2);
}

TEST_CASE("whiteouts become overlay's and speak of lower layers only", "[unpack]") {
  NEEDS_ROOT();
  Layer layer;
  REQUIRE(layer.error({{.name = "d/.wh.gone", .content = ""},
                       {.name = "o/", .type = '5'},
                       {.name = "o/kept", .content = "k"},
                       {.name = "o/.wh..wh..opq", .content = ""},
                       {.name = ".wh.file", .content = ""},
                       {.name = "file", .content = "new"},
                       {.name = ".wh.dir", .content = ""},
                       {.name = "dir/", .type = '5'},
                       {.name = "dir/x", .content = "x"},
                       {.name = "late/", .type = '5'},
                       {.name = "late/y", .content = "y"},
                       {.name = ".wh.late", .content = ""},
                       {.name = ".wh.implied", .content = ""},
                       {.name = "implied/z", .content = "z"},
                       {.name = ".wh..wh.aufs", .content = ""},
                       {.name = "a.wh.b", .content = "name"}}) == "");
  CHECK(layer.whiteout("d/gone"));
  CHECK(layer.opaque("o"));
  CHECK(layer.read("o/kept") == "k");
  CHECK(layer.read("file") == "new");
  CHECK(layer.opaque("dir"));
  CHECK(layer.read("dir/x") == "x");
  CHECK(layer.opaque("late"));
  CHECK(layer.read("late/y") == "y");
  CHECK(layer.opaque("implied"));
  CHECK(layer.read("a.wh.b") == "name");
  CHECK_FALSE(layer.exists(".wh..wh.aufs"));
}

TEST_CASE("overlay's own attributes are never taken from an archive", "[unpack]") {
  NEEDS_ROOT();
  Layer layer;
  REQUIRE(layer.error({{.name = "d/", .type = '5', .pax = {{"SCHILY.xattr.trusted.overlay.opaque", "y"}, {"SCHILY.xattr.trusted.overlay.redirect", "/etc"}}}}) == "");
  CHECK_FALSE(layer.opaque("d"));
  CHECK(lgetxattr((layer.root / "d").c_str(), "trusted.overlay.redirect", nullptr, 0) < 0);
}

TEST_CASE("of entries with one name the last wins, of any kind", "[unpack]") {
  NEEDS_ROOT();
  Layer layer;
  REQUIRE(layer.error({{.name = "a", .content = "1"}, {.name = "a", .content = "22"}, {.name = "b", .content = "1"}, {.name = "b/", .type = '5'}, {.name = "b/c", .content = "c"},
                       {.name = "d/e/f", .content = "1"}, {.name = "d", .type = '2', .link = "a"}, {.name = "g", .type = '6'}, {.name = "g", .content = "file"},
                       {.name = "h", .content = "same"}, {.name = "i", .type = '1', .link = "h"}, {.name = "i", .type = '1', .link = "h"}}) == "");
  CHECK(layer.read("a") == "22");
  CHECK(layer.read("b/c") == "c");
  CHECK(S_ISLNK(layer.info("d").st_mode));
  CHECK(layer.read("g") == "file");
  CHECK(layer.read("i") == "same");
}

TEST_CASE("capabilities and other attributes come from PAX of both families, labels of another machine are left out", "[unpack]") {
  NEEDS_ROOT();
  Layer layer;
  // cap_net_bind_service=ep, revision 2. Source: <linux/capability.h> struct vfs_cap_data.
  const std::string capability("\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  REQUIRE(layer.error({{.name = "a", .content = "x", .mode = 0755, .uid = 5, .pax = {{"SCHILY.xattr.security.capability", capability}, {"SCHILY.xattr.security.selinux", "u:r:t"}}},
                       {.name = "b", .content = "x", .pax = {{"LIBARCHIVE.xattr.user.a%3Db", "dmFsdWU="}}},
                       {.name = "f", .type = '6', .pax = {{"SCHILY.xattr.user.on-a-fifo", "1"}}}}) == "");
  char value[64] = {};
  CHECK(getxattr((layer.root / "a").c_str(), "security.capability", value, sizeof value) == 20);
  CHECK(std::string(value, 20) == capability);
  CHECK(getxattr((layer.root / "b").c_str(), "user.a=b", value, sizeof value) == 5);
  CHECK(std::string(value, 5) == "value");
}

TEST_CASE("huge owners, times before 1970 and names that are no text are kept", "[unpack]") {
  NEEDS_ROOT();
  Layer layer;
  REQUIRE(layer.error({{.name = "\xff\xfe", .content = "x", .pax = {{"uid", "2147483648"}, {"gid", "4294967294"}, {"mtime", "-1.5"}}},
                       {.name = "dir/", .type = '5', .mode = 0},
                       {.name = "dir/inside", .content = "y"},
                       {.name = "l", .type = '2', .link = "nowhere"},
                       {.name = "hard", .type = '1', .link = "l"}}) == "");
  const auto odd = layer.info("\xff\xfe");
  CHECK(odd.st_uid == 2147483648U);
  CHECK(odd.st_gid == 4294967294U);
  CHECK(odd.st_mtim.tv_sec == -2);
  CHECK(odd.st_mtim.tv_nsec == 500'000'000);
  CHECK((layer.info("dir").st_mode & 07777) == 0);
  CHECK(layer.read("dir/inside") == "y");
  CHECK(S_ISLNK(layer.info("hard").st_mode));  // to the link itself
}

TEST_CASE("an entry does not open what an earlier one planted", "[unpack]") {
  NEEDS_ROOT();
  Layer layer;
  // A FIFO would block whoever opens it, a device would be written to; both are replaced.
  REQUIRE(layer.error({{.name = "fifo", .type = '6'}, {.name = "fifo", .content = "file"},
                       {.name = "disk", .type = '4', .device_major = 259, .device_minor = 7}, {.name = "disk", .content = "file"},
                       {.name = "h", .type = '6'}, {.name = "h2", .type = '1', .link = "h"}, {.name = "h2", .content = "file"}}) == "");
  CHECK(layer.read("fifo") == "file");
  CHECK(layer.read("disk") == "file");
  CHECK(layer.read("h2") == "file");
  CHECK(S_ISFIFO(layer.info("h").st_mode));
}

TEST_CASE("what may not change its kind is an error where that is asked for", "[unpack]") {
  NEEDS_ROOT();
  Layer layer;
  REQUIRE(layer.error({{.name = "dir/inner", .content = "1"}, {.name = "file", .content = "1"}}) == "");
  UnpackOptions options;
  options.keep_kinds = true;
  const auto error = [&](const TarItem& item) {
    const auto done = layer.unpack_bytes(tar_archive({item}), options);
    return done ? "" : done.error().message;
  };
  CHECK(error({.name = "dir", .content = "2"}) == "cannot overwrite directory 'dir' with a non-directory");
  CHECK(error({.name = "dir", .type = '2', .link = "x"}) == "cannot overwrite directory 'dir' with a non-directory");
  CHECK(error({.name = "file/", .type = '5'}) == "cannot overwrite non-directory 'file' with a directory");
  CHECK(error({.name = "file/x", .content = "2"}) == "cannot overwrite non-directory 'file' with a directory");
  CHECK(error({.name = "file", .content = "2"}) == "");
  CHECK(layer.read("file") == "2");
  CHECK(layer.read("dir/inner") == "1");
}

TEST_CASE("limits end a bomb", "[unpack]") {
  NEEDS_ROOT();
  Layer layer;
  UnpackOptions options;
  options.limits.bytes_max = 1 << 20;
  std::vector<TarItem> items{{.name = "big", .content = std::string(3 << 20, 'x')}};
  CHECK(layer.unpack_bytes(tar_archive(items), options).error().kind == base::ErrorKind::exhausted);
  options.limits.entries_max = 5;
  items.assign(10, {.name = "e", .content = ""});
  CHECK(layer.unpack_bytes(tar_archive(items), options).error().kind == base::ErrorKind::exhausted);
  // A sparse file may claim more than the limit without holding it.
  CHECK(layer.unpack_bytes(tar_archive({{.name = "s", .content = "abc", .pax = {{"GNU.sparse.size", "9000000000"}, {"GNU.sparse.map", "0,3"}}}}), options).error().kind == base::ErrorKind::exhausted);
  std::string deep;
  for (int i = 0; i < 1900; ++i) deep += "d/";
  CHECK(layer.error({{.name = "x", .type = '5', .pax = {{"path", deep}}}}) == "");
  for (int i = 0; i < 400; ++i) deep += "d/";
  CHECK_FALSE(layer.error({{.name = "x", .type = '5', .pax = {{"path", deep}}}}) == "");
}

TEST_CASE("damaged and foreign streams are errors", "[unpack]") {
  NEEDS_ROOT();
  Layer layer;
  const auto kind = [&](const std::string& bytes) { return layer.unpack_bytes(bytes).error().kind; };
  const auto archive = tar_archive({{.name = "a", .content = std::string(5000, 'x')}});
  CHECK(kind("") == base::ErrorKind::invalid);
  CHECK(kind("no archive at all") == base::ErrorKind::invalid);
  CHECK(kind(archive.substr(0, 3000)) == base::ErrorKind::invalid);
  CHECK(kind("\x1f\x8b\x08" + std::string(600, 'x')) == base::ErrorKind::invalid);
  CHECK(kind(std::string("\x28\xb5\x2f\xfd") + std::string(600, 'x')) == base::ErrorKind::invalid);
}

TEST_CASE("packing a directory gives bytes that unpack to the same, and pack to the same", "[unpack]") {
  NEEDS_ROOT();
  Layer first, second;
  const std::string long_name(200, 'n');
  REQUIRE(first.error({{.name = "d/", .type = '5', .mode = 0750, .uid = 5, .mtime = 9},
                       {.name = "d/" + long_name.substr(0, 90), .content = "1"},
                       {.name = "x", .content = "pax", .pax = {{"path", "d/" + long_name}, {"mtime", "5.25"}}},
                       {.name = "h", .type = '1', .link = "d/" + long_name.substr(0, 90)},
                       {.name = "l", .type = '2', .link = "somewhere"},
                       {.name = "gone/.wh.x", .content = ""},
                       {.name = "o/.wh..wh..opq", .content = ""},
                       {.name = "fifo", .type = '6'},
                       {.name = "cap", .content = "c", .pax = {{"SCHILY.xattr.user.a", "b"}}}}) == "");
  const auto packed_of = [](const std::filesystem::path& root, bool gzip, std::string& bytes) {
    auto fd = base::sys::open(root, O_RDONLY | O_DIRECTORY);
    return pack(fd->borrow(), [&](std::string_view more) -> base::Result<> { bytes += more; return {}; }, {.gzip = gzip});
  };
  std::string tar, gzip;
  const auto one = packed_of(first.root, false, tar);
  REQUIRE(one);
  const auto compressed = packed_of(first.root, true, gzip);
  REQUIRE(compressed);
  CHECK(compressed->diff_id == one->diff_id);
  const auto unpacked = second.unpack_bytes(gzip);
  REQUIRE(unpacked);
  CHECK(unpacked->diff_id == one->diff_id);
  CHECK(unpacked->input_digest == compressed->blob_digest);
  CHECK(second.whiteout("gone/x"));
  CHECK(second.opaque("o"));
  std::string again;
  const auto two = packed_of(second.root, false, again);
  REQUIRE(two);
  CHECK(two->diff_id == one->diff_id);
  CHECK((again == tar));
}

TEST_CASE("unpacking leaves the thread that called it as it was", "[unpack]") {
  NEEDS_ROOT();
  Layer layer;
  REQUIRE(layer.error({{.name = "a", .content = "1"}}) == "");
  // The confinement is the worker threads' own: we still write elsewhere.
  CHECK(base::sys::write_file(layer.dir.path() / "elsewhere", "x"));
}
