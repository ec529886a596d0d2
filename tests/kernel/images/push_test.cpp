// Uploads as registries want them: in one piece, in several, and after a failure from where the registry had got to.
#include <catch2/catch.hpp>

#include "base/sys.h"
#include "engine/registry/transfer.h"
#include "tests/kernel/images/registry_fixture.h"

using namespace engine;
using fixture::layer;
using support::WebAnswer;
using support::WebRequest;
using Answer = std::optional<WebAnswer>;

namespace {

/// A registry of upload sessions: what arrived of each, and what it was asked.
struct Sessions {
  std::string blob;                ///< the layer under test
  std::string held;                ///< of the session that is open
  std::vector<std::string> asked;  ///< "PATCH 0-99", "PUT 100", "GET"
  std::map<std::string, std::string>* blobs = nullptr;

  WebAnswer opened(const std::string& more = "") {
    held.clear();
    WebAnswer answer{.status = 202, .body = "", .headers = {{"Location", "/v2/app/blobs/uploads/one?state=a%2Fb"}}};
    if (!more.empty()) answer.headers["OCI-Chunk-Min-Length"] = more;
    return answer;
  }
  WebAnswer reached(int status) {
    return {.status = status, .body = "", .headers = {{"Location", "/v2/app/blobs/uploads/one?state=a%2Fb"}, {"Range", "0-" + std::to_string(held.empty() ? 0 : held.size() - 1)}}};
  }
  WebAnswer patch(const WebRequest& request) {
    asked.push_back("PATCH " + request.headers.at("content-range"));
    if (request.headers.at("content-range").substr(0, request.headers.at("content-range").find('-')) != std::to_string(held.size())) return reached(416);
    held += request.body;
    return reached(202);
  }
  WebAnswer put(const WebRequest& request) {
    asked.push_back("PUT " + std::to_string(request.body.size()));
    held += request.body;
    const auto digest = images::sha256_digest(held);
    if (request.query.find("state=a%2Fb&digest=sha256%3A" + digest.substr(7)) == std::string::npos) return {.status = 400, .body = "", .headers = {}};
    (*blobs)[digest] = held;
    return {.status = 201, .body = "", .headers = {}};
  }
};

struct World {
  fixture::State state;
  fixture::Registry from, to;
  store::Store store = fixture::open_store();
  Sessions sessions;
  std::string content;
  World() {
    for (int i = 0; content.size() < 900'000; ++i) content += std::to_string(i * 7919) + "\n";
    sessions.blob = layer("big", content);
    sessions.blobs = &to.blobs;
    from.add_image("latest", {sessions.blob});
    REQUIRE(registry::pull(store, from.name(), {}));
    REQUIRE(images::ImageStore(store).tag(from.name(), to.name("v1")));
  }
  /// Pushes, with `behave` for the uploads of the one layer: the config's go the usual way, as it is smaller than 10 kB.
  void push(const std::function<Answer(const WebRequest&)>& behave) {
    to.hook = [this, behave, begun = 0](const WebRequest& request) mutable -> Answer {
      if (request.path.find("/blobs/uploads/") == std::string::npos) return std::nullopt;
      if (request.method == "POST" && begun++ > 0 && to.blobs.contains(images::sha256_digest(sessions.blob))) return std::nullopt;
      if (request.path.ends_with("session")) return std::nullopt;
      return behave(request);
    };
    const auto done = registry::push(store, to.name("v1"), {});
    INFO((done ? "" : done.error().text()));
    CHECK(done);
    CHECK(to.blobs[images::sha256_digest(sessions.blob)] == sessions.blob);
    CHECK(to.manifests.at("v1") == from.manifests.at("latest"));
  }
};

}  // namespace

TEST_CASE("a blob that the registry refuses in one piece goes in pieces it takes", "[push]") {
  NEEDS_ROOT();
  World world;
  auto& sessions = world.sessions;
  world.push([&](const WebRequest& request) -> Answer {
    if (request.method == "POST") return sessions.opened("300000");
    if (request.method == "PATCH" && request.body.size() > 500'000) return WebAnswer{.status = 413, .body = "", .headers = {}};
    if (request.method == "PATCH") return sessions.patch(request);
    if (request.body.size() > 1000) {
      sessions.asked.emplace_back("refused");
      return WebAnswer{.status = 413, .body = "", .headers = {}};
    }
    return sessions.put(request);
  });
  const auto size = sessions.blob.size();
  CHECK(sessions.asked == std::vector<std::string>{"refused", "PATCH 0-299999", "PATCH 300000-599999", "PATCH 600000-899999",
                                                   "PATCH 900000-" + std::to_string(size - 1), "PUT 0"});
}

TEST_CASE("a broken upload goes on where the registry had got to", "[push]") {
  NEEDS_ROOT();
  World world;
  auto& sessions = world.sessions;
  int puts = 0;
  world.push([&](const WebRequest& request) -> Answer {
    if (request.method == "POST") return sessions.opened();
    if (request.method == "GET") return sessions.asked.emplace_back("GET"), sessions.reached(204);
    if (request.method == "PATCH") return sessions.patch(request);
    if (puts++ > 0) return sessions.put(request);
    sessions.held = request.body.substr(0, 400'000);
    return WebAnswer{.status = 503, .body = "", .headers = {{"Retry-After", "0"}}};
  });
  CHECK(sessions.asked == std::vector<std::string>{"GET", "PATCH 400000-" + std::to_string(sessions.blob.size() - 1), "PUT 0"});
}

TEST_CASE("a registry that takes a part of a piece is sent the rest", "[push]") {
  NEEDS_ROOT();
  World world;
  auto& sessions = world.sessions;
  bool first = true;
  world.push([&](const WebRequest& request) -> Answer {
    if (request.method == "POST") return sessions.opened();
    if (request.method == "PATCH") {
      sessions.asked.push_back("PATCH " + request.headers.at("content-range"));
      sessions.held += std::exchange(first, false) ? request.body.substr(0, 1000) : request.body;
      return sessions.reached(202);
    }
    if (!request.body.empty()) return WebAnswer{.status = 405, .body = "", .headers = {}};
    return sessions.put(request);
  });
  const auto last = std::to_string(sessions.blob.size() - 1);
  CHECK(sessions.asked == std::vector<std::string>{"PATCH 0-" + last, "PATCH 1000-" + last, "PUT 0"});
}

TEST_CASE("an upload whose answer was lost is not sent again", "[push]") {
  NEEDS_ROOT();
  World world;
  auto& sessions = world.sessions;
  world.push([&](const WebRequest& request) -> Answer {
    if (request.method == "POST") return sessions.opened();
    if (request.method == "GET") return WebAnswer{.status = 404, .body = "", .headers = {}};
    (void)sessions.put(request);
    return WebAnswer{.status = 502, .body = "", .headers = {{"Retry-After", "0"}}};
  });
  CHECK(sessions.asked == std::vector<std::string>{"PUT " + std::to_string(sessions.blob.size())});
}

TEST_CASE("an upload that is moved follows, and one that never ends is given up", "[push]") {
  NEEDS_ROOT();
  World world;
  auto& sessions = world.sessions;
  SECTION("moved once") {
    world.push([&](const WebRequest& request) -> Answer {
      if (request.method == "POST") return sessions.opened();
      if (request.path.ends_with("/one")) return WebAnswer{.status = 307, .body = "", .headers = {{"Location", "http://" + world.to.server.host() + "/elsewhere/blobs/uploads/two?state=a%2Fb"}}};
      return sessions.put(request);
    });
    CHECK(sessions.asked.size() == 1);
  }
  SECTION("in a circle") {
    int moves = 0;
    world.to.hook = [&](const WebRequest& request) -> Answer {
      if (request.method == "POST") return sessions.opened();
      if (request.method != "PUT") return std::nullopt;
      ++moves;
      return WebAnswer{.status = 307, .body = "", .headers = {{"Location", "/v2/app/blobs/uploads/one"}}};
    };
    CHECK_FALSE(registry::push(world.store, world.to.name("v1"), {}));
    CHECK(moves <= 10);
  }
}
