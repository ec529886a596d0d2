#include <fcntl.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "engine/images/image_store.h"
#include "engine/registry/login.h"
#include "engine/registry/remote.h"
#include "tests/support/support.h"

using namespace engine::registry;

TEST_CASE("a copy names both places by their kind", "[registry]") {
  support::TempDir temp;
  ::setenv("COMPOSE_STATE_DIR", (temp.path() / "state").c_str(), 1);
  const auto failed = copy_image("nginx", "oci:" + (temp.path() / "x").string(), {});
  REQUIRE_FALSE(failed);
  CHECK(failed.error().text().find("'nginx' is neither docker://NAME nor oci:FOLDER[:TAG]") != std::string::npos);
  const auto missing = copy_image("oci:" + (temp.path() / "none").string() + ":1", "oci:" + (temp.path() / "x").string(), {});
  REQUIRE_FALSE(missing);
  CHECK(missing.error().kind == base::ErrorKind::not_found);
}

TEST_CASE("an OCI folder is copied byte for byte, and a wrong digest is refused", "[registry]") {
  support::TempDir temp;
  ::setenv("COMPOSE_STATE_DIR", (temp.path() / "state").c_str(), 1);
  const std::string config = "{}", digest_config = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
  const std::string manifest = R"({"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:)" +
                               digest_config + R"(","size":2},"layers":[]})";
  temp.write("from/oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  temp.write("from/blobs/sha256/" + digest_config, config);
  const auto digest = [&] {
    // The store's own function: a manifest is found by what it hashes to.
    return engine::images::sha256_digest(manifest);
  }();
  temp.write("from/blobs/sha256/" + digest.substr(7), manifest);
  temp.write("from/index.json", R"({"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":")" + digest +
                                    R"(","size":)" + std::to_string(manifest.size()) + R"(,"annotations":{"org.opencontainers.image.ref.name":"v1"}}]})");
  const std::string from = "oci:" + (temp.path() / "from").string(), to = "oci:" + (temp.path() / "to").string();
  const auto copied = copy_image(from + ":v1", to + ":v2", {});
  INFO((copied ? "" : copied.error().text()));
  REQUIRE(copied);
  CHECK(*copied == digest);
  CHECK(*base::sys::read_file(temp.path() / "to/blobs/sha256" / digest.substr(7)) == manifest);
  CHECK(*base::sys::read_file(temp.path() / "to/blobs/sha256" / digest_config) == config);
  CHECK(base::sys::read_file(temp.path() / "to/index.json")->find("\"v2\"") != std::string::npos);
  CHECK_FALSE(copy_image(from + ":v9", to, {}));
  temp.write("from/blobs/sha256/" + digest_config, "[]");
  CHECK_FALSE(copy_image(from + ":v1", "oci:" + (temp.path() / "again").string(), {}));
}

TEST_CASE("logging out leaves the rest of the file alone", "[registry]") {
  support::TempDir temp;
  ::setenv("DOCKER_CONFIG", temp.path().c_str(), 1);
  temp.write("config.json", R"({"auths":{"host:5000":{"auth":"YTpi"},"https://index.docker.io/v1/":{"auth":"YTpi"}},"HttpHeaders":{"a":"b"}})");
  CHECK(*log_out("host:5000"));
  CHECK_FALSE(*log_out("host:5000"));
  CHECK(*log_out("docker.io"));
  const auto text = *base::sys::read_file(temp.path() / "config.json");
  CHECK(text.find("HttpHeaders") != std::string::npos);
  CHECK(text.find("auth\"") == std::string::npos);
  CHECK_FALSE(log_out("no registry"));
  ::unsetenv("DOCKER_CONFIG");
}
