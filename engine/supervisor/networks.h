#pragma once
// The network side of the backend: networks in the store and in the kernel, addresses, names, ports. Blocking; any thread.
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/api/types.h"
#include "engine/store/store.h"
#include "network/dns.h"
#include "network/host.h"
#include "network/network.h"
#include "network/publish.h"

namespace engine::supervisor {

using base::Result;

/// What a container's network came to.
struct Attached {
  base::UniqueFd netns;             ///< none: the host's
  std::vector<Endpoint> endpoints;
  std::vector<PortBinding> ports;
  std::string host_gateway;
  bool dns = false;                 ///< 127.0.0.11 answers in the namespace
};

class Networks {
 public:
  static Result<std::unique_ptr<Networks>> open(boost::asio::io_context& io, std::string project);

  Result<> create(store::Store& store, const NetworkSpec& spec);
  Result<> remove(store::Store& store, const std::string& name);

  /// Namespace, addresses, interfaces, names and ports of a start. On failure the caller calls release().
  Result<Attached> attach(store::Store& store, const store::ContainerRecord& record, const ContainerSpec& spec);
  /// Joins the namespace of another container's process: nothing is made.
  static Result<Attached> join(pid_t pid);
  /// Names and ports of a container that runs already.
  Result<> adopt(store::Store& store, const store::ContainerRecord& record, const ContainerSpec& spec);
  Result<> release(store::Store& store, const store::ContainerRecord& record, const ContainerSpec& spec);
  /// Takes the interfaces of several containers away, a network at a time. Best effort: release() tells what fails.
  void cut_links(store::Store& store, const std::vector<std::pair<store::ContainerRecord, ContainerSpec>>& containers);
  /// For a running container, whose endpoints are in the record. Return the endpoints afterwards.
  Result<std::vector<Endpoint>> connect(store::Store& store, const store::ContainerRecord& record, const ContainerSpec& spec,
                                        const NetworkAttachment& attachment);
  Result<std::vector<Endpoint>> disconnect(store::Store& store, const store::ContainerRecord& record, const ContainerSpec& spec,
                                           const std::string& network);
  /// The address host-gateway stands for.
  Result<std::string> host_gateway(store::Store& store, const ContainerSpec& spec);
  /// Nothing of the project is left: takes back what only it needed on the host.
  Result<> close(store::Store& store);

 private:
  struct Slot {
    std::mutex busy;                ///< while it is opened or made
    std::shared_ptr<network::Network> network;
  };
  Networks(boost::asio::io_context& io, std::string project) : io_(io), project_(std::move(project)) {}
  Result<std::shared_ptr<network::Network>> network(store::Store& store, const std::string& name);
  Result<Endpoint> attach_one(store::Store& store, const std::string& id, base::Fd netns, const NetworkAttachment& attachment,
                              bool default_route);
  Result<std::vector<PortBinding>> publish(store::Store& store, const std::string& id, const ContainerSpec& spec,
                                           const std::vector<Endpoint>& endpoints, const std::vector<PortBinding>& before);
  /// Publishes names of the networks anew: those of the project from memory, of other projects from the store.
  Result<> refresh(store::Store& store, const std::vector<std::string>& networks);
  std::shared_ptr<network::DnsZone> zone(const std::string& network);
  Result<> serve_names(store::Store& store, const std::string& id, base::Fd netns, const ContainerSpec& spec,
                       const std::vector<Endpoint>& endpoints);
  void remember(const store::ContainerRecord& record, const ContainerSpec& spec, const std::vector<Endpoint>& endpoints);
  void forget(const std::string& id);
  void watch_others();
  void touch(const std::string& network) const;
  std::string gateway_network(store::Store& store, const std::vector<NetworkAttachment>& attachments);

  boost::asio::io_context& io_;
  std::string project_;
  std::unique_ptr<network::HostNetwork> host_;
  std::unique_ptr<network::PortPublisher> ports_;
  std::unique_ptr<network::DnsServer> dns_;
  std::mutex lock_;                 ///< the maps below
  std::map<std::string, std::shared_ptr<Slot>> networks_;
  std::map<std::string, std::shared_ptr<network::DnsZone>> zones_;
  std::map<std::string, std::map<std::string, network::DnsHost>> names_;  ///< network → container id → names
  std::mutex refresh_lock_;         ///< a zone is updated in the order in which it was read

  struct Watch;
  std::shared_ptr<Watch> watch_;
};

}  // namespace engine::supervisor
