#pragma once
// The network of RUN steps, as Docker's default for builds: outward connections through NAT, nothing published, and no step
// sees the machine's own interfaces. Made when the first step asks for it, gone with the build.
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/build/session.h"

namespace engine::build {

class StepNetwork {
 public:
  explicit StepNetwork(Session& session);
  StepNetwork(const StepNetwork&) = delete;
  StepNetwork& operator=(const StepNetwork&) = delete;
  ~StepNetwork();

  /// A new namespace with an interface in this build's network. disconnect() gives its address back.
  /// Errors: permission, unsupported (no netfilter), exhausted. Blocks a few ms; thread: any.
  Result<base::UniqueFd> connect(const std::string& id);
  void disconnect(const std::string& id);
  /// Under which steps reach this machine (extra_hosts' host-gateway). Valid after the first connect().
  [[nodiscard]] std::string host_gateway() const;

 private:
  Result<> make();
  struct Parts;
  Session& session_;
  mutable std::mutex mutex_;
  std::unique_ptr<Parts> parts_;
};

/// The machine's resolv.conf as a namespace of its own can use it: resolvers on loopback are left out, systemd-resolved's are
/// replaced by those it asks, and Docker's public default takes the place of none. Pure but for `resolved`, the file of
/// systemd-resolved's upstreams.
std::string step_resolv(const std::string& host_text, const std::string& resolved_text);

}  // namespace engine::build
