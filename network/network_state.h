#pragma once
// What Network keeps. Internal to the room.
#include <mutex>

#include "base/unique_fd.h"
#include "network/config.h"
#include "network/host_state.h"
#include "network/network.h"
#include "network/rules.h"

namespace network {

struct Network::State {
  State(HostNetwork& host_, NetworkConfig config_, base::UniqueFd netns_, NfSocket rules, netlink::Socket socket_)
      : host(&host_), config(std::move(config_)), netns(std::move(netns_)), view(std::move(rules)),
        socket(std::move(socket_)) {}

  HostNetwork* host;
  NetworkConfig config;
  base::UniqueFd netns;     ///< the network's namespace; for macvlan and ipvlan the host's
  std::mutex mutex;         ///< guards view and socket
  TableView view;
  netlink::Socket socket;
  int bridge = 0, mtu = 0;  ///< bridge: index in the namespace
  bool bridge_runs = false;  ///< it has carried packets since this program knows it
  std::optional<Uplink> uplink;

  [[nodiscard]] bool bridged() const { return config.driver == "bridge"; }
  [[nodiscard]] std::string bridge_name() const { return config.bridge_name.empty() ? "br0" : config.bridge_name; }
};

}  // namespace network
