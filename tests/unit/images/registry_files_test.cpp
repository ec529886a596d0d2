// What the machine's configuration says about registries.
#include <catch2/catch.hpp>

#include "engine/registry/changes.h"
#include "engine/registry/client.h"
#include "engine/registry/credentials.h"
#include "engine/registry/manifest.h"
#include "engine/registry/settings.h"
#include "tests/support/support.h"

using namespace engine::registry;
using engine::images::parse_reference;

namespace {
std::string places(const Settings& settings, const std::string& name) {
  const auto all = settings.endpoints(*parse_reference(name));
  if (!all) return "error: " + all.error().message;
  std::string text;
  for (const auto& one : *all)
    text += one.host + " " + one.repository + (one.insecure ? " insecure" : "") + (one.plain_http ? " http" : "") + (one.digest_only ? " digest-only" : "") + "\n";
  return text;
}
}  // namespace

TEST_CASE("Docker Hub is asked at its own host, loopback may be insecure", "[registry]") {
  support::TempDir etc;
  const auto settings = Settings::load(etc.path());
  REQUIRE(settings);
  CHECK(places(*settings, "nginx") == "registry-1.docker.io library/nginx\n");
  CHECK(places(*settings, "127.0.0.1:5000/a/b") == "127.0.0.1:5000 a/b insecure\n");
  CHECK(places(*settings, "localhost/a") == "localhost a insecure\n");
  CHECK(places(*settings, "10.0.0.1:5000/a") == "10.0.0.1:5000 a\n");
}

TEST_CASE("mirrors of daemon.json are for Docker Hub only and come first", "[registry]") {
  support::TempDir etc;
  etc.write("docker/daemon.json", R"({"registry-mirrors":["https://m.example/pre","http://n.example:80"],"insecure-registries":["10.0.0.0/8","old.example"]})");
  const auto settings = Settings::load(etc.path());
  REQUIRE(settings);
  CHECK(places(*settings, "nginx") == "m.example pre/library/nginx\nn.example:80 library/nginx http\nregistry-1.docker.io library/nginx\n");
  CHECK(places(*settings, "quay.io/a") == "quay.io a\n");
  CHECK(places(*settings, "10.1.2.3:5000/a") == "10.1.2.3:5000 a insecure\n");
  CHECK(places(*settings, "old.example/a") == "old.example a insecure\n");
}

TEST_CASE("registries.conf: mirrors, locations, blocked and the longest prefix", "[registry]") {
  support::TempDir etc;
  etc.write("containers/registries.conf", R"(
unqualified-search-registries = [
  "a.example", # comment
  "b.example" ]
[[registry]]
prefix = "quay.io"
location = "inner.example/quay"
[[registry.mirror]]
location = "mirror.example:5000/q"
insecure = true
[[registry.mirror]]
location = 'digests.example'
pull-from-mirror = "digest-only"
[[registry]]
prefix = "quay.io/bad"
blocked = true
[[registry]]
prefix = "*.corp"
insecure = true
[[registry]]
location = "strict.example"
mirror-by-digest-only = true
[[registry.mirror]]
location = "strict-mirror.example"
[[registry]]
location = "tags.example"
[[registry.mirror]]
location = "tag-mirror.example"
pull-from-mirror = "tag-only"
)");
  const auto settings = Settings::load(etc.path());
  REQUIRE(settings);
  CHECK(places(*settings, "quay.io/x/y") == "mirror.example:5000 q/x/y insecure\ndigests.example x/y digest-only\ninner.example quay/x/y\n");
  CHECK(places(*settings, "quay.io/bad/x") == "error: registry quay.io/bad is blocked in registries.conf");
  CHECK(places(*settings, "quay.io/badly") == "mirror.example:5000 q/badly insecure\ndigests.example badly digest-only\ninner.example quay/badly\n");
  CHECK(places(*settings, "r.corp/a") == "r.corp a insecure\n");
  CHECK(places(*settings, "strict.example/a") == "strict-mirror.example a digest-only\nstrict.example a\n");
  CHECK(places(*settings, "tags.example/a") == "tag-mirror.example a\ntags.example a\n");
  CHECK(places(*settings, "tags.example/a@sha256:" + std::string(64, 'a')) == "tags.example a\n");
  CHECK(parse_registries_conf("[[registry]]\nlocation = oops").error().message == "line 2: expected a string or true or false");
  CHECK_FALSE(parse_registries_conf("nonsense"));
}

TEST_CASE("certificates of certs.d are added for their host only", "[registry]") {
  support::TempDir etc;
  etc.write("docker/certs.d/r.example:5000/ca.crt", "PEM-A\n");
  etc.write("containers/certs.d/r.example:5000/client.cert", "C");
  const auto settings = Settings::load(etc.path());
  const auto tls = settings->tls(settings->endpoints(*parse_reference("r.example:5000/a"))->front());
  CHECK(tls.verify);
  CHECK(tls.extra_ca_pem == "PEM-A\n\n");
  CHECK(tls.client_key.ends_with("client.key"));
  CHECK(tls.folder == etc.path() / "docker/certs.d/r.example:5000");
  CHECK(settings->tls(settings->endpoints(*parse_reference("r.example/a"))->front()).extra_ca_pem.empty());
}

TEST_CASE("several challenges in one header are told apart", "[registry]") {
  const auto all = parse_challenges(R"(Basic realm="a, b", BEARER realm="https://t/x",service=s,scope="repository:a:pull,push", Negotiate)");
  REQUIRE(all.size() == 3);
  CHECK(all[0].scheme == "basic");
  CHECK(all[0].parameters.at("realm") == "a, b");
  CHECK(all[1].scheme == "bearer");
  CHECK(all[1].parameters.at("scope") == "repository:a:pull,push");
  CHECK(all[1].parameters.at("service") == "s");
  CHECK(all[2].scheme == "negotiate");
  CHECK(parse_challenges("").empty());
  CHECK(parse_challenges("\"=,,,").empty());
}

TEST_CASE("credentials come from auths, helpers and namespaces", "[registry]") {
  support::TempDir dir;
  dir.write("config.json", R"({"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"},"r.example":{"username":"a","password":"b"},
    "r.example/team/app":{"auth":"dGVhbTpz"},"t.example":{"identitytoken":"tok"}},"credHelpers":{"h.example":"test","gone.example":"missing"},
    "credsStore":"not-installed"})");
  const auto helper = dir.write("bin/docker-credential-test", "#!/bin/sh\nread server\necho \"{\\\"Username\\\":\\\"$1\\\",\\\"Secret\\\":\\\"$server\\\"}\"\n");
  std::filesystem::permissions(helper, std::filesystem::perms::owner_all);
  const std::string path = std::getenv("PATH");
  setenv("DOCKER_CONFIG", dir.path().c_str(), 1);
  setenv("PATH", ((dir.path() / "bin").string() + ":" + path).c_str(), 1);
  CHECK(find_credentials("docker.io", "library/x")->user == "u");
  CHECK(find_credentials("r.example", "x")->password == "b");
  CHECK(find_credentials("r.example", "team/app")->user == "team");
  CHECK(find_credentials("t.example", "x")->identity_token == "tok");
  CHECK(find_credentials("h.example", "x")->user == "get");
  CHECK(find_credentials("h.example", "x")->password == "h.example");
  CHECK(find_credentials("gone.example", "x").error().kind == base::ErrorKind::unavailable);
  CHECK(find_credentials("other.example", "x")->empty());
  setenv("PATH", path.c_str(), 1);
  unsetenv("DOCKER_CONFIG");
}

TEST_CASE("the platform that fits best is chosen and attestations passed over", "[registry]") {
  const auto child = [](const std::string& digit, const std::string& os, const std::string& arch, const std::string& variant) {
    return Descriptor{.media_type = "", .digest = "sha256:" + std::string(64, digit[0]), .os = os, .architecture = arch, .variant = variant};
  };
  Manifest index{.is_index = true, .children = {child("1", "unknown", "unknown", ""), child("2", "linux", "arm", "v6"), child("3", "linux", "arm", "v7"),
                                                child("4", "linux", "arm64", "v8"), child("5", "linux", "amd64", "")}};
  CHECK(choose_platform(index, "linux/arm/v7", "x")->variant == "v7");
  CHECK(choose_platform(index, "linux/arm/v6", "x")->variant == "v6");
  CHECK(choose_platform(index, "linux/arm64", "x")->architecture == "arm64");
  CHECK(choose_platform(index, "linux/amd64", "x")->digest[7] == '5');
  const auto none = choose_platform(index, "linux/s390x", "x");
  CHECK(none.error().message == "no image of x for platform linux/s390x; there are linux/arm/v6, linux/arm/v7, linux/arm64/v8, linux/amd64");
}

TEST_CASE("a manifest from outside is checked before it is used", "[registry]") {
  CHECK(parse_manifest("", "").error().kind == base::ErrorKind::invalid);
  CHECK(parse_manifest(R"({"schemaVersion":1,"fsLayers":[]})", "").error().kind == base::ErrorKind::unsupported);
  CHECK_FALSE(parse_manifest(R"({"config":{"digest":"sha256:../../etc/passwd","size":1},"layers":[]})", ""));
  CHECK_FALSE(parse_manifest(R"({"config":{"digest":"sha256:)" + std::string(64, '0') + R"(","size":-1},"layers":[]})", ""));
  CHECK(parse_manifest(R"({"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:)" + std::string(64, '0') + R"(","size":1},"layers":[]})", "")
            .error().message == "it is not a container image but an artifact of type application/vnd.cncf.helm.config.v1+json");
  CHECK_FALSE(parse_manifest(std::string(100'000, '['), ""));
}

TEST_CASE("changes of import are applied like Dockerfile instructions", "[registry]") {
  engine::images::ImageConfig config;
  REQUIRE(apply_changes({"CMD [\"a\",\"b\"]", "ENTRYPOINT run it", "ENV A=1 B='x y'", "ENV A 2", "EXPOSE 80 53/udp", "LABEL k=v", "USER 1:2", "WORKDIR srv", "VOLUME [\"/d\"]"}, config));
  CHECK(*config.cmd == std::vector<std::string>{"a", "b"});
  CHECK(*config.entrypoint == std::vector<std::string>{"/bin/sh", "-c", "run it"});
  CHECK(config.env == std::vector<std::string>{"A=2", "B=x y"});
  CHECK(config.exposed_ports == std::vector<std::string>{"53/udp", "80/tcp"});
  CHECK(config.working_dir == "/srv");
  CHECK_FALSE(apply_changes({"RUN x"}, config));
  CHECK_FALSE(apply_changes({"CMD"}, config));
}
