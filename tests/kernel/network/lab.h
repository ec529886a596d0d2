#pragma once
// A little internet for tests, inside the calling process's (unshared) namespaces:
//   client 192.0.2.1, 2001:db8::1  ──  eth0 192.0.2.2, 2001:db8::2 "host" = this process's namespace
// The host's default routes go to the client.
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "network/host.h"
#include "network/network.h"
#include "network/netns.h"
#include "tests/support/support.h"

namespace lab {

struct Lab {
  Lab() = default;
  /// Networks that are still pinned below `dir` are let go, so that it can be removed.
  ~Lab();
  Lab(const Lab&) = delete;
  Lab& operator=(const Lab&) = delete;
  base::UniqueFd client;
  support::TempDir dir;
  std::unique_ptr<network::HostNetwork> host;

  /// Builds it. Call inside in_namespaces(CLONE_NEWNET | CLONE_NEWNS).
  static base::Result<std::unique_ptr<Lab>> make();
  [[nodiscard]] std::filesystem::path pin(const std::string& name) const { return dir.path() / name / "netns"; }
};

/// Runs nft commands in the calling process's namespace; what they print.
std::string nft(const std::string& commands);
/// Lists and changes as ip(8) would: for checks from outside our own code.
std::string shell(const std::string& command);

/// A TCP server in `netns` that answers every connection with the client's address as it sees it. Runs until destroyed.
class Server {
 public:
  Server(base::Fd netns, const std::string& address, std::uint16_t port, bool udp = false);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  bool ok = false;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Asks a Server from inside `netns` (none: the process's own); "seen as 192.0.2.1", or "failed: …" within a second.
std::string ask(base::Fd netns, const std::string& address, std::uint16_t port, bool udp = false);

/// The usual network: one subnet 172.30.N.0/24 called "netN".
network::NetworkConfig config(int number);
/// 172.30.N.HOST/24 with the gateway as default route.
network::EndpointConfig endpoint(int number, int host);

}  // namespace lab

/// In a body that returns text: gives up with the error's text.
#define LAB_TRY(expression)                                             \
  do {                                                                  \
    if (auto lab_try_ = (expression); !lab_try_) return "error: " + lab_try_.error().text(); \
  } while (false)
#define LAB_ASSIGN(declaration, expression) LAB_ASSIGN_(BASE_CONCAT(lab_, __COUNTER__), declaration, expression)
#define LAB_ASSIGN_(name, declaration, expression)       \
  auto name = (expression);                              \
  if (!name) return "error: " + name.error().text();     \
  declaration = *std::move(name)
