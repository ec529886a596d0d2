#include <catch2/catch.hpp>
#include <thread>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/images/image_store.h"
#include "engine/registry/fetch.h"
#include "engine/registry/transfer.h"
#include "engine/registry/login.h"
#include "engine/registry/remote.h"
#include "tests/kernel/images/registry_fixture.h"

using namespace engine;
using base::ErrorKind;
using fixture::layer;
using registry::pull;

namespace {
std::string read(const images::Image& image, std::size_t at, const std::string& name) {
  auto text = base::sys::read_file(image.layer_dirs.at(at) / name);
  return text ? *text : "missing";
}
}  // namespace

TEST_CASE("an image is pulled once and then only asked about", "[pull]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  registry.add_image("latest", {layer("a", "1"), layer("b", "2")});
  auto store = fixture::open_store();
  std::vector<std::string> seen;
  const auto first = pull(store, registry.name(), {.progress = [&](const registry::ProgressEvent& event) { seen.push_back(event.status); }});
  REQUIRE(first);
  CHECK(first->changed);
  CHECK(std::count(seen.begin(), seen.end(), "Pull complete") == 2);
  const auto image = images::ImageStore(store).resolve(registry.name());
  REQUIRE(image);
  CHECK(image->id == first->id);
  CHECK(*image->config.cmd == std::vector<std::string>{"run"});
  CHECK(read(*image, 0, "a") == "1");
  CHECK(read(*image, 1, "b") == "2");
  CHECK(image->digests.size() == 1);
  const auto before = registry.server.log().size();
  const auto second = pull(store, registry.name(), {});
  REQUIRE(second);
  CHECK_FALSE(second->changed);
  CHECK(registry.server.log().size() <= before + 2);  // the probe of https/http and one HEAD
  CHECK(pull(store, registry.server.host() + "/app@" + first->digest, {})->id == first->id);
}

TEST_CASE("shared layers are fetched once, a new tag only needs what is new", "[pull]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  registry.add_image("one", {layer("a", "1"), layer("b", "2")});
  registry.add_image("two", {layer("a", "1"), layer("c", "3")});
  auto store = fixture::open_store();
  REQUIRE(pull(store, registry.name("one"), {}));
  const int blobs = registry.server.count("GET /v2/app/blobs/");
  REQUIRE(pull(store, registry.name("two"), {}));
  CHECK(registry.server.count("GET /v2/app/blobs/") == blobs + 2);  // config and layer c
}

TEST_CASE("two processes pulling one image do the work once", "[pull]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  registry.add_image("latest", {layer("a", std::string(300'000, 'a')), layer("b", std::string(300'000, 'b'))});
  { auto prepared = fixture::open_store(); }
  std::array<std::string, 4> errors;
  std::vector<std::thread> threads;
  for (auto& error : errors)
    threads.emplace_back([&] {
      auto store = store::Store::open();
      auto done = store ? pull(*store, registry.name(), {}) : base::Result<registry::Pulled>(store.error());
      if (!done) error = done.error().text();
    });
  for (auto& thread : threads) thread.join();
  for (const auto& error : errors) CHECK(error == "");
  for (const auto& [digest, bytes] : registry.blobs)
    if (bytes.size() > 100'000) CHECK(registry.server.count("GET /v2/app/blobs/" + digest) == 1);
}

TEST_CASE("a broken connection is resumed where it stopped", "[pull]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  const auto big = layer("big", std::string(2'000'000, 'x'));
  registry.add_image("latest", {big});
  const auto digest = images::sha256_digest(big);
  std::atomic<int> cuts = 3;
  std::atomic<bool> ranged = false;
  registry.hook = [&](const support::WebRequest& request) -> std::optional<support::WebAnswer> {
    if (!request.path.ends_with(digest) || request.method != "GET") return std::nullopt;
    const auto range = request.headers.find("range");
    const auto from = range == request.headers.end() ? 0 : std::stoul(range->second.substr(6));
    ranged = ranged || from > 0;
    if (cuts-- <= 0) return std::nullopt;
    return support::WebAnswer{.status = from > 0 ? 206 : 200, .body = big.substr(from), .headers = {}, .cut_after = 400'000};
  };
  auto store = fixture::open_store();
  const auto done = pull(store, registry.name(), {});
  REQUIRE(done);
  CHECK(ranged);
}

TEST_CASE("a server without Range starts over and the bytes are still right", "[pull]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  const auto big = layer("big", std::string(2'000'000, 'y'));
  registry.add_image("latest", {big});
  std::atomic<int> cuts = 1;
  registry.hook = [&](const support::WebRequest& request) -> std::optional<support::WebAnswer> {
    if (!request.path.ends_with(images::sha256_digest(big)) || request.method != "GET") return std::nullopt;
    return support::WebAnswer{.status = 200, .body = big, .headers = {}, .cut_after = cuts-- > 0 ? 700'000 : std::string::npos};
  };
  auto store = fixture::open_store();
  REQUIRE(pull(store, registry.name(), {}));
}

TEST_CASE("what a killed pull left behind is used by the next one", "[pull]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  const auto big = layer("big", std::string(2'000'000, 'z'));
  registry.add_image("latest", {big});
  const auto digest = images::sha256_digest(big);
  auto store = fixture::open_store();
  REQUIRE(images::prepare_folders());
  const auto partial = paths::images() / "partial" / images::digest_hex(digest);
  SECTION("the right beginning saves its download") {
    REQUIRE(base::sys::write_file(partial, big.substr(0, 1'500'000), 0600));
    std::atomic<std::size_t> from = 0;
    registry.hook = [&](const support::WebRequest& request) -> std::optional<support::WebAnswer> {
      if (request.path.ends_with(digest) && request.headers.contains("range")) from = std::stoul(request.headers.at("range").substr(6));
      return std::nullopt;
    };
    REQUIRE(pull(store, registry.name(), {}));
    CHECK(from == 1'500'000);
  }
  SECTION("a wrong beginning is found out and fetched again") {
    REQUIRE(base::sys::write_file(partial, std::string(1'500'000, '!'), 0600));
    REQUIRE(pull(store, registry.name(), {}));
    CHECK(access(partial.c_str(), F_OK) != 0);
  }
  SECTION("a whole blob that is damaged is found out and fetched again") {
    REQUIRE(base::sys::write_file(images::blob_path(digest), std::string(big.size(), '!'), 0600));
    REQUIRE(pull(store, registry.name(), {}));
    CHECK(*base::sys::read_file(images::blob_path(digest)) == big);
  }
}

TEST_CASE("bytes with a wrong digest are refused and nothing is left", "[pull]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  const auto good = layer("a", "good"), evil = layer("a", "evil");
  registry.add_image("latest", {good});
  auto store = fixture::open_store();
  SECTION("the blob") { registry.blobs[images::sha256_digest(good)] = evil; }
  SECTION("the config") {
    for (auto& [digest, bytes] : registry.blobs)
      if (bytes.starts_with("{")) bytes.replace(bytes.find("run"), 3, "ruin");
  }
  SECTION("a blob longer than stated") { registry.blobs[images::sha256_digest(good)] = good + good; }
  SECTION("a diff id that is another's") {
    const auto config = R"({"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[")" + images::sha256_digest("other") + R"("]}})";
    const auto digest = registry.add_blob(config);
    registry.add_manifest("latest", R"({"schemaVersion":2,"config":{"digest":")" + digest + R"(","size":)" + std::to_string(config.size()) + R"(},"layers":[{"digest":")" +
                                        images::sha256_digest(good) + R"(","size":)" + std::to_string(good.size()) + "}]}");
  }
  const auto done = pull(store, registry.name(), {});
  REQUIRE_FALSE(done);
  CHECK(done.error().kind == ErrorKind::invalid);
  CHECK(images::ImageStore(store).list()->empty());
  std::error_code ignored;
  CHECK(std::filesystem::is_empty(paths::layers(), ignored));
  CHECK(std::filesystem::is_empty(paths::images() / "blobs" / "sha256", ignored));
}

TEST_CASE("errors say what Docker's say", "[pull]") {
  NEEDS_ROOT();
  fixture::State state;
  auto store = fixture::open_store();
  {
    fixture::Registry registry;
    const auto missing = pull(store, registry.name("9"), {});
    CHECK(missing.error().kind == ErrorKind::not_found);
    CHECK(missing.error().text() == "manifest for " + registry.name("9") + " not found: manifest unknown");
    registry.hook = [](const support::WebRequest& request) -> std::optional<support::WebAnswer> {
      if (request.path == "/v2/") return std::nullopt;
      return support::WebAnswer{.status = 401, .body = R"({"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]})", .headers = {{"WWW-Authenticate", "Basic realm=x"}}};
    };
    const auto denied = pull(store, registry.name(), {});
    CHECK(denied.error().kind == ErrorKind::permission);
    CHECK(denied.error().text().starts_with("pull access denied for "));
  }
  const auto down = pull(store, "127.0.0.1:1/app", {});
  CHECK(down.error().kind == ErrorKind::unavailable);
  CHECK(pull(store, "127.0.0.1:1/App", {}).error().kind == ErrorKind::invalid);
}

TEST_CASE("a registry that stumbles is asked again", "[pull]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  registry.add_image("latest", {layer("a", "1")});
  std::atomic<int> failures = 2;
  registry.hook = [&](const support::WebRequest& request) -> std::optional<support::WebAnswer> {
    if (request.path.find("/manifests/") == std::string::npos || failures-- <= 0) return std::nullopt;
    return support::WebAnswer{.status = 503, .body = "busy", .headers = {{"Retry-After", "0"}}};
  };
  auto store = fixture::open_store();
  CHECK(pull(store, registry.name(), {}));
}

TEST_CASE("tokens are fetched with the credentials and renewed when they expire", "[pull]") {
  NEEDS_ROOT();
  fixture::State state;
  state.dir.write("docker/config.json", "{}");
  fixture::Registry registry;
  registry.add_image("latest", {layer("a", "1"), layer("b", "2")});
  std::atomic<int> issued = 0;
  std::atomic<bool> basic = false;
  registry.hook = [&](const support::WebRequest& request) -> std::optional<support::WebAnswer> {
    if (request.path == "/v2/") return std::nullopt;
    if (request.path == "/token") {
      basic = request.headers.contains("authorization");
      CHECK(request.query.find("scope=repository%3Aapp%3Apull") != std::string::npos);
      return support::WebAnswer{.status = 200, .body = R"({"access_token":"t)" + std::to_string(++issued) + R"("})", .headers = {}};
    }
    const auto given = request.headers.find("authorization");
    // The first token dies after the manifest.
    const std::string wanted = request.path.find("/blobs/") != std::string::npos ? "Bearer t2" : "Bearer t";
    if (given != request.headers.end() && given->second.starts_with(wanted)) return std::nullopt;
    return support::WebAnswer{.status = 401, .body = "", .headers = {{"WWW-Authenticate", "Bearer realm=\"http://" + registry.server.host() + "/token\",service=\"s\",scope=\"repository:app:pull\""}}};
  };
  state.dir.write("docker/config.json", R"({"auths":{")" + registry.server.host() + R"(":{"auth":"dTpw"}}})");
  auto store = fixture::open_store();
  const auto done = pull(store, registry.name(), {});
  REQUIRE(done);
  CHECK(basic);
  CHECK(issued == 2);
}

TEST_CASE("credentials are not carried to another host by a redirect", "[pull]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  const auto bytes = layer("a", "1");
  registry.add_image("latest", {bytes});
  std::atomic<bool> leaked = false, asked = false;
  support::WebServer storage([&](const support::WebRequest& request) {
    asked = true;
    leaked = leaked || request.headers.contains("authorization");
    return support::WebAnswer{.status = 200, .body = bytes, .headers = {}};
  });
  registry.hook = [&](const support::WebRequest& request) -> std::optional<support::WebAnswer> {
    if (request.path == "/v2/") return std::nullopt;
    if (!request.headers.contains("authorization")) return support::WebAnswer{.status = 401, .body = "", .headers = {{"WWW-Authenticate", "Basic realm=x"}}};
    if (!request.path.ends_with(images::sha256_digest(bytes))) return std::nullopt;
    return support::WebAnswer{.status = 307, .body = "", .headers = {{"Location", "http://" + storage.host() + "/signed?a=%2Fb"}}};
  };
  state.dir.write("docker/config.json", R"({"auths":{")" + registry.server.host() + R"(":{"auth":"dTpw"}}})");
  auto store = fixture::open_store();
  REQUIRE(pull(store, registry.name(), {}));
  CHECK(asked);
  CHECK_FALSE(leaked);
}

TEST_CASE("mirrors are asked first and passed by when they fail", "[pull]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry origin, mirror;
  origin.add_image("latest", {layer("a", "origin")});
  const auto conf = state.dir.write("registries.conf", "[[registry]]\nprefix = \"" + origin.server.host() + "\"\n[[registry.mirror]]\nlocation = \"" + mirror.server.host() + "\"\n");
  setenv("CONTAINERS_REGISTRIES_CONF", conf.c_str(), 1);
  auto store = fixture::open_store();
  REQUIRE(pull(store, origin.name(), {}));
  CHECK(mirror.server.count("GET /v2/app/manifests/") == 1);
  mirror.add_image("other", {layer("b", "mirror")});
  REQUIRE(pull(store, origin.name("other"), {}));
  CHECK(origin.server.count("GET /v2/app/manifests/other") == 0);
}

TEST_CASE("the platform is chosen from an index, and a missing one is named", "[pull]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  const auto amd = registry.add_image("amd", {layer("a", "amd")});
  const auto size = registry.manifests[amd].size();
  registry.add_manifest("latest", R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":")" + amd + R"(","size":)" + std::to_string(size) +
                                      R"(,"platform":{"os":"linux","architecture":"amd64"}}]})");
  auto store = fixture::open_store();
  const auto done = pull(store, registry.name(), {.platform = "linux/amd64"});
  REQUIRE(done);
  CHECK(done->digest != amd);
  const auto none = pull(store, registry.name(), {.platform = "linux/s390x"});
  CHECK(none.error().kind == ErrorKind::unsupported);
  CHECK(none.error().text().find("there are linux/amd64") != std::string::npos);
}

TEST_CASE("a hard link into a lower layer is copied up", "[pull]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  registry.add_image("latest", {layer("d/low", "deep"), layer("x", "1"), support::tar_archive({{.name = "up", .type = '1', .link = "d/low"}})});
  auto store = fixture::open_store();
  const auto done = pull(store, registry.name(), {});
  REQUIRE(done);
  const auto image = images::ImageStore(store).by_id(done->id);
  CHECK(read(*image, 2, "up") == "deep");
}

TEST_CASE("a pushed image pulls as the same image elsewhere", "[push]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry from, to;
  from.add_image("latest", {layer("a", "1"), layer("b", "2")});
  auto store = fixture::open_store();
  const auto pulled = pull(store, from.name(), {});
  REQUIRE(pulled);
  REQUIRE(images::ImageStore(store).tag(from.name(), to.name("v1")));
  const auto pushed = registry::push(store, to.name("v1"), {});
  REQUIRE(pushed);
  CHECK(pushed->digest == pulled->digest);  // the very bytes that were pulled
  CHECK(to.manifests.at("v1") == from.manifests.at("latest"));
  CHECK(to.blobs.size() == 3);
  const int uploads = to.server.count("PUT /v2/app/blobs/");
  REQUIRE(registry::push(store, to.name("v1"), {}));
  CHECK(to.server.count("PUT /v2/app/blobs/") == uploads);
  CHECK(registry::push(store, to.server.host() + "/nothing", {}).error().kind == ErrorKind::not_found);
}

TEST_CASE("blobs another repository of the registry has are taken over there", "[push]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  registry.add_image("latest", {layer("a", "1")});
  std::atomic<int> mounted = 0;
  registry.hook = [&](const support::WebRequest& request) -> std::optional<support::WebAnswer> {
    if (request.path.starts_with("/v2/other/blobs/sha256:")) return support::WebAnswer{.status = 404, .body = "", .headers = {}};
    if (request.path != "/v2/other/blobs/uploads/" || request.query.find("from=app") == std::string::npos) return std::nullopt;
    ++mounted;
    return support::WebAnswer{.status = 201, .body = "", .headers = {{"Location", "/v2/other/blobs/x"}}};
  };
  auto store = fixture::open_store();
  REQUIRE(pull(store, registry.name(), {}));
  REQUIRE(images::ImageStore(store).tag(registry.name(), registry.server.host() + "/other:v1"));
  const auto pushed = registry::push(store, registry.server.host() + "/other:v1", {});
  INFO((pushed ? "" : pushed.error().text()));
  CHECK(mounted == 1);
}

TEST_CASE("a login is kept when the registry takes it, and tags come page by page", "[login]") {
  NEEDS_ROOT();
  fixture::State state;
  state.dir.write("docker/config.json", R"({"credHelpers":{}})");
  fixture::Registry registry;
  registry.hook = [&](const support::WebRequest& request) -> std::optional<support::WebAnswer> {
    const auto given = request.headers.find("authorization");
    if (given == request.headers.end() || given->second != "Basic dTpw")  // u:p
      return support::WebAnswer{.status = 401, .body = "", .headers = {{"WWW-Authenticate", "Basic realm=\"x\""}}};
    if (request.path == "/v2/") return support::WebAnswer{.status = 200, .body = "{}", .headers = {}};
    if (request.path != "/v2/app/tags/list") return std::nullopt;
    const bool second = request.query.find("last=b") != std::string::npos;
    if (second) return support::WebAnswer{.status = 200, .body = R"({"name":"app","tags":["c"]})", .headers = {}};
    return support::WebAnswer{.status = 200, .body = R"({"name":"app","tags":["a","b"]})", .headers = {{"Link", "</v2/app/tags/list?last=b>; rel=\"next\""}}};
  };
  const auto refused = registry::log_in({.server = registry.server.host(), .user = "u", .password = "wrong"});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind == ErrorKind::permission);
  CHECK(registry::remote_tags(registry.server.host() + "/app").error().kind == ErrorKind::permission);
  REQUIRE(registry::log_in({.server = registry.server.host(), .user = "u", .password = "p"}));
  const auto tags = registry::remote_tags(registry.server.host() + "/app");
  INFO((tags ? "" : tags.error().text()));
  REQUIRE(tags);
  CHECK(*tags == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("a plain download keeps its digest and limit", "[fetch]") {
  support::TempDir dir;
  support::WebServer server([](const support::WebRequest& request) {
    if (request.path == "/none") return support::WebAnswer{.status = 404, .body = "", .headers = {}};
    return support::WebAnswer{.status = 200, .body = "hello", .headers = {{"Content-Disposition", "attachment; filename=\"../x.txt\""}, {"Last-Modified", "Thu, 01 Jan 1970 00:01:00 GMT"}}};
  });
  auto file = base::sys::open(dir.path() / "f", O_RDWR | O_CREAT, 0600);
  REQUIRE(file);
  const auto done = registry::fetch_url("http://" + server.host() + "/f", file->borrow(), 100);
  REQUIRE(done);
  CHECK(done->digest == images::sha256_digest("hello"));
  CHECK(done->file_name == "x.txt");
  CHECK(done->last_modified_s == 60);
  CHECK(registry::fetch_url("http://" + server.host() + "/f", file->borrow(), 3).error().kind == ErrorKind::exhausted);
  CHECK(registry::fetch_url("http://" + server.host() + "/none", file->borrow(), 3).error().kind == ErrorKind::not_found);
  CHECK(registry::fetch_url("file:///etc/passwd", file->borrow(), 3).error().kind == ErrorKind::invalid);
}
