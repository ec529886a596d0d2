// Interfaces of containers.
#include <linux/rtnetlink.h>

#include <atomic>
#include <cerrno>
#include <cstdio>

#include "base/sys.h"
#include "network/netns.h"
#include "network/network_state.h"

namespace network {
namespace {

using base::ErrorKind;
using base::make_error;

/// The network's end of an endpoint's veth: found again from the id alone.
std::string port_name(const std::string& id) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : id) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
  std::array<char, 16> out{};
  (void)std::snprintf(out.data(), out.size(), "p%014llx",
                      static_cast<unsigned long long>(hash & 0xffffffffffffffULL));
  return out.data();
}

/// An index in the network's namespace, far from those a container's namespace counts up from (VethSpec::index).
int port_index(const std::string& id, int attempt) {
  std::uint32_t hash = 0x811c9dc5 + static_cast<std::uint32_t>(attempt);  // FNV-1a
  for (const char c : id) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x01000193;
  return static_cast<int>((1U << 20) + (hash & 0x3fffffffU));
}

struct Plan {
  std::string interface_name, mac;
  std::vector<Prefix> addresses;
  std::optional<Address> gateway4, gateway6;
  bool v6 = false;
};

base::Result<std::optional<Address>> optional_address(const std::string& text) {
  if (text.empty()) return std::optional<Address>();
  ASSIGN_OR_RETURN(const auto address, Address::parse(text));
  return std::optional<Address>(address);
}

std::string mac_from(const EndpointConfig& endpoint) {
  std::array<char, 18> out{};
  if (auto prefix = Prefix::parse(endpoint.ipv4); prefix && !prefix->is_v6()) {
    const auto value = prefix->address().v4_host_order();
    (void)std::snprintf(out.data(), out.size(), "02:42:%02x:%02x:%02x:%02x", value >> 24, (value >> 16) & 0xff,
                        (value >> 8) & 0xff, value & 0xff);
    return out.data();
  }
  std::uint32_t hash = 0x811c9dc5;
  for (const char c : endpoint.id + endpoint.ipv6) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x01000193;
  (void)std::snprintf(out.data(), out.size(), "02:44:%02x:%02x:%02x:%02x", hash >> 24, (hash >> 16) & 0xff,
                      (hash >> 8) & 0xff, hash & 0xff);
  return out.data();
}

base::Result<Plan> plan_endpoint(const EndpointConfig& endpoint) {
  Plan plan;
  plan.mac = endpoint.mac.empty() ? mac_from(endpoint) : endpoint.mac;
  TRY(netlink::parse_mac(plan.mac));
  for (const auto& text : {endpoint.ipv4, endpoint.ipv6}) {
    if (text.empty()) continue;
    ASSIGN_OR_RETURN(const auto prefix, Prefix::parse(text));
    plan.addresses.push_back(prefix);
  }
  for (const auto& text : endpoint.link_local_ips) {
    ASSIGN_OR_RETURN(auto prefix, Prefix::parse(text));
    if (text.find('/') == std::string::npos) prefix = Prefix(prefix.address(), prefix.is_v6() ? 64 : 16);
    plan.addresses.push_back(prefix);
  }
  for (const auto& prefix : plan.addresses) plan.v6 = plan.v6 || prefix.is_v6();
  ASSIGN_OR_RETURN(plan.gateway4, optional_address(endpoint.gateway4));
  ASSIGN_OR_RETURN(plan.gateway6, optional_address(endpoint.gateway6));
  return plan;
}

base::Result<std::string> choose_name(netlink::Socket& socket, const EndpointConfig& endpoint,
                                      const std::string& prefix) {
  ASSIGN_OR_RETURN(const auto links, socket.links());
  const auto taken = [&](const std::string& name) {
    for (const auto& link : links)
      if (link.name == name) return true;
    return false;
  };
  if (!endpoint.interface_name.empty()) {
    if (taken(endpoint.interface_name))
      return make_error(ErrorKind::exists, "interface " + endpoint.interface_name + " exists already in the container");
    return endpoint.interface_name;
  }
  for (int number = 0;; ++number)
    if (auto name = prefix + std::to_string(number); !taken(name)) return name;
}

void add_default(netlink::Batch& batch, const std::optional<Address>& gateway, int interface) {
  if (!gateway) return;
  batch.add_route({.v6 = gateway->is_v6(), .gateway = gateway, .interface = interface, .replace = true});
}

base::Result<> make_port(Network::State& state, const std::string& name, const std::string& id, const Plan& plan,
                         base::Fd container) {
  base::Result<> made;
  for (int attempt = 0; attempt < 4; ++attempt) {
    const int index = port_index(id, attempt);
    netlink::Batch batch;
    batch.add_veth({.name = name, .index = index, .mtu = state.mtu, .master = state.bridge,
                    .peer_name = plan.interface_name, .peer_mac = plan.mac, .peer_netns = container});
    made = state.socket.run(batch);
    if (made || made.error().number != EEXIST) return made;
    // Either a port left by a life that was cut short, or the index is another port's: then choose again.
    netlink::Batch stale;
    stale.remove_link(name);
    TRY(state.socket.run(stale));
  }
  return made;
}

/// Made under a name of its own and renamed in the container: kernels before 6.14 refuse a name that a link of the *host* has.
base::Result<> make_vlan(Network::State& state, netlink::Socket& inner, const EndpointConfig& endpoint, const Plan& plan,
                         base::Fd container) {
  ASSIGN_OR_RETURN(const auto parent, state.socket.link(state.config.parent));
  const auto first_name = port_name(endpoint.id);
  netlink::Batch batch;
  batch.add_vlan({.name = first_name, .kind = state.config.driver, .mode = state.config.mode,
                  .mac = endpoint.mac, .parent = parent.index, .mtu = state.mtu, .netns = container});
  auto made = state.socket.run(batch);
  if (!made && made.error().number == EOPNOTSUPP)
    return make_error(ErrorKind::unsupported, "this kernel has no network driver " + state.config.driver);
  TRY(std::move(made));
  netlink::Batch rename;
  auto link = inner.link(first_name);
  if (link) rename.set_name(link->index, plan.interface_name);
  auto renamed = link ? inner.run(rename) : base::Result<>(std::move(link).error());
  if (!renamed) (void)remove_interface(container, first_name).has_value();
  return renamed;
}

/// Inside the container's namespace.
base::Result<> configure(netlink::Socket& socket, const Plan& plan) {
  ASSIGN_OR_RETURN(const auto link, socket.link(plan.interface_name));
  const auto conf = "net/ipv6/conf/" + plan.interface_name + "/";
  if (plan.v6) {
    // The engine gives addresses out, so none is a duplicate; waiting to find out would cost IPv6 its first second.
    TRY(write_sysctl(conf + "accept_dad", "0"));
    TRY(write_sysctl(conf + "accept_ra", "0"));
    TRY(write_sysctl(conf + "disable_ipv6", "0"));
  } else if (const auto disabled = read_sysctl(conf + "disable_ipv6"); !disabled.empty() && disabled != "1") {
    TRY(write_sysctl(conf + "disable_ipv6", "1"));
  }
  netlink::Batch batch;
  for (const auto& address : plan.addresses) batch.add_address(link.index, address);
  if (!link.up) batch.set_up(link.index);
  add_default(batch, plan.gateway4, link.index);
  add_default(batch, plan.gateway6, link.index);
  return socket.run(batch);
}

}  // namespace

base::Result<Endpoint> Network::attach(base::Fd container, const EndpointConfig& endpoint) {
  ASSIGN_OR_RETURN(auto plan, plan_endpoint(endpoint).with("network " + config().name));
  const std::lock_guard guard(state_->mutex);
  const auto port = port_name(endpoint.id);
  bool creating = false;
  const auto work = [&]() -> base::Result<> {
    ASSIGN_OR_RETURN(auto inner, netlink::Socket::open());
    const std::string prefix = config().interface_prefix.empty() ? "eth" : config().interface_prefix;
    ASSIGN_OR_RETURN(plan.interface_name, choose_name(inner, endpoint, prefix));
    creating = true;
    TRY(state_->bridged() ? make_port(*state_, port, endpoint.id, plan, container)
                          : make_vlan(*state_, inner, endpoint, plan, container));
    if (state_->bridged() && config().isolate_ports) {
      ASSIGN_OR_RETURN(const auto link, state_->socket.link(port));
      netlink::Batch isolate;
      isolate.isolate_port(link.index);
      TRY(state_->socket.run(isolate));
    }
    TRY(configure(inner, plan));
    if (!state_->bridged()) return {};
    TRY(inner.settle(plan.interface_name, plan.addresses));
    TRY(state_->socket.settle(port));
    if (state_->bridge_runs) return {};
    TRY(state_->socket.settle(state_->bridge_name()));
    state_->bridge_runs = true;
    return {};
  };
  if (auto done = in_netns(container, work); !done) {
    // A failed answer does not mean that nothing was made.
    if (state_->bridged()) {
      netlink::Batch undo;
      undo.remove_link(port);
      (void)state_->socket.run(undo).has_value();
    } else if (creating) {
      (void)remove_interface(container, plan.interface_name).has_value();
    }
    return std::move(done).with("attaching to network " + config().name).error();
  }
  return Endpoint{plan.interface_name, plan.mac};
}

base::Result<> Network::detach(const std::vector<std::string>& endpoint_ids) {
  if (endpoint_ids.empty() || !state_->bridged()) return {};
  const std::lock_guard guard(state_->mutex);
  netlink::Batch batch;
  if (endpoint_ids.size() == 1) {
    batch.remove_link(port_name(endpoint_ids.front()));
    return state_->socket.run(batch);
  }
  // The kernel waits for readers once for a whole group, and once for each link otherwise (some 10 ms).
  static std::atomic<unsigned> next_group{0};
  const unsigned group = 0x63700000U + (next_group++ & 0xffffU);
  for (const auto& id : endpoint_ids) batch.set_group(port_name(id), group);
  batch.remove_group(group);
  return state_->socket.run(batch);
}

base::Result<> Network::silence(const std::vector<std::string>& endpoint_ids) {
  // For several, deleting them together costs less than switching each off.
  if (endpoint_ids.size() != 1 || !state_->bridged()) return detach(endpoint_ids);
  const std::lock_guard guard(state_->mutex);
  netlink::Batch batch;
  batch.set_down(port_name(endpoint_ids.front()));
  return state_->socket.run(batch);
}

base::Result<> remove_interface(base::Fd container, const std::string& name) {
  ASSIGN_OR_RETURN(auto socket, netlink::Socket::open(container));
  netlink::Batch batch;
  batch.remove_link(name);
  return socket.run(batch);
}

base::Result<> set_default_routes(base::Fd container, const std::string& gateway4, const std::string& gateway6) {
  ASSIGN_OR_RETURN(auto socket, netlink::Socket::open(container));
  ASSIGN_OR_RETURN(const auto routes, socket.routes());
  netlink::Batch batch;
  for (const bool v6 : {false, true}) {
    ASSIGN_OR_RETURN(const auto gateway, optional_address(v6 ? gateway6 : gateway4));
    for (const auto& route : routes)
      if (!route.destination && route.v6 == v6 && route.table == RT_TABLE_MAIN && route.interface != 0)
        batch.remove_route({.v6 = v6, .interface = route.interface, .metric = route.metric});
    if (gateway) batch.add_route({.v6 = v6, .gateway = gateway});
  }
  return socket.run(batch);
}

}  // namespace network
