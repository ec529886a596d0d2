#include "engine/images/reference.h"

#include <catch2/catch.hpp>

using namespace engine::images;

TEST_CASE("short names are completed the way Docker does", "[images]") {
  const auto full = [](const std::string& text) {
    const auto parsed = parse_reference(text);
    return parsed ? parsed->full() : "error: " + parsed.error().message;
  };
  CHECK(full("nginx") == "docker.io/library/nginx:latest");
  CHECK(full("nginx:1.25") == "docker.io/library/nginx:1.25");
  CHECK(full("user/app") == "docker.io/user/app:latest");
  CHECK(full("index.docker.io/nginx") == "docker.io/library/nginx:latest");
  CHECK(full("localhost/app") == "localhost/app:latest");
  CHECK(full("localhost:5000/app:v1") == "localhost:5000/app:v1");
  CHECK(full("[::1]:5000/app") == "[::1]:5000/app:latest");
  CHECK(full("ghcr.io/a/b_c/d--e.f:t") == "ghcr.io/a/b_c/d--e.f:t");
  const std::string digest = "sha256:" + std::string(64, 'a');
  CHECK(full("nginx:1.25@" + digest) == "docker.io/library/nginx@" + digest);
  CHECK(parse_reference("nginx:1.25@" + digest)->tag == "1.25");
}

TEST_CASE("names are shown the way people write them", "[images]") {
  CHECK(parse_reference("docker.io/library/nginx")->familiar() == "nginx:latest");
  CHECK(parse_reference("docker.io/user/app:1")->familiar() == "user/app:1");
  CHECK(parse_reference("docker.io/library/a/b:1")->familiar() == "library/a/b:1");
  CHECK(parse_reference("docker.io/rocker.io/r")->familiar() == "docker.io/rocker.io/r:latest");
  CHECK(parse_reference("quay.io/x/y")->familiar() == "quay.io/x/y:latest");
}

TEST_CASE("what is no reference is refused before any I/O", "[images]") {
  for (const std::string text :
       {"", "UPPER", "a/UPPER", "nginx:", "nginx:-x", "a//b", "/a", "a/", "../../etc", "a..b", "a___b", "-a", "a-", "nginx@sha256:abc",
        "nginx@sha256:../../etc/passwd", "nginx@md5:d41d8cd98f00b204e9800998ecf8427e", "host:port/a", "a b", "a\nb", "ho_st:1/a", "[::1/a", ":tag"})
    CHECK_FALSE(parse_reference(text));
  CHECK_FALSE(parse_reference(std::string(64, 'a')));
  CHECK_FALSE(parse_reference("a:" + std::string(129, 't')));
  CHECK_FALSE(parse_reference(std::string(300, 'a')));
  CHECK(parse_reference("Foo/bar").has_value());  // an upper-case first part is a host
  CHECK(parse_reference("library/Foo").error().message.find("must be lowercase") != std::string::npos);
}

TEST_CASE("only well-formed digests pass, because they become paths", "[images]") {
  CHECK(is_digest("sha256:" + std::string(64, '0')));
  CHECK(is_digest("sha512:" + std::string(128, 'f')));
  CHECK_FALSE(is_digest("sha256:" + std::string(64, 'F')));
  CHECK_FALSE(is_digest("sha256:" + std::string(63, '0')));
  CHECK_FALSE(is_digest("sha256:../" + std::string(61, '0')));
  CHECK_FALSE(is_digest("sha1:" + std::string(40, '0')));
}
