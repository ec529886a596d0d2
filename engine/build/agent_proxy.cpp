#include "engine/build/agent_proxy.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/sys.h"

namespace engine::build {

base::Result<std::unique_ptr<AgentProxy>> AgentProxy::start(const std::filesystem::path& path, const std::string& agent) {
  TRY(base::sys::connect_unix(agent).with("ssh agent " + agent));
  auto proxy = std::unique_ptr<AgentProxy>(new AgentProxy);
  proxy->agent_ = agent;
  ASSIGN_OR_RETURN(proxy->listener_, base::sys::listen_unix(path));
  ASSIGN_OR_RETURN(const long stop, base::sys::wrap("eventfd", ::eventfd(0, EFD_CLOEXEC)));
  proxy->stop_ = base::UniqueFd(static_cast<int>(stop));
  proxy->thread_ = std::thread([raw = proxy.get()] { raw->serve(); });
  return proxy;
}

AgentProxy::~AgentProxy() {
  if (!thread_.joinable()) return;
  (void)base::sys::write_all(stop_.borrow(), std::string_view("\1\0\0\0\0\0\0\0", 8));
  thread_.join();
}

void AgentProxy::serve() {
  constexpr std::size_t pairs_max = 64;
  std::vector<std::pair<base::UniqueFd, base::UniqueFd>> pairs;  // client, agent
  std::vector<char> buffer(16 * 1024);
  while (true) {
    std::vector<pollfd> wait = {{stop_.number(), POLLIN, 0}, {pairs.size() < pairs_max ? listener_.number() : -1, POLLIN, 0}};
    for (const auto& [client, agent] : pairs) {
      wait.push_back({client.number(), POLLIN, 0});
      wait.push_back({agent.number(), POLLIN, 0});
    }
    if (::poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR) return;
    if (wait[0].revents != 0) return;
    for (std::size_t i = pairs.size(); i-- > 0;) {
      auto& [client, agent] = pairs[i];
      bool open = true;
      for (const bool from_client : {true, false}) {
        if (!open || wait[2 + 2 * i + (from_client ? 0 : 1)].revents == 0) continue;
        const auto got = base::sys::read((from_client ? client : agent).borrow(), buffer);
        open = got && *got > 0 &&
               base::sys::write_all((from_client ? agent : client).borrow(), std::string_view(buffer.data(), *got)).has_value();
      }
      if (!open) pairs.erase(pairs.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (wait[1].revents == 0) continue;
    base::UniqueFd client(::accept4(listener_.number(), nullptr, nullptr, SOCK_CLOEXEC));
    auto agent = base::sys::connect_unix(agent_);
    if (client.valid() && agent) pairs.emplace_back(std::move(client), std::move(*agent));
  }
}

}  // namespace engine::build
