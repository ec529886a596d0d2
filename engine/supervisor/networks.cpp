#include "engine/supervisor/networks.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/log.h"
#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/api/types_json.h"
#include "engine/supervisor/ids.h"
#include "engine/supervisor/network_json.h"
#include "network/allocate.h"
#include "network/netns.h"

namespace engine::supervisor {
namespace {

using base::ErrorKind;
using base::make_error;

constexpr int decide_attempts_max = 64;  ///< uplinks taken by independent engines on the same machine

std::string without_prefix(const std::string& address) { return address.substr(0, address.find('/')); }

network::NetworkRequest request_of(const NetworkSpec& spec) {
  network::NetworkRequest request;
  request.name = spec.name;
  request.driver = spec.driver;
  request.driver_opts = spec.driver_opts;
  request.internal = spec.internal;
  request.ipv4 = spec.enable_ipv4;
  request.ipv6 = spec.enable_ipv6;
  for (const auto& subnet : spec.subnets) request.subnets.push_back({subnet.subnet, subnet.ip_range, subnet.gateway, subnet.aux_addresses});
  return request;
}

network::Pools pools() {
  network::Pools pools;
  if (auto id = base::sys::read_file("/etc/machine-id", 4096)) pools.machine_id = *id;
  return pools;
}

std::filesystem::path pin_of(const std::string& name) { return paths::network_run(name) / "netns"; }
std::filesystem::path stamp_of(const std::string& name) { return paths::network_run(name) / "names"; }

/// Higher priority first: the order in which a container is connected, and so the names of its interfaces.
std::vector<NetworkAttachment> in_order(std::vector<NetworkAttachment> attachments) {
  std::stable_sort(attachments.begin(), attachments.end(), [](const auto& a, const auto& b) { return a.priority > b.priority; });
  return attachments;
}

network::DnsHost names_of(const store::ContainerRecord& record, const NetworkAttachment& attachment, const Endpoint& endpoint) {
  network::DnsHost host;
  host.name = record.name;
  host.aliases = attachment.aliases;
  host.aliases.push_back(record.id.substr(0, 12));
  for (const auto& address : {endpoint.ipv4_address, endpoint.ipv6_address})
    if (!address.empty()) host.addresses.push_back(without_prefix(address));
  return host;
}

const NetworkAttachment* find_attachment(const ContainerSpec& spec, const std::string& network) {
  for (const auto& attachment : spec.networks)
    if (attachment.network == network) return &attachment;
  return nullptr;
}

}  // namespace

struct Networks::Watch {
  explicit Watch(boost::asio::io_context& io, int fd) : inotify(io, fd) {}
  boost::asio::posix::stream_descriptor inotify;
  std::map<int, std::string> networks;  ///< by watch
};

Result<std::unique_ptr<Networks>> Networks::open(boost::asio::io_context& io, std::string project) {
  std::unique_ptr<Networks> out(new Networks(io, std::move(project)));
  ASSIGN_OR_RETURN(out->host_, network::HostNetwork::open(pools()));
  TRY(out->host_->watch(io));
  ASSIGN_OR_RETURN(out->ports_, network::PortPublisher::create(io, *out->host_));
  ASSIGN_OR_RETURN(out->dns_, network::DnsServer::create(io));
  ASSIGN_OR_RETURN(const long number, base::sys::wrap("inotify_init1", ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)));
  out->watch_ = std::make_shared<Watch>(io, static_cast<int>(number));
  out->watch_others();
  return out;
}

Result<> Networks::create(store::Store& store, const NetworkSpec& spec) {
  std::vector<network::NetworkConfig> refused;
  for (int attempt = 0; attempt < decide_attempts_max; ++attempt) {
    network::NetworkConfig config;
    {
      ASSIGN_OR_RETURN(auto transaction, store.begin());
      ASSIGN_OR_RETURN(const auto existing, store.network(spec.name));
      if (existing) {
        ASSIGN_OR_RETURN(config, network_config_from(existing->uplink_json));
      } else {
        network::InUse in_use;
        ASSIGN_OR_RETURN(const auto rows, store.networks());
        for (const auto& row : rows)
          if (auto other = network_config_from(row.uplink_json)) in_use.networks.push_back(*std::move(other));
        in_use.networks.insert(in_use.networks.end(), refused.begin(), refused.end());
        ASSIGN_OR_RETURN(in_use.routes, network::HostNetwork::routes());
        ASSIGN_OR_RETURN(config, network::decide(request_of(spec), in_use, pools()));
        std::vector<SubnetSpec> subnets;
        for (const auto& subnet : config.subnets) subnets.push_back({subnet.subnet, subnet.ip_range, subnet.gateway, subnet.aux_addresses});
        store::NetworkRecord record;
        ASSIGN_OR_RETURN(record.id, random_id());
        record.name = spec.name;
        record.project = spec.project;
        record.spec_json = engine::to_json(spec);
        record.subnets_json = engine::to_json(subnets);
        record.uplink_json = to_json(config);
        record.created = store::now_ns();
        TRY(store.insert_network(record));
      }
      TRY(transaction.commit());
    }
    auto made = network::Network::create(*host_, config, pin_of(spec.name));
    if (made) {
      const std::lock_guard guard(lock_);
      auto& slot = networks_[spec.name];
      if (!slot) slot = std::make_shared<Slot>();
      slot->network = std::make_shared<network::Network>(*std::move(made));
      return {};
    }
    TRY(store.remove_network(spec.name));
    if (made.error().kind != ErrorKind::exists) return std::move(made).error();
    config.subnets.clear();  // only its uplink is refused
    refused.push_back(std::move(config));
  }
  return make_error(ErrorKind::exhausted, "every uplink address is used by another engine on this machine");
}

Result<> Networks::remove(store::Store& store, const std::string& name) {
  ASSIGN_OR_RETURN(const auto record, store.network(name));
  if (!record) return {};
  ASSIGN_OR_RETURN(const auto leases, store.leases(name));
  for (const auto& lease : leases) {
    ASSIGN_OR_RETURN(const auto holder, store.container(lease.container_id));
    if (holder && holder->run.state == ContainerState::running)
      return make_error(ErrorKind::exists, "network " + name + " has active endpoints: " + holder->name);
  }
  {
    const std::lock_guard guard(lock_);
    networks_.erase(name);
    zones_.erase(name);
    names_.erase(name);
  }
  ASSIGN_OR_RETURN(const auto config, network_config_from(record->uplink_json));
  TRY(network::Network::remove(*host_, config, pin_of(name)));
  TRY(store.remove_network(name));
  return base::sys::remove_tree(paths::network_run(name));
}

Result<std::shared_ptr<network::Network>> Networks::network(store::Store& store, const std::string& name) {
  std::shared_ptr<Slot> slot;
  {
    const std::lock_guard guard(lock_);
    auto& place = networks_[name];
    if (!place) place = std::make_shared<Slot>();
    slot = place;
  }
  const std::lock_guard guard(slot->busy);
  if (slot->network) return slot->network;
  ASSIGN_OR_RETURN(const auto record, store.network(name));
  if (!record) return make_error(ErrorKind::not_found, "network " + name + " not found");
  ASSIGN_OR_RETURN(const auto config, network_config_from(record->uplink_json));
  auto opened = network::Network::open(*host_, config, pin_of(name));
  // After a reboot only the record is left: the same network is made again.
  if (!opened && opened.error().kind == ErrorKind::not_found) opened = network::Network::create(*host_, config, pin_of(name));
  if (!opened) return std::move(opened).error();
  slot->network = std::make_shared<network::Network>(*std::move(opened));
  return slot->network;
}

std::string Networks::gateway_network(store::Store& store, const std::vector<NetworkAttachment>& attachments) {
  const NetworkAttachment* best = nullptr;
  for (const auto& attachment : attachments) {
    const auto found = network(store, attachment.network);
    if (!found || (*found)->config().internal) continue;
    if (!best || attachment.gw_priority > best->gw_priority ||
        (attachment.gw_priority == best->gw_priority && attachment.network < best->network))
      best = &attachment;
  }
  return best ? best->network : "";
}

Result<Endpoint> Networks::attach_one(store::Store& store, const std::string& id, base::Fd netns, const NetworkAttachment& attachment,
                                      bool default_route) {
  ASSIGN_OR_RETURN(const auto net, network(store, attachment.network));
  const auto& config = net->config();
  Endpoint endpoint{.network = attachment.network};
  network::EndpointConfig wanted;
  wanted.id = id;
  wanted.interface_name = attachment.interface_name;
  wanted.mac = attachment.mac_address;
  wanted.link_local_ips = attachment.link_local_ips;
  {
    ASSIGN_OR_RETURN(auto transaction, store.begin());
    ASSIGN_OR_RETURN(const auto leases, store.leases(attachment.network));
    std::set<std::string> leased;
    for (const auto& lease : leases)
      if (lease.container_id != id) leased.insert(lease.address);
    for (const bool v6 : {false, true}) {
      const std::string& fixed = v6 ? attachment.ipv6_address : attachment.ipv4_address;
      Result<std::string> chosen = make_error(ErrorKind::invalid, "network " + attachment.network + " has no subnet for " + fixed);
      bool any = false;
      for (const auto& subnet : config.subnets) {
        if (network::is_ipv6(subnet) != v6) continue;
        any = true;
        chosen = network::choose_address(subnet, leased, without_prefix(fixed));
        if (!chosen) continue;
        (v6 ? wanted.ipv6 : wanted.ipv4) = network::with_prefix_length(subnet, *chosen);
        (v6 ? endpoint.ipv6_address : endpoint.ipv4_address) = network::with_prefix_length(subnet, *chosen);
        if (!v6) endpoint.gateway = subnet.gateway;
        if (default_route && !config.internal) (v6 ? wanted.gateway6 : wanted.gateway4) = subnet.gateway;
        TRY(store.lease({attachment.network, *chosen, id}));
        break;
      }
      if ((any || !fixed.empty()) && !chosen) return std::move(chosen).error();
    }
    TRY(transaction.commit());
  }
  ASSIGN_OR_RETURN(const auto made, net->attach(netns, wanted));
  endpoint.interface_name = made.interface_name;
  endpoint.mac_address = made.mac;
  return endpoint;
}

Result<Attached> Networks::attach(store::Store& store, const store::ContainerRecord& record, const ContainerSpec& spec) {
  Attached attached;
  if (spec.network_mode == "host") return attached;
  ASSIGN_OR_RETURN(attached.netns, network::make_netns());
  if (spec.network_mode == "none") return attached;
  const std::string gateway = gateway_network(store, spec.networks);
  for (const auto& attachment : in_order(spec.networks)) {
    auto endpoint = attach_one(store, record.id, attached.netns.borrow(), attachment, attachment.network == gateway);
    if (!endpoint) return std::move(endpoint).with("connecting to network " + attachment.network).error();
    attached.endpoints.push_back(*std::move(endpoint));
  }
  if (attached.endpoints.empty()) return attached;
  remember(record, spec, attached.endpoints);
  std::vector<std::string> names;
  for (const auto& endpoint : attached.endpoints) names.push_back(endpoint.network);
  TRY(refresh(store, names));
  for (const auto& name : names) touch(name);
  TRY(serve_names(store, record.id, attached.netns.borrow(), spec, attached.endpoints));
  attached.dns = true;
  ASSIGN_OR_RETURN(attached.ports, publish(store, record.id, spec, attached.endpoints, {}));
  ASSIGN_OR_RETURN(attached.host_gateway, host_gateway(store, spec));
  return attached;
}

Result<Attached> Networks::join(pid_t pid) {
  Attached attached;
  ASSIGN_OR_RETURN(attached.netns, network::netns_of(pid));
  return attached;
}

Result<std::string> Networks::host_gateway(store::Store& store, const ContainerSpec& spec) {
  const std::string gateway = gateway_network(store, spec.networks);
  if (gateway.empty()) return std::string();
  ASSIGN_OR_RETURN(const auto net, network(store, gateway));
  return net->host_gateway();
}

Result<std::vector<PortBinding>> Networks::publish(store::Store& store, const std::string& id, const ContainerSpec& spec,
                                                   const std::vector<Endpoint>& endpoints, const std::vector<PortBinding>& before) {
  std::vector<PortBinding> out;
  if (spec.ports.empty()) return out;
  std::string gateway = gateway_network(store, spec.networks);
  if (gateway.empty()) gateway = endpoints.front().network;
  network::PortPublisher::Target target;
  for (const auto& endpoint : endpoints)
    if (endpoint.network == gateway) target = {without_prefix(endpoint.ipv4_address), without_prefix(endpoint.ipv6_address)};
  std::vector<network::PortMapping> wanted;
  for (const auto& port : spec.ports) {
    network::PortMapping mapping{port.protocol, port.host_ip, port.host_port, port.host_port_last, port.container_port};
    // Taken over: a port that was chosen stays the same.
    for (const auto& bound : before)
      if (bound.container_port == port.container_port && bound.protocol == port.protocol &&
          (port.host_port == 0 || (bound.host_port >= port.host_port && bound.host_port <= std::max(port.host_port, port.host_port_last)))) {
        mapping.host_port = bound.host_port;
        mapping.host_port_last = 0;
      }
    wanted.push_back(std::move(mapping));
  }
  ASSIGN_OR_RETURN(const auto net, network(store, gateway));
  ASSIGN_OR_RETURN(const auto bound, ports_->publish(id, *net, target, wanted));
  for (const auto& port : bound) out.push_back({port.host_ip, port.host_port, 0, port.container_port, port.protocol});
  return out;
}

std::shared_ptr<network::DnsZone> Networks::zone(const std::string& network) {
  const std::lock_guard guard(lock_);
  auto& zone = zones_[network];
  if (!zone) {
    zone = std::make_shared<network::DnsZone>(network);
    (void)!base::sys::make_directories(paths::network_run(network)).has_value();
    const int id = ::inotify_add_watch(watch_->inotify.native_handle(), paths::network_run(network).c_str(),
                                       IN_CLOSE_WRITE | IN_DELETE_SELF);
    if (id >= 0) watch_->networks[id] = network;
  }
  return zone;
}

void Networks::remember(const store::ContainerRecord& record, const ContainerSpec& spec, const std::vector<Endpoint>& endpoints) {
  const std::lock_guard guard(lock_);
  for (const auto& endpoint : endpoints)
    if (const auto* attachment = find_attachment(spec, endpoint.network))
      names_[endpoint.network][record.id] = names_of(record, *attachment, endpoint);
}

void Networks::forget(const std::string& id) {
  const std::lock_guard guard(lock_);
  for (auto& [ignored, hosts] : names_) hosts.erase(id);
}

Result<> Networks::refresh(store::Store& store, const std::vector<std::string>& networks) {
  const std::lock_guard order(refresh_lock_);
  for (const auto& name : networks) {
    const auto target = zone(name);
    std::vector<network::DnsHost> hosts;
    std::set<std::string> known;
    {
      const std::lock_guard guard(lock_);
      for (const auto& [id, host] : names_[name]) {
        hosts.push_back(host);
        known.insert(id);
      }
    }
    // Containers of other projects in a shared network hold leases, too; what they are called is in their rows.
    ASSIGN_OR_RETURN(const auto leases, store.leases(name));
    std::map<std::string, network::DnsHost> others;
    for (const auto& lease : leases) {
      if (known.contains(lease.container_id)) continue;
      auto& host = others[lease.container_id];
      if (host.name.empty()) {
        ASSIGN_OR_RETURN(const auto row, store.container(lease.container_id));
        if (!row || row->project == project_) continue;
        const auto spec = from_json<ContainerSpec>(row->spec_json);
        const auto* attachment = spec ? find_attachment(*spec, name) : nullptr;
        if (attachment) host = names_of(*row, *attachment, {});
      }
      host.addresses.push_back(lease.address);
    }
    for (auto& [ignored, host] : others)
      if (!host.name.empty()) hosts.push_back(std::move(host));
    target->update(hosts);
  }
  return {};
}

void Networks::touch(const std::string& network) const {
  (void)!base::sys::write_file(stamp_of(network), project_).has_value();
}

void Networks::watch_others() {
  watch_->inotify.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& failed) {
    if (failed) return;
    alignas(inotify_event) std::array<char, 8192> buffer;
    std::set<std::string> changed;
    ssize_t count;
    while ((count = ::read(watch_->inotify.native_handle(), buffer.data(), buffer.size())) > 0) {
      for (ssize_t at = 0; at < count;) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
        at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
        const std::lock_guard guard(lock_);
        const auto found = watch_->networks.find(event->wd);
        if (found == watch_->networks.end()) continue;
        if (event->mask & IN_IGNORED) watch_->networks.erase(found);
        else changed.insert(found->second);
      }
    }
    // Our own changes are in the zones already; only what another project wrote is read again.
    std::vector<std::string> foreign;
    for (const auto& name : changed)
      if (const auto writer = base::sys::read_file(stamp_of(name), 4096); writer && *writer != project_) foreign.push_back(name);
    if (!foreign.empty())
      if (auto store = store::Store::open())
        if (auto done = refresh(*store, foreign); !done) base::log::warning("dns", done.error().text());
    watch_others();
  });
}

Result<> Networks::serve_names(store::Store& store, const std::string& id, base::Fd netns, const ContainerSpec& spec,
                               const std::vector<Endpoint>& endpoints) {
  network::DnsClient client;
  client.upstreams = spec.dns;
  client.forward = false;
  for (const auto& endpoint : endpoints) {
    client.zones.push_back(zone(endpoint.network));
    ASSIGN_OR_RETURN(const auto net, network(store, endpoint.network));
    if (!net->config().internal) client.forward = true;
  }
  return dns_->serve(id, netns, std::move(client));
}

Result<> Networks::adopt(store::Store& store, const store::ContainerRecord& record, const ContainerSpec& spec) {
  ASSIGN_OR_RETURN(const auto endpoints, from_json<std::vector<Endpoint>>(record.run.endpoints_json));
  if (endpoints.empty()) return {};
  remember(record, spec, endpoints);
  std::vector<std::string> names;
  for (const auto& endpoint : endpoints) names.push_back(endpoint.network);
  TRY(refresh(store, names));
  ASSIGN_OR_RETURN(const auto netns, network::netns_of(record.run.pid));
  TRY(serve_names(store, record.id, netns.borrow(), spec, endpoints));
  ASSIGN_OR_RETURN(const auto before, from_json<std::vector<PortBinding>>(record.run.ports_json));
  TRY(publish(store, record.id, spec, endpoints, before));
  return {};
}

void Networks::cut_links(store::Store& store,
                         const std::vector<std::pair<store::ContainerRecord, ContainerSpec>>& containers) {
  std::map<std::string, std::vector<std::string>> ids;
  for (const auto& [record, spec] : containers)
    for (const auto& attachment : spec.networks) ids[attachment.network].push_back(record.id);
  for (const auto& [name, members] : ids)
    if (auto net = network(store, name)) (void)!(*net)->silence(members).has_value();
}

Result<> Networks::release(store::Store& store, const store::ContainerRecord& record, const ContainerSpec& spec) {
  Result<> first;
  const auto keep = [&first](Result<> done) {
    if (!done && first) first = std::move(done);
  };
  keep(ports_->unpublish(record.id));
  dns_->stop(record.id);
  forget(record.id);
  std::set<std::string> names;
  for (const auto& attachment : spec.networks) names.insert(attachment.network);
  if (const auto endpoints = from_json<std::vector<Endpoint>>(record.run.endpoints_json))
    for (const auto& endpoint : *endpoints) names.insert(endpoint.network);
  if (names.empty()) return first;
  keep(store.release_all(record.id));
  for (const auto& name : names) {
    if (auto net = network(store, name)) keep((*net)->silence({record.id}));
    else if (net.error().kind != ErrorKind::not_found) keep(std::move(net).error());
    touch(name);
  }
  keep(refresh(store, {names.begin(), names.end()}));
  return first;
}

Result<std::vector<Endpoint>> Networks::connect(store::Store& store, const store::ContainerRecord& record, const ContainerSpec& spec,
                                                const NetworkAttachment& attachment) {
  ASSIGN_OR_RETURN(auto endpoints, from_json<std::vector<Endpoint>>(record.run.endpoints_json));
  for (const auto& endpoint : endpoints)
    if (endpoint.network == attachment.network) return endpoints;
  ASSIGN_OR_RETURN(const auto netns, network::netns_of(record.run.pid));
  auto all = spec;
  all.networks.push_back(attachment);
  const bool default_route = gateway_network(store, all.networks) == attachment.network;
  ASSIGN_OR_RETURN(auto endpoint, attach_one(store, record.id, netns.borrow(), attachment, default_route));
  endpoints.push_back(std::move(endpoint));
  remember(record, all, endpoints);
  TRY(refresh(store, {attachment.network}));
  touch(attachment.network);
  TRY(serve_names(store, record.id, netns.borrow(), all, endpoints));
  return endpoints;
}

Result<std::vector<Endpoint>> Networks::disconnect(store::Store& store, const store::ContainerRecord& record, const ContainerSpec& spec,
                                                   const std::string& name) {
  ASSIGN_OR_RETURN(auto endpoints, from_json<std::vector<Endpoint>>(record.run.endpoints_json));
  std::erase_if(endpoints, [&](const Endpoint& endpoint) { return endpoint.network == name; });
  if (auto net = network(store, name)) TRY((*net)->detach({record.id}));
  TRY(store.release(name, record.id));
  {
    const std::lock_guard guard(lock_);
    names_[name].erase(record.id);
  }
  TRY(refresh(store, {name}));
  touch(name);
  ASSIGN_OR_RETURN(const auto netns, network::netns_of(record.run.pid));
  auto rest = spec.networks;
  std::erase_if(rest, [&](const NetworkAttachment& attachment) { return attachment.network == name; });
  const std::string gateway = gateway_network(store, rest);
  std::string gateway4, gateway6;
  if (!gateway.empty()) {
    ASSIGN_OR_RETURN(const auto net, network(store, gateway));
    for (const auto& subnet : net->config().subnets) (network::is_ipv6(subnet) ? gateway6 : gateway4) = subnet.gateway;
  }
  TRY(network::set_default_routes(netns.borrow(), gateway4, gateway6));
  TRY(serve_names(store, record.id, netns.borrow(), spec, endpoints));
  return endpoints;
}

Result<> Networks::close(store::Store& store) {
  ASSIGN_OR_RETURN(const auto rest, store.networks());
  if (!rest.empty()) return {};
  host_->stop_watching();
  return host_->release_if_unused();
}

}  // namespace engine::supervisor
