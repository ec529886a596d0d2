#include "network/network.h"

#include <sched.h>

#include <algorithm>
#include <cstdio>

#include "base/sys.h"
#include "network/netns.h"
#include "network/network_state.h"

namespace network {

Network::Network(std::shared_ptr<State> state) : state_(std::move(state)) {}
Network::Network(Network&&) noexcept = default;
Network& Network::operator=(Network&&) noexcept = default;
Network::~Network() = default;

const NetworkConfig& Network::config() const { return state_->config; }
base::Fd Network::netns() const { return state_->netns.borrow(); }

std::string Network::host_gateway() const {
  if (!state_->uplink) return {};
  for (const auto& subnet : state_->config.subnets)
    if (!is_ipv6(subnet)) return subnet.gateway;
  return state_->config.subnets.empty() ? std::string() : state_->config.subnets.front().gateway;
}

namespace {

base::Result<base::UniqueFd> host_netns() { return base::sys::open("/proc/self/ns/net", O_RDONLY); }

/// A router's settings, made before any link exists, so that none ever behaves otherwise.
base::Result<> router_sysctls() {
  TRY(write_sysctl("net/ipv4/ip_forward", "1"));
  // Containers in several networks answer through the one with their default route; strict checks would drop that.
  TRY(write_sysctl("net/ipv4/conf/all/rp_filter", "0"));
  TRY(write_sysctl("net/ipv4/conf/default/rp_filter", "0"));
  if (!read_sysctl("net/ipv6/conf/all/forwarding").empty()) {
    TRY(write_sysctl("net/ipv6/conf/default/disable_ipv6", "1"));
    // While duplicate detection holds the link-local address back (1-2 s), forwarded packets find no neighbour.
    TRY(write_sysctl("net/ipv6/conf/default/accept_dad", "0"));
    TRY(write_sysctl("net/ipv6/conf/all/forwarding", "1"));
  }
  // Present where br_netfilter is loaded: bridged frames need no second look.
  for (const char* family : {"iptables", "ip6tables", "arptables"}) {
    const auto knob = std::string("net/bridge/bridge-nf-call-") + family;
    if (!read_sysctl(knob).empty()) (void)write_sysctl(knob, "0").has_value();
  }
  return {};
}

bool has_v6(const NetworkConfig& config) {
  return std::any_of(config.subnets.begin(), config.subnets.end(), is_ipv6);
}

/// Docker's scheme: an address that stays the same when the network is made again.
std::string bridge_mac(const NetworkConfig& config) {
  std::uint32_t value = 0x811c9dc5;  // FNV-1a
  for (const char c : config.name) value = (value ^ static_cast<std::uint8_t>(c)) * 0x01000193;
  std::array<char, 18> out{};
  (void)std::snprintf(out.data(), out.size(), "02:43:%02x:%02x:%02x:%02x", value >> 24, (value >> 16) & 0xff,
                      (value >> 8) & 0xff, value & 0xff);
  return out.data();
}

base::Result<> make_bridge(Network::State& state) {
  netlink::Batch batch;
  batch.add_bridge(state.bridge_name(), bridge_mac(state.config), state.mtu);
  TRY(state.socket.run(batch));
  ASSIGN_OR_RETURN(const auto bridge, state.socket.link(state.bridge_name()));
  state.bridge = bridge.index;
  if (has_v6(state.config))
    TRY(in_netns(state.netns.borrow(),
                 [&] { return write_sysctl("net/ipv6/conf/" + state.bridge_name() + "/disable_ipv6", "0"); }));
  netlink::Batch addresses;
  for (const auto& subnet : state.config.subnets) {
    if (subnet.gateway.empty()) continue;
    ASSIGN_OR_RETURN(const auto prefix, Prefix::parse(with_prefix_length(subnet, subnet.gateway)));
    addresses.add_address(bridge.index, prefix);
  }
  return state.socket.run(addresses);
}

/// Unlike any the kernel gives by itself, which are small, and any of attach(), which are larger.
constexpr int uplink_index = 1 << 19;

base::Result<> make_uplink_veth(Network::State& state) {
  const auto& uplink = *state.uplink;
  ASSIGN_OR_RETURN(const auto host, host_netns());
  netlink::Batch batch;
  batch.add_veth({.name = uplink_inside, .index = uplink_index, .mtu = state.mtu, .peer_name = uplink.interface, .peer_netns = host.borrow()});
  auto made = state.socket.run(batch);
  if (!made && made.error().number == EEXIST)
    return base::make_error(base::ErrorKind::exists,
                            "uplink " + state.config.uplink + " is in use by another network on this machine");
  return made;
}

/// The host's end. Runs in the process's own namespace.
base::Result<> configure_host_end(Network::State& state, netlink::Socket& socket) {
  const auto& uplink = *state.uplink;
  const auto conf = [&](const std::string& family, const std::string& name) {
    return "net/" + family + "/conf/" + uplink.interface + "/" + name;
  };
  // Loopback clients of published ports leave by this link with their own address until it is translated.
  TRY(write_sysctl(conf("ipv4", "route_localnet"), "1"));
  TRY(write_sysctl(conf("ipv4", "forwarding"), "1"));
  if (!read_sysctl(conf("ipv6", "disable_ipv6")).empty()) {
    TRY(write_sysctl(conf("ipv6", "accept_ra"), "0"));
    TRY(write_sysctl(conf("ipv6", "accept_dad"), "0"));
    TRY(write_sysctl(conf("ipv6", "disable_ipv6"), uplink.host6 ? "0" : "1"));
  }
  ASSIGN_OR_RETURN(const auto link, socket.link(uplink.interface));
  netlink::Batch batch;
  batch.add_address(link.index, uplink.host);
  if (uplink.host6) batch.add_address(link.index, *uplink.host6);
  batch.set_up(link.index);
  return socket.run(batch);
}

std::vector<Prefix> prefixes(const std::optional<Prefix>& one) { return one ? std::vector{*one} : std::vector<Prefix>(); }

base::Result<> configure_inner_end(Network::State& state) {
  const auto& uplink = *state.uplink;
  if (uplink.network6)
    TRY(in_netns(state.netns.borrow(), [] { return write_sysctl("net/ipv6/conf/uplink/disable_ipv6", "0"); }));
  ASSIGN_OR_RETURN(const auto link, state.socket.link(uplink_inside));
  netlink::Batch batch;
  batch.add_address(link.index, uplink.network);
  batch.add_route({.gateway = uplink.host.address(), .interface = link.index});
  if (uplink.network6) {
    batch.add_address(link.index, *uplink.network6);
    batch.add_route({.v6 = true, .gateway = uplink.host6->address(), .interface = link.index});
  }
  TRY(state.socket.run(batch));
  return state.socket.settle(uplink_inside, prefixes(uplink.network6));
}

base::Result<> make_uplink(Network::State& state) {
  auto present = state.socket.link(uplink_inside);
  if (!present && present.error().kind != base::ErrorKind::not_found) return std::move(present).error();
  if (!present) TRY(make_uplink_veth(state));
  ASSIGN_OR_RETURN(auto host_socket, netlink::Socket::open());
  auto host_end = configure_host_end(state, host_socket);
  if (!host_end && host_end.error().kind == base::ErrorKind::not_found) {
    // The far end was moved or deleted by hand; a veth goes as a pair.
    netlink::Batch batch;
    batch.remove_link(uplink_inside);
    TRY(state.socket.run(batch));
    TRY(make_uplink_veth(state));
    host_end = configure_host_end(state, host_socket);
  }
  TRY(std::move(host_end));
  TRY(configure_inner_end(state));
  return host_socket.settle(state.uplink->interface, prefixes(state.uplink->host6));
}

base::Result<base::UniqueFd> namespace_for(const std::filesystem::path& pin, bool& fresh) {
  auto pinned = open_pinned(pin);
  fresh = !pinned;
  if (pinned) return pinned;
  if (pinned.error().kind != base::ErrorKind::not_found) return pinned;
  return make_netns();
}

std::vector<Prefix> subnets_of(const NetworkConfig& config) {
  std::vector<Prefix> out;
  for (const auto& subnet : config.subnets)
    if (auto prefix = Prefix::parse(subnet.subnet)) out.push_back(*prefix);
  return out;
}

void enroll(HostNetwork& host, const Network::State& state) {
  if (!state.uplink) return;
  auto& registry = host.state();
  const std::lock_guard guard(registry.mutex);
  registry.networks[state.uplink->interface] = {subnets_of(state.config), state.uplink->host6.has_value()};
}

base::Result<std::unique_ptr<Network::State>> assemble(HostNetwork& host, NetworkConfig config,
                                                       base::UniqueFd netns) {
  ASSIGN_OR_RETURN(auto rules, NfSocket::open(netns.borrow()));
  ASSIGN_OR_RETURN(auto socket, netlink::Socket::open(netns.borrow()));
  auto state = std::make_unique<Network::State>(host, std::move(config), std::move(netns), std::move(rules),
                                                std::move(socket));
  state->mtu = state->config.mtu;
  if (state->mtu == 0 && state->bridged()) {
    ASSIGN_OR_RETURN(state->mtu, HostNetwork::mtu());
  }
  if (!state->config.uplink.empty()) {
    ASSIGN_OR_RETURN(state->uplink, uplink_of(state->config));
  }
  return state;
}

base::Result<> build(Network::State& state, bool fresh) {
  TRY(in_netns(state.netns.borrow(), router_sysctls));
  TRY(make_bridge(state));
  // Rules before the uplink: no packet passes an unguarded namespace.
  const auto table = network_table(state.config, state.bridge_name());
  if (fresh) TRY(state.view.make(table));
  else TRY(state.view.socket().replace(table));
  if (state.uplink) TRY(make_uplink(state));
  return {};
}

}  // namespace

base::Result<Network> Network::create(HostNetwork& host, NetworkConfig config, std::filesystem::path pin) {
  const auto what = "creating network " + config.name;
  if (config.driver != "bridge") return open(host, std::move(config), std::move(pin)).with(what);
  bool fresh = false;
  ASSIGN_OR_RETURN(auto netns, namespace_for(pin, fresh).with(what));
  ASSIGN_OR_RETURN(auto state, assemble(host, std::move(config), std::move(netns)).with(what));
  const auto finish = [&]() -> base::Result<> {
    TRY(build(*state, fresh));
    // Pinned last: until here a crash leaves nothing, as the namespace goes with its last descriptor.
    if (fresh) TRY(network::pin(state->netns.borrow(), pin));
    enroll(host, *state);
    if (state->uplink) TRY(host.ensure());
    return {};
  };
  if (auto done = finish(); !done) {
    // An uplink that belongs to somebody else is the one thing that must stay.
    const bool foreign = done.error().kind == base::ErrorKind::exists;
    if (fresh && !foreign) (void)remove(host, state->config, pin).has_value();
    return std::move(done).with(what).error();
  }
  return Network(std::move(state));
}

base::Result<Network> Network::open(HostNetwork& host, NetworkConfig config, std::filesystem::path pin) {
  if (config.driver != "bridge") {
    ASSIGN_OR_RETURN(auto netns, host_netns());
    ASSIGN_OR_RETURN(auto state, assemble(host, std::move(config), std::move(netns)));
    TRY(state->socket.link(state->config.parent).with("parent interface of network " + state->config.name));
    return Network(std::move(state));
  }
  ASSIGN_OR_RETURN(auto netns, open_pinned(pin));
  ASSIGN_OR_RETURN(auto state, assemble(host, std::move(config), std::move(netns)));
  ASSIGN_OR_RETURN(const auto bridge, state->socket.link(state->bridge_name()));
  state->bridge = bridge.index;
  state->mtu = bridge.mtu;
  enroll(host, *state);
  return Network(std::move(state));
}

base::Result<> Network::remove(HostNetwork& host, const NetworkConfig& config, const std::filesystem::path& pin) {
  if (config.driver != "bridge") return {};
  base::Result<> first;
  const auto keep = [&first](base::Result<> result) {
    if (!result && first) first = std::move(result);
  };
  if (auto uplink = uplink_of(config)) {
    {
      const std::lock_guard guard(host.state().mutex);
      host.state().networks.erase(uplink->interface);
    }
    // At once, for the namespace's own end is asynchronous: its /31 and route must be free again when we return.
    auto socket = netlink::Socket::open();
    if (socket) {
      netlink::Batch batch;
      batch.remove_link(uplink->interface);
      keep(socket->run(batch));
    } else {
      keep(std::move(socket).error());
    }
  }
  keep(unpin(pin));
  if (!config.uplink.empty()) {
    keep(host.ensure());
    keep(host.release_if_unused());
  }
  return std::move(first).with("removing network " + config.name);
}

}  // namespace network
