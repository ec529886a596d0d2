#include <catch2/catch.hpp>
#include <cstdlib>

#include "engine/api/docker_config.h"
#include "tests/support/support.h"

TEST_CASE("proxies of Docker's configuration are given in upper and lower case, those of other hosts are not", "[api]") {
  support::TempDir dir;
  setenv("DOCKER_CONFIG", dir.path().c_str(), 1);
  CHECK(engine::docker_proxies()->empty());
  dir.write("config.json", R"({"proxies":{"default":{"httpProxy":"http://p:1","noProxy":"corp","allProxy":""},"tcp://far":{"httpProxy":"x"}}})");
  CHECK(*engine::docker_proxies() ==
        std::map<std::string, std::string>{{"HTTP_PROXY", "http://p:1"}, {"http_proxy", "http://p:1"}, {"NO_PROXY", "corp"}, {"no_proxy", "corp"}});
  dir.write("config.json", R"({"proxies":{"default":{"httpsProxy":"http://p:1","allProxy":"socks5://p:2"}}})");
  CHECK(*engine::docker_build_proxies() == std::map<std::string, std::string>{{"HTTPS_PROXY", "http://p:1"}});
  dir.write("config.json", R"({"proxies":{"default":{"httpProxy":"http://p:1","noProxy":"corp"},"unix:///var/run/docker.sock":{"httpProxy":"http://here:1"}}})");
  CHECK(*engine::docker_proxies() == std::map<std::string, std::string>{{"HTTP_PROXY", "http://here:1"}, {"http_proxy", "http://here:1"}});
  dir.write("config.json", R"({"HttpHeaders":{"X-Meta-Team":"a","Authorization":"no","x-meta-b":"c\r\nHost: x","X-Meta-N":1}})");
  CHECK(*engine::docker_registry_headers() == std::vector<std::string>{"X-Meta-Team: a"});
  dir.write("config.json", "[]");
  CHECK(engine::docker_proxies().error().text().ends_with("config.json: not a JSON object"));
  unsetenv("DOCKER_CONFIG");
}
