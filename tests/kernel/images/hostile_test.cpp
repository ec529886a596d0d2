// Images that mean harm, pulled from a registry that serves them with right digests: each is refused or comes to nothing, and
// whichever it is, nothing is written elsewhere, nothing is left of what was refused, and it costs neither memory nor time.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/images/printable.h"
#include "engine/registry/gzip_writer.h"
#include "engine/registry/transfer.h"
#include "tests/kernel/images/registry_fixture.h"

using namespace engine;
using namespace engine::registry;
using support::tar_archive;
using support::tar_item;
using support::TarItem;
namespace fs = std::filesystem;

namespace {

enum class Fate : std::uint8_t { refused, harmless };  ///< harmless: taken or refused, as long as it stays inside

struct Attack {
  std::string name, layer;
  Fate fate = Fate::refused;
};

/// A header with some bytes changed and the checksum made right again.
std::string forged(const TarItem& item, std::size_t at, const std::string& bytes) {
  std::string block = tar_item(item);
  block.replace(at, bytes.size(), bytes);
  block.replace(148, 8, "        ");
  unsigned sum = 0;
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(block[i]);
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "%06o", sum);
  block.replace(148, 7, std::string(text.data(), 7));
  return block;
}
const std::string end_mark(1024, '\0');

std::string gzipped(const std::string& text) {
  std::string out;
  GzipWriter writer([&out](std::span<const char> bytes) -> base::Result<> {
    out.append(bytes.data(), bytes.size());
    return {};
  });
  REQUIRE(writer.write(text));
  REQUIRE(writer.finish());
  return out;
}

/// Everything about a file but its access time.
std::string fingerprint(const fs::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return "gone";
  const auto text = S_ISREG(info.st_mode) ? *base::sys::read_file(path) : "";
  return std::to_string(info.st_mode) + " " + std::to_string(info.st_uid) + " " + std::to_string(info.st_nlink) + " " + std::to_string(info.st_mtim.tv_sec) + "." +
         std::to_string(info.st_mtim.tv_nsec) + " " + std::to_string(info.st_ctim.tv_nsec) + " " + text;
}

std::vector<Attack> paths_out(const std::string& out) {
  const auto up = "../../../../../../../../../.." + out;
  return {
      {"a name that climbs", tar_archive({{.name = "../../x", .content = "evil"}})},
      {"a name that climbs later", tar_archive({{.name = "a/b/../../../x", .content = "evil"}})},
      {"an absolute name", tar_archive({{.name = "x", .content = "evil", .pax = {{"path", out + "/secret"}}}}), Fate::harmless},
      {"an absolute name that climbs", tar_archive({{.name = "/../../x", .content = "evil"}})},
      {"a file below an absolute link", tar_archive({{.name = "l", .type = '2', .link = out}, {.name = "l/secret", .content = "evil"}}), Fate::harmless},
      {"a file below a climbing link", tar_archive({{.name = "l", .type = '2', .pax = {{"linkpath", up}}}, {.name = "l/secret", .content = "evil"}}), Fate::harmless},
      {"a file in a link's place", tar_archive({{.name = "l", .type = '2', .link = out + "/secret"}, {.name = "l", .content = "evil"}}), Fate::harmless},
      {"links in a chain", tar_archive({{.name = "a", .type = '2', .link = "b"}, {.name = "b", .type = '2', .link = "c"}, {.name = "c", .type = '2', .link = out}, {.name = "a/secret", .content = "evil"}}), Fate::harmless},
      {"links in a ring", tar_archive({{.name = "a", .type = '2', .link = "b"}, {.name = "b", .type = '2', .link = "a"}, {.name = "a/x", .content = "evil"}})},
      {"a directory that becomes a link", tar_archive({{.name = "d/", .type = '5', .mode = 0777, .mtime = 5}, {.name = "d", .type = '2', .link = out}, {.name = "d/secret", .content = "evil"}, {.name = "d/", .type = '5', .mode = 0700}}), Fate::harmless},
      {"a link over a directory with files", tar_archive({{.name = "d/e/f", .content = "x"}, {.name = "d/e", .type = '2', .link = out}, {.name = "d/e/secret", .content = "evil"}}), Fate::harmless},
      {"a way through /proc", tar_archive({{.name = "p", .type = '2', .link = "/proc/self/root" + out}, {.name = "p/secret", .content = "evil"}}), Fate::harmless},
      {"a hard link that climbs", tar_archive({{.name = "h", .type = '1', .pax = {{"linkpath", up + "/secret"}}}, {.name = "h", .content = "evil"}})},
      {"a hard link to an absolute name", tar_archive({{.name = "h", .type = '1', .link = out + "/secret"}, {.name = "h", .content = "evil"}})},
      {"a hard link through a link", tar_archive({{.name = "l", .type = '2', .link = out}, {.name = "h", .type = '1', .link = "l/secret", .mode = 0777}})},
      {"a hard link to a link", tar_archive({{.name = "l", .type = '2', .link = out + "/secret"}, {.name = "h", .type = '1', .link = "l", .mode = 0777, .uid = 5}, {.name = "h", .content = "evil"}}), Fate::harmless},
      {"a hard link to itself", tar_archive({{.name = "h", .type = '1', .link = "h"}})},
      {"a hard link to a directory", tar_archive({{.name = "d/", .type = '5'}, {.name = "h", .type = '1', .link = "d"}})},
      {"a hard link to the root", tar_archive({{.name = "h", .type = '1', .link = "/"}})},
      {"a whiteout that climbs", tar_archive({{.name = "../.wh.secret", .content = ""}})},
      {"a whiteout through a link", tar_archive({{.name = "l", .type = '2', .link = out}, {.name = "l/.wh.secret", .content = ""}}), Fate::harmless},
      {"a whiteout of the parent", tar_archive({{.name = "d/.wh...", .content = ""}})},
      {"a whiteout of nothing", tar_archive({{.name = ".wh.", .content = ""}})},
      {"an opaque mark through a link", tar_archive({{.name = "l", .type = '2', .link = out}, {.name = "l/.wh..wh..opq", .content = ""}}), Fate::harmless},
      {"the root as a link", tar_archive({{.name = "./", .type = '2', .link = out}})},
      {"the root as a file", tar_archive({{.name = ".", .content = "x"}})},
      {"attributes through a link", tar_archive({{.name = "l", .type = '2', .link = out + "/secret", .uid = 5, .mtime = 9, .pax = {{"SCHILY.xattr.user.evil", "1"}}}}), Fate::harmless},
  };
}

std::vector<Attack> odd_entries() {
  const TarItem file{.name = "f", .content = "x"};
  return {
      {"a whiteout in disguise", tar_archive({{.name = "w", .type = '3'}})},
      {"overlay's own marks", tar_archive({{.name = "d/", .type = '5', .pax = {{"SCHILY.xattr.trusted.overlay.opaque", "y"}, {"SCHILY.xattr.trusted.overlay.redirect", "/etc"}}}}), Fate::harmless},
      {"a FIFO that is opened", tar_archive({{.name = "p", .type = '6'}, {.name = "p", .content = "x"}, {.name = "p/x", .content = "y"}}), Fate::harmless},
      {"a disk", tar_archive({{.name = "sda", .type = '4', .mode = 0666, .device_major = 8}, {.name = "sda", .content = "evil"}}), Fate::harmless},
      {"a name with NUL", tar_archive({{.name = "x", .content = "y", .pax = {{"path", std::string("a\0b", 3)}}}})},
      {"a link with NUL", tar_archive({{.name = "x", .type = '2', .pax = {{"linkpath", std::string("a\0b", 3)}}}})},
      {"a link to nothing at all", tar_archive({{.name = "x", .type = '2'}})},
      {"a component of 300 bytes", tar_archive({{.name = "x", .content = "y", .pax = {{"path", std::string(300, 'n')}}}})},
      {"a path of 5000 bytes", tar_archive({{.name = "x", .content = "y", .pax = {{"path", std::string(20, 'd') + std::string(4980, '/') + "x" + std::string(4000, '/') + std::string(5000, 'y')}}}})},
      {"a link of 70 000 bytes", tar_archive({{.name = "x", .type = '2', .pax = {{"linkpath", std::string(70'000, 'l')}}}})},
      {"a size beyond the archive", tar_archive({{.name = "x", .content = "y", .stated_size = 077777777777}})},
      {"a size of 2^63", forged(file, 124, std::string("\x80\0\0\0\x80\0\0\0\0\0\0\0", 12)) + end_mark},
      {"a negative size", forged(file, 124, std::string(12, '\xff')) + end_mark},
      {"a negative size in PAX", tar_archive({{.name = "x", .content = "y", .pax = {{"size", "-1"}}}})},
      {"a size in PAX that overflows", tar_archive({{.name = "x", .content = "y", .pax = {{"size", "99999999999999999999"}}}})},
      {"a PAX header of 3 MiB", tar_archive({{.name = "x", .content = "y", .pax = {{"comment", std::string(3 << 20, 'c')}}}})},
      {"a PAX record that lies", tar_item({.name = "p", .type = 'x', .content = "999999999 path=x\n"}) + tar_archive({file})},
      {"a PAX record without a length", tar_item({.name = "p", .type = 'x', .content = "path=x\n"}) + tar_archive({file})},
      {"a GNU name of 3 MiB", tar_item({.name = "L", .type = 'L', .content = std::string(3 << 20, 'n')}) + tar_archive({file})},
      {"a sparse file of 2^62", tar_archive({{.name = "s", .content = "abc", .pax = {{"GNU.sparse.size", "4611686018427387904"}, {"GNU.sparse.map", "0,3"}}}})},
      {"a sparse map that overlaps", tar_archive({{.name = "s", .content = "abcdef", .pax = {{"GNU.sparse.size", "100"}, {"GNU.sparse.map", "0,3,1,3"}}}})},
      {"a sparse map beyond its file", tar_archive({{.name = "s", .content = "abc", .pax = {{"GNU.sparse.size", "10"}, {"GNU.sparse.map", "9223372036854775807,3"}}}})},
      {"an owner beyond 32 bits", tar_archive({{.name = "x", .content = "y", .pax = {{"uid", "1099511627776"}}}})},
      {"a negative owner", tar_archive({{.name = "x", .content = "y", .pax = {{"uid", "-1"}}}})},
      {"a time beyond all times", tar_archive({{.name = "x", .content = "y", .pax = {{"mtime", "9999999999999999999999"}}}}), Fate::harmless},
      {"an attribute of 100 KiB", tar_archive({{.name = "x", .content = "y", .pax = {{"SCHILY.xattr.user.big", std::string(100'000, 'v')}}}})},
      {"an attribute's name of 300 bytes", tar_archive({{.name = "x", .content = "y", .pax = {{"SCHILY.xattr.user." + std::string(300, 'n'), "v"}}}})},
      {"a wrong checksum", [&] { auto all = tar_archive({file}); all[150] = '7'; all[151] = '7'; return all; }()},
      {"an end inside an entry", tar_archive({{.name = "x", .content = std::string(5000, 'x')}}).substr(0, 2048)},
      {"no end", tar_item({.name = "x", .content = "", .stated_size = 512})},
      {"gzip of gzip", gzipped(gzipped(tar_archive({file})))},
      {"gzip that ends early", gzipped(tar_archive({{.name = "x", .content = std::string(100'000, 'x')}})).substr(0, 60)},
      {"gzip with a wrong trailer and no tar", gzipped("nothing like an archive")},
      {"zstd that asks for 2 GiB of window", std::string("\x28\xb5\x2f\xfd\x00\xa8\x00\x00\x00", 9) + std::string(64, 'z')},
      {"zstd of skipped frames alone", std::string("\x50\x2a\x4d\x18\xff\xff\xff\xff", 8) + std::string(4096, 's')},
      {"text", "<html>404</html>"},
      {"nothing", ""},
  };
}

struct Ground {
  fixture::State state;
  fixture::Registry registry;
  fs::path outside = state.dir.path() / "outside";
  store::Store store = fixture::open_store();
  std::string before;
  Ground() {
    state.dir.write("outside/secret", "untouched");
    before = fingerprint(outside) + fingerprint(outside / "secret");
  }
  [[nodiscard]] bool untouched() const { return fingerprint(outside) + fingerprint(outside / "secret") == before && !fs::exists(state.dir.path() / "x"); }
  /// Folders that hold nothing but what the store is made of.
  [[nodiscard]] bool store_is_empty() {
    std::error_code ignored;
    return images::ImageStore(store).list()->empty() && fs::is_empty(paths::layers(), ignored) && fs::is_empty(paths::images() / "blobs" / "sha256", ignored);
  }
};

long peak_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

}  // namespace

TEST_CASE("an image that means harm is refused or comes to nothing", "[hostile]") {
  NEEDS_ROOT();
  Ground ground;
  auto attacks = paths_out(ground.outside);
  for (auto& one : odd_entries()) attacks.push_back(std::move(one));
  const long before = peak_kib();
  for (const auto& attack : attacks) {
    INFO(attack.name);
    ground.registry.add_image("latest", {attack.layer});
    const auto done = pull(ground.store, ground.registry.name(), {.platform = "linux/amd64"});
    INFO((done ? "taken" : done.error().text()));
    if (attack.fate == Fate::refused) CHECK_FALSE(done);
    if (done) CHECK(images::ImageStore(ground.store).remove(ground.registry.name(), {}).has_value());
    CHECK(ground.untouched());
    CHECK(ground.store_is_empty());
  }
  CHECK(peak_kib() - before < 160 * 1024);
  CHECK(attacks.size() > 60);
}

TEST_CASE("manifests and configs that lie are refused", "[hostile]") {
  NEEDS_ROOT();
  Ground ground;
  auto& registry = ground.registry;
  const auto layer = fixture::layer("f", "x");
  const auto digest = registry.add_blob(layer);
  const std::string good_config = R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[")" + digest + "\"]}}";
  const auto put = [&](const std::string& config, const std::string& config_size, const std::string& layers) {
    registry.add_manifest("latest", R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":")" +
                                        registry.add_blob(config) + R"(","size":)" + (config_size.empty() ? std::to_string(config.size()) : config_size) + R"(},"layers":[)" + layers + "]}");
  };
  const auto one = [&](const std::string& size, const std::string& more = "") {
    return R"({"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":")" + digest + R"(","size":)" + size + more + "}";
  };
  const auto size = std::to_string(layer.size());
  const std::string zero = "sha256:" + std::string(64, '0');
  const std::vector<std::pair<std::string, std::function<void()>>> lies = {
      {"a negative size", [&] { put(good_config, "", one("-1")); }},
      {"a size that is smaller", [&] { put(good_config, "", one("10")); }},
      {"a size that is larger", [&] { put(good_config, "", one("100000")); }},
      {"a size of 2^70", [&] { put(good_config, "", one("1180591620717411303424")); }},
      {"a size with a fraction", [&] { put(good_config, "", one("1.5")); }},
      {"a size as text", [&] { put(good_config, "", one("\"" + size + "\"")); }},
      {"a negative config size", [&] { put(good_config, "-5", one(size)); }},
      {"a config of a terabyte", [&] { put(good_config, "1099511627776", one(size)); }},
      {"a config that is a layer", [&] { put(layer, "", one(size)); }},
      {"a config that is a list", [&] { put("[]", "", one(size)); }},
      {"a config of nothing", [&] { put("", "", one(size)); }},
      {"a config without end", [&] { put(std::string(200'000, '['), "", one(size)); }},
      {"a config of other types", [&] { put(R"({"architecture":5,"os":["linux"],"rootfs":"x"})", "", one(size)); }},
      {"a config with other layers", [&] { put(R"({"architecture":"amd64","os":"linux","rootfs":{"diff_ids":[")" + zero + "\"]}}", "", one(size)); }},
      {"a config with fewer layers", [&] { put(R"({"architecture":"amd64","os":"linux","rootfs":{"diff_ids":[]}})", "", one(size)); }},
      {"a config with a path for a digest", [&] { put(R"({"architecture":"amd64","os":"linux","rootfs":{"diff_ids":["sha256:../../../../x"]}})", "", one(size)); }},
      {"a layer that is not there", [&] { put(good_config, "", R"({"digest":")" + zero + R"(","size":5})"); }},
      {"a digest in capitals", [&] { put(good_config, "", R"({"digest":"SHA256:)" + std::string(64, 'A') + R"(","size":5})"); }},
      {"a digest of another kind", [&] { put(good_config, "", R"({"digest":"md5:)" + std::string(32, 'a') + R"(","size":5})"); }},
      {"a digest that is cut", [&] { put(good_config, "", R"({"digest":"sha256:abc","size":5})"); }},
      {"layers that are no list", [&] { registry.add_manifest("latest", R"({"schemaVersion":2,"config":{"digest":")" + digest + R"(","size":5},"layers":{"a":1}})"); }},
      {"a manifest that is also an index", [&] { registry.add_manifest("latest", R"({"schemaVersion":2,"config":{"digest":")" + digest + R"(","size":)" + size + R"(},"layers":[],"manifests":[)" + one(size) + "]}"); }},
      {"an index that names a layer", [&] { registry.add_manifest("latest", R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)" + one(size, R"(,"platform":{"os":"linux","architecture":"amd64"})") + "]}"); }},
      {"10 001 layers of which the config knows one", [&] {
         std::string all = one(size);
         for (int i = 0; i < 10'000; ++i) all += "," + one(size);
         put(good_config, "", all);
       }},
  };
  for (const auto& [name, lie] : lies) {
    INFO(name);
    lie();
    const auto done = pull(ground.store, registry.name(), {.platform = "linux/amd64"});
    INFO((done ? "taken" : done.error().text()));
    CHECK_FALSE(done);
    CHECK(ground.untouched());
    CHECK(ground.store_is_empty());
  }
}

TEST_CASE("layers that claim to be elsewhere are asked of the registry alone", "[hostile]") {
  NEEDS_ROOT();
  Ground ground;
  support::WebServer elsewhere([](const support::WebRequest&) { return support::WebAnswer{.status = 200, .body = "evil", .headers = {}}; });
  const auto layer = fixture::layer("f", "x");
  ground.registry.add_image("latest", {layer});
  auto text = ground.registry.manifests["latest"];
  const auto at = text.find(R"("layers":[{)") + 11;
  text.insert(at, R"("urls":["http://)" + elsewhere.host() + R"(/evil"],)");
  ground.registry.add_manifest("latest", text);
  CHECK(pull(ground.store, ground.registry.name(), {.platform = "linux/amd64"}));
  CHECK(elsewhere.log().empty());
}

TEST_CASE("what an image says of itself reaches the terminal as text", "[hostile]") {
  CHECK(images::printable("plain text\n\tü☃ 100%") == "plain text\n\tü☃ 100%");
  CHECK(images::printable("\x1b]0;title\x07") == "\\x1b]0;title\\x07");
  CHECK(images::printable(std::string("a\0b\r\x7f", 5)) == "a\\x00b\\x0d\\x7f");
  CHECK(images::printable("\xc2\x9b" "31m") == "\\xc2\\x9b31m");  // a CSI of one character
}
