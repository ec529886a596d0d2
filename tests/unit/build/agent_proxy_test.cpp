#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <thread>

#include "base/sys.h"
#include "engine/build/agent_proxy.h"
#include "tests/support/support.h"

using namespace engine::build;

TEST_CASE("an agent is reached through the proxy, by several at once, until the proxy ends", "[build]") {
  support::TempDir dir;
  const auto agent = (dir.path() / "agent").string(), path = (dir.path() / "proxy").string();
  const auto listener = base::sys::listen_unix(agent);
  REQUIRE(listener);
  std::jthread echo([&] {  // two conversations and the look whether somebody is there
    std::vector<base::UniqueFd> open;
    for (int i = 0; i < 3; ++i) {
      open.emplace_back(::accept4(listener->number(), nullptr, nullptr, SOCK_CLOEXEC));
      if (i == 0) continue;
      std::vector<char> buffer(64);
      const auto got = base::sys::read(open.back().borrow(), buffer);
      if (got) (void)base::sys::write_all(open.back().borrow(), "re: " + std::string(buffer.data(), *got));
    }
  });
  {
    const auto proxy = AgentProxy::start(path, agent);
    REQUIRE(proxy);
    std::vector<base::UniqueFd> clients;
    for (const std::string word : {"one", "two"}) {
      auto client = base::sys::connect_unix(path);
      REQUIRE(client);
      REQUIRE(base::sys::write_all(client->borrow(), word));
      std::vector<char> buffer(64);
      const auto got = base::sys::read(client->borrow(), buffer);
      REQUIRE(got);
      CHECK(std::string(buffer.data(), *got) == "re: " + word);
      clients.push_back(std::move(*client));
    }
  }
  CHECK_FALSE(base::sys::connect_unix(path));
}

TEST_CASE("without an agent there is no proxy", "[build]") {
  support::TempDir dir;
  const auto proxy = AgentProxy::start(dir.path() / "proxy", (dir.path() / "nobody").string());
  REQUIRE_FALSE(proxy);
  CHECK(proxy.error().text().find("ssh agent") != std::string::npos);
}
