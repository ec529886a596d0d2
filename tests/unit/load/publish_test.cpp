#include "compose/load/publish.h"

#include <catch2/catch.hpp>

#include "compose/load/digest.h"
#include "tests/unit/load/support.h"

using namespace compose::load;

namespace {

PublishedFiles publish(const std::map<std::string, std::string>& files, const std::vector<std::string>& own = {"compose.yaml"}) {
  std::map<std::string, std::string> below;
  for (const auto& [name, text] : files) below.emplace("/p/" + name, text);
  LoadOptions options;
  for (const auto& name : own) options.files.push_back("/p/" + name);
  options.working_dir = "/p";
  options.environment = {{"STAGE", "test"}};
  return published_files(options, *memory_files(below));
}

std::string env_name(const std::string& path) { return hex_sha256(path) + ".env"; }
std::string file_name(const std::string& path) { return hex_sha256(path) + ".yaml"; }

}  // namespace

TEST_CASE("published files stay as written, but for the names of files that go along", "[publish]") {
  const std::string text =
      "# ours\n"
      "services:\n"
      "  a: {image: x, env_file: [ 'a.env', \"${STAGE}.env\" ], labels: {k: \"\xC3\xA9 a.env\"}}  # kept\n"
      "  b:\n"
      "    image: y\n"
      "    env_file:\n"
      "      - path: missing.env\n"
      "        required: false\n"
      "    extends: {file: sub/base.yaml, service: base}\n";
  const auto found = publish({{"compose.yaml", text}, {"a.env", "A=1"}, {"test.env", "B=2"}, {"sub/base.yaml", "services: {base: {env_file: own.env}}\n"}, {"sub/own.env", "C=3"}});
  CHECK(found.load.diagnostics.empty());
  REQUIRE(found.compose_files.size() == 2);
  std::string wanted = text;
  const auto replace = [&](const std::string& old, const std::string& name) { wanted.replace(wanted.find(old), old.size(), name); };
  replace("'a.env'", env_name("/p/a.env"));
  replace("\"${STAGE}.env\"", env_name("/p/test.env"));
  replace("missing.env", env_name("/p/missing.env"));
  replace("sub/base.yaml", file_name("/p/sub/base.yaml"));
  CHECK(found.compose_files[0].text == wanted);
  CHECK(found.compose_files[0].name == "compose.yaml");
  CHECK_FALSE(found.compose_files[0].extended);
  CHECK(found.compose_files[1].name == file_name("/p/sub/base.yaml"));
  CHECK(found.compose_files[1].extended);
  CHECK(found.compose_files[1].text == "services: {base: {env_file: " + env_name("/p/sub/own.env") + "}}\n");
  using Files = std::vector<std::pair<std::string, std::string>>;
  CHECK(found.env_files == Files{{"/p/a.env", env_name("/p/a.env")}, {"/p/test.env", env_name("/p/test.env")}, {"/p/sub/own.env", env_name("/p/sub/own.env")}});
  CHECK(found.services_with_env_files == std::set<std::string>{"a", "b", "base"});
}

TEST_CASE("files that extend each other are published once", "[publish]") {
  const auto found = publish({{"compose.yaml", "services: {a: {extends: {file: b.yaml, service: b}}, c: {extends: {file: ./b.yaml, service: b}}}\n"},
                              {"b.yaml", "services:\n  b:\n    extends:\n      service: d\n      file: sub/d.yaml\n"},
                              {"sub/d.yaml", "services: {d: {image: x, extends: {file: ../b.yaml, service: e}}}\n"}});
  REQUIRE(found.compose_files.size() == 3);
  CHECK(found.compose_files[0].text == "services: {a: {extends: {file: " + file_name("/p/b.yaml") + ", service: b}}, c: {extends: {file: " + file_name("/p/b.yaml") + ", service: b}}}\n");
  CHECK(found.compose_files[1].name == file_name("/p/b.yaml"));
  CHECK(found.compose_files[2].name == file_name("/p/sub/d.yaml"));
  CHECK(found.compose_files[2].text.find(file_name("/p/b.yaml")) != std::string::npos);
}

TEST_CASE("local includes and remote files are told apart, names that cannot be replaced are refused", "[publish]") {
  CHECK(publish({{"compose.yaml", "include: [other.yaml]\n"}}).local_include);
  CHECK(publish({{"compose.yaml", "include: [{path: [oci://r/x, other.yaml]}]\n"}}).local_include);
  CHECK_FALSE(publish({{"compose.yaml", "include: ['oci://r/x']\nservices: {a: {extends: {file: 'oci://r/y', service: a}}}\n"}}).local_include);
  const auto found = publish({{"compose.yaml", "services:\n  a:\n    env_file: |-\n      a.env\n"}});
  CHECK(load_test::errors(found.load) == "3:15 the name of this file cannot be replaced by its name in the artifact\n");
}
