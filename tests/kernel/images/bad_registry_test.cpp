// Registries that cut, stall, lie and refuse: every rule of what is asked again, what is given up, and what is never believed.
#include <catch2/catch.hpp>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/registry/fetch.h"
#include "engine/registry/http.h"
#include "engine/registry/transfer.h"
#include "tests/kernel/images/registry_fixture.h"

using namespace engine;
using base::ErrorKind;
using fixture::layer;
using registry::pull;
using support::WebAnswer;
using support::WebRequest;
using Answer = std::optional<WebAnswer>;

namespace {

bool is_manifest(const WebRequest& request) { return request.path.find("/manifests/") != std::string::npos; }

std::string descriptor(const std::string& digest, std::size_t size, const std::string& more = "") {
  return R"({"digest":")" + digest + R"(","size":)" + std::to_string(size) + more + "}";
}
std::string index_of(const std::string& children) {
  return R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)" + children + "]}";
}
constexpr const char* here = R"(,"platform":{"os":"linux","architecture":"amd64"})";

/// Nothing of a failed pull is in the store.
void check_nothing_kept(store::Store& store) {
  CHECK(images::ImageStore(store).list()->empty());
  std::error_code ignored;
  CHECK(std::filesystem::is_empty(paths::layers(), ignored));
  CHECK(std::filesystem::is_empty(paths::images() / "blobs" / "sha256", ignored));
}

/// `tries` answers of `request` are `bad`, then all is well.
struct Stumbles {
  std::atomic<int> left;
  std::atomic<int> asked = 0;
  Answer next(WebAnswer bad) {
    ++asked;
    if (left-- <= 0) return std::nullopt;
    return bad;
  }
};

}  // namespace

TEST_CASE("answers that may pass are asked for again, refusals are not", "[bad-registry]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  registry.add_image("latest", {layer("a", "1")});
  auto store = fixture::open_store();
  for (const int status : {408, 429, 500, 502, 503, 504}) {
    INFO(status);
    Stumbles manifest{.left = 2}, blob{.left = 2};
    registry.hook = [&](const WebRequest& request) -> Answer {
      if (request.path == "/v2/") return std::nullopt;
      auto& one = is_manifest(request) ? manifest : blob;
      return one.next({.status = status, .body = "try later", .headers = {{"Retry-After", "0"}}});
    };
    CHECK(pull(store, registry.name(), {}));
    CHECK(images::ImageStore(store).remove(registry.name(), {.force = true}));
    registry.hook = {};
  }
  for (const int status : {400, 401, 403, 404}) {
    INFO(status);
    std::atomic<int> asked = 0;
    registry.hook = [&](const WebRequest& request) -> Answer {
      if (!is_manifest(request)) return std::nullopt;
      ++asked;
      return WebAnswer{.status = status, .body = "no", .headers = {}};
    };
    CHECK_FALSE(pull(store, registry.name(), {}));
    CHECK(asked == 1);
    registry.hook = {};
  }
}

TEST_CASE("Retry-After is waited for, as seconds and as a date", "[bad-registry]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  registry.add_image("latest", {layer("a", "1")});
  auto store = fixture::open_store();
  std::string after = "1";
  SECTION("seconds") {}
  SECTION("a date in the past") { after = "Sun, 06 Nov 1994 08:49:37 GMT"; }
  const auto begin = std::chrono::steady_clock::now();
  Stumbles manifest{.left = 1};
  registry.hook = [&](const WebRequest& request) -> Answer {
    if (!is_manifest(request)) return std::nullopt;
    return manifest.next({.status = 429, .body = "", .headers = {{"Retry-After", after}}});
  };
  CHECK(pull(store, registry.name(), {}));
  const auto took = std::chrono::steady_clock::now() - begin;
  if (after == "1") CHECK(took >= std::chrono::seconds(1));
}

TEST_CASE("patience ends: a registry that only fails is given up", "[bad-registry]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  auto store = fixture::open_store();
  std::atomic<int> asked = 0;
  registry.hook = [&](const WebRequest& request) -> Answer {
    if (request.path == "/v2/") return std::nullopt;
    ++asked;
    return WebAnswer{.status = 503, .body = "", .headers = {{"Retry-After", "0"}}};
  };
  const auto done = pull(store, registry.name(), {});
  CHECK(done.error().kind == ErrorKind::unavailable);
  CHECK(asked == 5);
}

TEST_CASE("a part that was not asked for is not taken for the one that was", "[bad-registry]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  std::string content(1'200'000, ' ');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>('a' + i / 1000 % 26);
  const auto big = layer("big", content);
  registry.add_image("latest", {big});
  const auto digest = images::sha256_digest(big);
  auto store = fixture::open_store();
  REQUIRE(images::prepare_folders());
  REQUIRE(base::sys::write_file(paths::images() / "partial" / images::digest_hex(digest), big.substr(0, 500'000), 0600));
  const auto part = [&](std::size_t from) {
    return WebAnswer{.status = 206, .body = big.substr(from),
                     .headers = {{"Content-Range", "bytes " + std::to_string(from) + "-" + std::to_string(big.size() - 1) + "/" + std::to_string(big.size())}}};
  };
  std::function<Answer(bool ranged)> behave;
  SECTION("an earlier part: what is known of it is passed by") {
    behave = [&](bool ranged) -> Answer { return ranged ? Answer(part(400'000)) : std::nullopt; };
  }
  SECTION("a later part: the whole is fetched instead") {
    behave = [&](bool ranged) -> Answer { return ranged ? Answer(part(600'000)) : std::nullopt; };
  }
  SECTION("no such part (416): the whole is fetched instead") {
    behave = [](bool ranged) -> Answer { return ranged ? Answer(WebAnswer{.status = 416, .body = "", .headers = {}}) : std::nullopt; };
  }
  registry.hook = [&](const WebRequest& request) -> Answer {
    if (!request.path.ends_with(digest) || request.method != "GET") return std::nullopt;
    return behave(request.headers.contains("range"));
  };
  const auto done = pull(store, registry.name(), {});
  INFO((done ? "" : done.error().text()));
  REQUIRE(done);
  CHECK(*base::sys::read_file(images::ImageStore(store).resolve(registry.name())->layer_dirs.at(0) / "big") == content);
}

TEST_CASE("sizes that are not what they were said to be are refused", "[bad-registry]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  const auto bytes = layer("a", "1");
  const auto good = registry.add_image("good", {bytes});
  const std::string text = registry.manifests[good];
  auto store = fixture::open_store();
  const auto replace = [&](const std::string& what, const std::string& with) {
    auto changed = text;
    const auto at = changed.find(what);
    REQUIRE(at != std::string::npos);
    changed.replace(at, what.size(), with);
    registry.add_manifest("latest", changed);
  };
  const std::string size = "\"size\":" + std::to_string(bytes.size());
  SECTION("a layer that is longer") { replace(size, "\"size\":" + std::to_string(bytes.size() - 512)); }
  SECTION("a layer that is shorter") { replace(size, "\"size\":" + std::to_string(bytes.size() + 512)); }
  SECTION("a layer of a negative size") { replace(size, "\"size\":-1"); }
  SECTION("a layer too large to be one") { replace(size, "\"size\":9000000000000000000"); }
  SECTION("a layer without a size") { replace("," + size, ""); }
  SECTION("a config of another size") {
    const auto at = text.find("\"size\":") + 7;
    replace(text.substr(at - 7, text.find('}', at) - at + 7), "\"size\":3");
  }
  SECTION("an image manifest of another size than its index says") {
    registry.add_manifest("latest", index_of(descriptor(good, text.size() + 1, here)));
  }
  const auto done = pull(store, registry.name(), {.platform = "linux/amd64"});
  REQUIRE_FALSE(done);
  CHECK(done.error().kind == ErrorKind::invalid);
  check_nothing_kept(store);
}

TEST_CASE("a body that ends early is not a manifest", "[bad-registry]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  registry.add_image("latest", {layer("a", "1")});
  auto store = fixture::open_store();
  Stumbles manifest{.left = 2};
  registry.hook = [&](const WebRequest& request) -> Answer {
    if (!request.path.ends_with("/manifests/latest") || request.method != "GET") return std::nullopt;
    return manifest.next({.status = 200, .body = registry.manifests["latest"], .headers = {}, .cut_after = 40});
  };
  CHECK(pull(store, registry.name(), {}));
}

TEST_CASE("a body that stops coming is asked for again from where it stopped", "[bad-registry]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  const auto big = layer("big", std::string(600'000, 'x'));
  registry.add_image("latest", {big});
  auto store = fixture::open_store();
  std::atomic<int> stalled = 0;
  std::string again;
  registry.hook = [&](const WebRequest& request) -> Answer {
    if (!request.path.ends_with(images::sha256_digest(big)) || request.method != "GET") return std::nullopt;
    if (stalled++ == 0) return WebAnswer{.status = 200, .body = big, .headers = {}, .cut_after = 300'000, .stall = true};
    again = request.headers.contains("range") ? request.headers.at("range") : "";
    return std::nullopt;
  };
  registry::set_stall_limit(std::chrono::seconds(1));
  const auto done = pull(store, registry.name(), {});
  registry::set_stall_limit(std::chrono::seconds(30));
  INFO((done ? "" : done.error().text()));
  REQUIRE(done);
  CHECK(stalled == 2);
  CHECK(again == "bytes=300000-");
}

TEST_CASE("hostile manifests are refused", "[bad-registry]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  const auto good = registry.add_image("good", {layer("a", "1")});
  const auto size = registry.manifests[good].size();
  auto store = fixture::open_store();
  SECTION("larger than any manifest") { registry.add_manifest("latest", "{\"schemaVersion\":2,\"x\":\"" + std::string(5u << 20, 'x') + "\"}"); }
  SECTION("not JSON") { registry.add_manifest("latest", "<html>welcome to the hotel's network</html>"); }
  SECTION("nothing") { registry.add_manifest("latest", ""); }
  SECTION("nested beyond measure") { registry.add_manifest("latest", std::string(100'000, '[') + std::string(100'000, ']')); }
  SECTION("a digest that is a path") { registry.add_manifest("latest", index_of(descriptor("sha256:../../../../etc/passwd", 10, here))); }
  SECTION("a chain of indexes without an end") {
    auto digest = good;
    std::size_t bytes = size;
    for (int i = 0; i < 8; ++i) {
      const auto text = index_of(descriptor(digest, bytes, R"(,"mediaType":"application/vnd.oci.image.index.v1+json")"));
      bytes = text.size();
      digest = registry.add_manifest("latest", text);
    }
  }
  SECTION("an artifact") {
    registry.add_manifest("latest", R"({"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":")" + good + R"(","size":2},"layers":[]})");
  }
  SECTION("schema 1") { registry.add_manifest("latest", R"({"schemaVersion":1,"fsLayers":[]})"); }
  SECTION("more layers than the config knows") {
    auto text = registry.manifests[good];
    const auto at = text.rfind("]}");
    registry.add_manifest("latest", text.substr(0, at) + "," + descriptor(good, size) + text.substr(at));
  }
  const auto done = pull(store, registry.name(), {.platform = "linux/amd64"});
  REQUIRE_FALSE(done);
  INFO(done.error().text());
  CHECK((done.error().kind == ErrorKind::invalid || done.error().kind == ErrorKind::unsupported));
  check_nothing_kept(store);
}

TEST_CASE("an index within an index is followed", "[bad-registry]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  const auto good = registry.add_image("good", {layer("a", "1")});
  const auto inner = index_of(descriptor(good, registry.manifests[good].size(), here));
  const auto digest = registry.add_manifest("inner", inner);
  const std::string nested = R"(,"mediaType":"application/vnd.oci.image.index.v1+json")";
  registry.add_manifest("latest", index_of(descriptor(good, registry.manifests[good].size(), R"(,"platform":{"os":"windows","architecture":"amd64"})") + "," +
                                           descriptor(digest, inner.size(), nested)));
  auto store = fixture::open_store();
  const auto done = pull(store, registry.name(), {.platform = "linux/amd64"});
  INFO((done ? "" : done.error().text()));
  CHECK(done);
}

TEST_CASE("redirects without an end, and out of http, are refused", "[bad-registry]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  const auto bytes = layer("a", "1");
  registry.add_image("latest", {bytes});
  const auto secret = state.dir.write("secret", bytes);
  std::string location;
  SECTION("in a circle") { location = "SELF"; }
  SECTION("to a file of this machine") { location = "file://" + secret.string(); }
  SECTION("to another protocol") { location = "gopher://127.0.0.1:1/"; }
  registry.hook = [&](const WebRequest& request) -> Answer {
    if (!request.path.ends_with(images::sha256_digest(bytes)) && request.path.find("/loop") == std::string::npos) return std::nullopt;
    return WebAnswer{.status = 307, .body = "", .headers = {{"Location", location == "SELF" ? "http://" + registry.server.host() + "/loop" : location}}};
  };
  auto store = fixture::open_store();
  REQUIRE_FALSE(pull(store, registry.name(), {}));
  CHECK(registry.server.count("GET /loop") <= 10);
  check_nothing_kept(store);
}

TEST_CASE("a token is asked for again when it dies in mid-pull, and a refused one only once", "[bad-registry]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  registry.add_image("latest", {layer("a", "1")});
  std::atomic<int> issued = 0;
  registry.hook = [&](const WebRequest& request) -> Answer {
    if (request.path == "/v2/") return std::nullopt;
    if (request.path == "/token") return WebAnswer{.status = 200, .body = R"({"token":"t)" + std::to_string(++issued) + R"("})", .headers = {}};
    return WebAnswer{.status = 401, .body = "", .headers = {{"WWW-Authenticate", R"(Bearer realm="http://)" + registry.server.host() + R"(/token",service="a,b")"}}};
  };
  auto store = fixture::open_store();
  const auto done = pull(store, registry.name(), {});
  CHECK(done.error().kind == ErrorKind::permission);
  CHECK(issued == 1);
}

TEST_CASE("a token is asked for with the scope of the challenge too, and X-Meta headers go to the registry alone", "[bad-registry]") {
  NEEDS_ROOT();
  fixture::State state;
  state.dir.write("docker/config.json", R"({"HttpHeaders":{"X-Meta-Team":"blue"}})");
  fixture::Registry registry;
  registry.add_image("latest", {layer("a", "1")});
  std::string asked;
  bool marked = true, leaked = false;
  registry.hook = [&](const WebRequest& request) -> Answer {
    if (request.path == "/token") {
      asked = request.query;
      leaked = request.headers.contains("x-meta-team");
      return WebAnswer{.status = 200, .body = R"({"access_token":"t"})", .headers = {}};
    }
    if (request.path == "/v2/") return std::nullopt;
    marked = marked && request.headers.contains("x-meta-team") && request.headers.at("x-meta-team") == "blue";
    if (request.headers.contains("authorization")) return std::nullopt;
    return WebAnswer{.status = 401, .body = "", .headers = {{"WWW-Authenticate", "Bearer realm=\"http://" + registry.server.host() + "/token\",scope=\"repository:real/app:pull\""}}};
  };
  auto store = fixture::open_store();
  const auto done = pull(store, registry.name(), {});
  INFO((done ? "" : done.error().text()));
  CHECK(done);
  CHECK(asked.find("&scope=repository%3Aapp%3Apull&scope=repository%3Areal%2Fapp%3Apull") != std::string::npos);
  CHECK(marked);
  CHECK_FALSE(leaked);
}

TEST_CASE("a tag is known without a HEAD the registry does not know", "[bad-registry]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  registry.add_image("latest", {layer("a", "1")});
  auto store = fixture::open_store();
  REQUIRE(pull(store, registry.name(), {}));
  registry.hook = [&](const WebRequest& request) -> Answer {
    if (!is_manifest(request) || request.method != "HEAD") return std::nullopt;
    return WebAnswer{.status = 405, .body = "", .headers = {}};
  };
  const auto again = pull(store, registry.name(), {});
  REQUIRE(again);
  CHECK(registry.server.count("GET /v2/app/manifests/latest") == 2);
}

TEST_CASE("proxies are those of the environment, and never in front of this machine", "[bad-registry]") {
  fixture::State state;
  std::atomic<int> proxied = 0;
  support::WebServer proxy([&](const WebRequest& request) {
    ++proxied;
    return WebAnswer{.status = 200, .body = "through the proxy to " + request.path, .headers = {}};
  });
  support::WebServer direct([](const WebRequest&) { return WebAnswer{.status = 200, .body = "direct", .headers = {}}; });
  setenv("http_proxy", ("http://" + proxy.host()).c_str(), 1);
  const auto fetched = [&](const std::string& url) {
    const auto out = base::sys::open(state.dir.path() / "out", O_RDWR | O_CREAT | O_TRUNC, 0600);
    const auto done = registry::fetch_url(url, out->borrow(), 1000);
    return done ? *base::sys::read_file(state.dir.path() / "out") : done.error().text();
  };
  CHECK(fetched("http://far.example/x") == "through the proxy to http://far.example/x");
  CHECK(fetched("http://" + direct.host() + "/x") == "direct");
  setenv("NO_PROXY", "10.0.0.0/8,.corp.example", 1);
  CHECK(fetched("http://far.example/y") == "through the proxy to http://far.example/y");
  CHECK(proxied == 2);
  unsetenv("NO_PROXY");
  unsetenv("http_proxy");
}
