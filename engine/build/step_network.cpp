#include "engine/build/step_network.h"

#include <set>

#include "base/log.h"
#include "base/sys.h"
#include "engine/build/words.h"
#include "network/allocate.h"
#include "network/host.h"
#include "network/netns.h"
#include "network/network.h"

namespace engine::build {
namespace {

constexpr int attempts_max = 16;
/// Networks of projects take uplinks from the low end: builds, which are short, keep to the upper half.
constexpr const char* project_uplinks = "169.254.0.0/17";

network::Pools pools() {
  network::Pools pools;
  if (auto id = base::sys::read_file("/etc/machine-id", 4096)) pools.machine_id = *id;
  return pools;
}

bool is_loopback(std::string_view server) { return server.starts_with("127.") || server == "::1"; }

}  // namespace

struct StepNetwork::Parts {
  std::unique_ptr<network::HostNetwork> host;
  network::NetworkConfig config;
  std::filesystem::path pin;
  std::optional<network::Network> net;
  std::map<std::string, std::string> leases;  ///< id → address
};

StepNetwork::StepNetwork(Session& session) : session_(session) {}

StepNetwork::~StepNetwork() {
  if (!parts_) return;
  parts_->net.reset();
  // The pin lived in the mount namespace of the thread that made it and is gone with it: the links count.
  const auto removed = network::Network::remove(*parts_->host, parts_->config, parts_->pin);
  if (!removed) base::log::debug("build", "removing the build's network: " + removed.error().text());
}

Result<> StepNetwork::make() {
  auto parts = std::make_unique<Parts>();
  ASSIGN_OR_RETURN(parts->host, network::HostNetwork::open(pools()));
  ASSIGN_OR_RETURN(const auto folder, session_.new_private_folder());
  parts->pin = folder / "netns";
  network::InUse in_use;
  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    ASSIGN_OR_RETURN(in_use.routes, network::HostNetwork::routes());
    in_use.routes.emplace_back(project_uplinks);
    network::NetworkRequest request;
    request.name = "build";
    ASSIGN_OR_RETURN(parts->config, network::decide(request, in_use, pools()));
    auto made = network::Network::create(*parts->host, parts->config, parts->pin);
    if (made) {
      parts->net = std::move(*made);
      parts_ = std::move(parts);
      return {};
    }
    if (made.error().kind != base::ErrorKind::exists) return std::move(made).error();
    auto taken = parts->config;  // another build was faster: its uplink is out
    taken.subnets.clear();
    in_use.networks.push_back(std::move(taken));
  }
  return base::make_error(base::ErrorKind::exhausted, "no address is free for the network of RUN steps");
}

Result<base::UniqueFd> StepNetwork::connect(const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (!parts_) {
    const std::string what = "the network of RUN steps (build.network: host does without)";
    TRY(make().with(what));
  }
  ASSIGN_OR_RETURN(base::UniqueFd netns, network::make_netns());
  std::set<std::string> leased;
  for (const auto& [other, address] : parts_->leases) leased.insert(address);
  const auto& subnet = parts_->config.subnets.front();
  ASSIGN_OR_RETURN(const std::string address, network::choose_address(subnet, leased));
  network::EndpointConfig endpoint;
  endpoint.id = id;
  endpoint.ipv4 = network::with_prefix_length(subnet, address);
  endpoint.gateway4 = subnet.gateway;
  TRY(parts_->net->attach(netns.borrow(), endpoint));
  parts_->leases[id] = address;
  return netns;
}

void StepNetwork::disconnect(const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (!parts_) return;
  (void)parts_->net->detach({id});
  parts_->leases.erase(id);
}

std::string StepNetwork::host_gateway() const {
  const std::lock_guard lock(mutex_);
  return parts_ ? parts_->net->host_gateway() : "";
}

std::string step_resolv(const std::string& host_text, const std::string& resolved_text) {
  const auto read = [](std::string_view text, std::vector<std::string>& servers, std::string& rest) {
    while (!text.empty()) {
      const std::size_t end = text.find('\n');
      const std::string_view line = trim(text.substr(0, end));
      text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
      const auto words = split_blank(line);
      if (words.size() < 2 || line.front() == '#' || line.front() == ';') continue;
      if (words[0] == "nameserver") servers.push_back(words[1]);
      else rest += std::string(line) + "\n";
    }
  };
  std::vector<std::string> servers;
  std::string rest;
  read(host_text, servers, rest);
  if (servers == std::vector<std::string>{"127.0.0.53"} && !resolved_text.empty()) {
    servers.clear();
    rest.clear();
    read(resolved_text, servers, rest);
  }
  std::erase_if(servers, is_loopback);
  if (servers.empty()) servers = {"8.8.8.8", "8.8.4.4"};
  std::string text;
  for (const auto& server : servers) text += "nameserver " + server + "\n";
  return text + rest;
}

}  // namespace engine::build
