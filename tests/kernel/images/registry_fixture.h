#pragma once
// A registry in the test's own process, and a store in a folder of its own.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "engine/images/image_store.h"
#include "tests/support/http_server.h"
#include "tests/support/support.h"
#include "tests/support/tar_builder.h"

#define NEEDS_ROOT() \
  if (geteuid() != 0) SKIP_TEST("needs root: layers hold any owner")

namespace fixture {

/// Points the engine at a state folder of this test alone.
struct State {
  support::TempDir dir;
  State() {
    setenv("COMPOSE_STATE_DIR", (dir.path() / "state").c_str(), 1);
    setenv("COMPOSE_RUN_DIR", (dir.path() / "run").c_str(), 1);
    setenv("DOCKER_CONFIG", (dir.path() / "docker").c_str(), 1);
    setenv("CONTAINERS_REGISTRIES_CONF", (dir.path() / "none").c_str(), 1);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  /// `compose-image settle` may still be at work in the folder that is about to go: it is a child of ours.
  ~State() {
    while (waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
    }
  }
};

inline engine::store::Store open_store() {
  auto store = engine::store::Store::open();
  REQUIRE(store);
  return *std::move(store);
}

/// Blobs and manifests by digest and tag; a hook may answer first.
class Registry {
 public:
  Registry() : server([this](const support::WebRequest& request) { return answer(request); }) {}

  std::string add_blob(const std::string& bytes) {
    const auto digest = engine::images::sha256_digest(bytes);
    const std::lock_guard guard(mutex);
    blobs[digest] = bytes;
    return digest;
  }
  /// An image of plain tar layers under a tag; returns its manifest digest.
  std::string add_image(const std::string& tag, const std::vector<std::string>& layers, const std::string& config_extra = "") {
    std::string diffs, list;
    for (const auto& layer : layers) {
      const auto digest = add_blob(layer);
      diffs += (diffs.empty() ? "" : ",") + ("\"" + digest + "\"");
      list += (list.empty() ? "" : ",") + (R"({"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":")" + digest + R"(","size":)" + std::to_string(layer.size()) + "}");
    }
    const auto config = R"({"architecture":"amd64","os":"linux","config":{"Cmd":["run"]},)" + config_extra + R"("rootfs":{"type":"layers","diff_ids":[)" + diffs + "]}}";
    const auto config_digest = add_blob(config);
    return add_manifest(tag, R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":")" +
                                 config_digest + R"(","size":)" + std::to_string(config.size()) + R"(},"layers":[)" + list + "]}");
  }
  std::string add_manifest(const std::string& tag, const std::string& bytes) {
    const auto digest = engine::images::sha256_digest(bytes);
    const std::lock_guard guard(mutex);
    manifests[tag] = manifests[digest] = bytes;
    return digest;
  }

  std::function<std::optional<support::WebAnswer>(const support::WebRequest&)> hook;
  std::mutex mutex;
  std::map<std::string, std::string> blobs, manifests;
  std::string repository = "app";
  support::WebServer server;

  [[nodiscard]] std::string name(const std::string& tag = "latest") const { return server.host() + "/" + repository + ":" + tag; }

 private:
  support::WebAnswer answer(const support::WebRequest& request) {
    if (hook)
      if (auto special = hook(request)) return *std::move(special);
    const std::lock_guard guard(mutex);
    if (request.path == "/v2/") return {};
    const auto slash = request.path.rfind('/');
    const auto last = request.path.substr(slash + 1);
    const bool manifest = request.path.find("/manifests/") != std::string::npos;
    if (manifest && request.method == "PUT") {
      manifests[last] = request.body;
      manifests[engine::images::sha256_digest(request.body)] = request.body;
      return {.status = 201, .body = "", .headers = {}};
    }
    if (request.path.find("/blobs/uploads/") != std::string::npos) {
      if (request.method == "POST") return {.status = 202, .body = "", .headers = {{"Location", request.path + "session?state=1"}}};
      const auto digest = engine::images::sha256_digest(request.body);
      blobs[digest] = request.body;
      return {.status = 201, .body = "", .headers = {}};
    }
    const auto& table = manifest ? manifests : blobs;
    const auto found = table.find(last);
    if (found == table.end()) return {.status = 404, .body = R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})", .headers = {}};
    support::WebAnswer result{.status = 200, .body = found->second, .headers = {}};
    if (manifest) result.headers = {{"Docker-Content-Digest", engine::images::sha256_digest(found->second)}, {"Content-Type", "application/vnd.oci.image.manifest.v1+json"}};
    if (const auto range = request.headers.find("range"); range != request.headers.end()) {
      const auto from = std::stoul(range->second.substr(6));
      result.status = 206;
      result.body = result.body.substr(from);
    }
    if (request.method == "HEAD") result.headers["Content-Length"] = std::to_string(result.body.size()), result.body.clear();
    return result;
  }
};

inline std::string layer(const std::string& name, const std::string& content) {
  return support::tar_archive({{.name = name, .content = content}});
}

}  // namespace fixture
