#pragma once
// The texts of /etc/hosts, /etc/resolv.conf and /etc/hostname. Pure.
// Source: what Docker 28 writes; libnetwork internal/resolvconf, etchosts.
#include <string>
#include <string_view>
#include <vector>

#include "engine/api/types.h"

namespace engine::containers {

struct HostsInput {
  std::string hostname;
  std::vector<Endpoint> endpoints;
  std::string host_gateway, host_gateway_v6;
  std::string host_file;   ///< with network_mode host: the machine's own hosts file, copied first
  bool host_network = false;
};
/// Entries of extra_hosts that want a host-gateway nobody knows are left out.
std::string hosts_text(const ContainerSpec& spec, const HostsInput& input);

struct ResolvInput {
  std::string host_file;   ///< the machine's resolv.conf
  bool dns_server = true;  ///< 127.0.0.11 answers
};
std::string resolv_text(const ContainerSpec& spec, const ResolvInput& input);

}  // namespace engine::containers
