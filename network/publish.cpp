#include "network/publish.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <condition_variable>

#include "base/log.h"
#include "base/sys.h"
#include "network/network_state.h"
#include "network/relay.h"
#include "network/relay_parts.h"

namespace network {
namespace {

using base::ErrorKind;
using base::make_error;

/// One bound socket.
struct Bound {
  Address address;
  base::UniqueFd socket;
};

/// A mapping with its sockets: one for each family, all on `port`.
struct Reservation {
  PortMapping mapping;
  std::uint16_t port = 0;
  std::vector<Bound> bound;
};

base::Result<base::UniqueFd> bind_port(const std::string& protocol, const Address& address, std::uint16_t port) {
  const bool tcp = protocol == "tcp";
  ASSIGN_OR_RETURN(auto fd, base::sys::socket(address.is_v6() ? AF_INET6 : AF_INET,
                                              (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK));
  const int on = 1;
  // For TCP past connections in TIME_WAIT; for UDP it would let two programs share the port.
  if (tcp) ::setsockopt(fd.number(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.is_v6()) ::setsockopt(fd.number(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  const auto local = socket_address(address, port);
  const auto what = "bind " + address.text() + " port " + std::to_string(port) + "/" + protocol;
  TRY(base::sys::wrap(what, ::bind(fd.number(), local.get(), local.size)));
  if (tcp) TRY(base::sys::wrap("listen on port " + std::to_string(port), ::listen(fd.number(), 4096)));
  return fd;
}

std::uint16_t port_of(const base::UniqueFd& socket) {
  SocketAddress local;
  local.size = sizeof local.storage;
  ::getsockname(socket.number(), reinterpret_cast<sockaddr*>(&local.storage), &local.size);
  const auto port = local.family() == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&local.storage)->sin6_port
                                               : reinterpret_cast<sockaddr_in*>(&local.storage)->sin_port;
  return ntohs(port);
}

/// The addresses a mapping binds to, and whether the last (IPv6 wildcard) may be missing on this machine.
struct Where {
  std::vector<Address> addresses;
  bool v6_optional = false;
};
base::Result<Where> where_to_bind(const PortMapping& mapping, const NetworkConfig& network) {
  const auto& text = mapping.host_ip.empty() ? network.host_binding : mapping.host_ip;
  if (text.empty()) return Where{{Address::v4(0), Address::v6({})}, true};
  ASSIGN_OR_RETURN(const auto address, Address::parse(text));
  return Where{{address}, false};
}

/// Binds every address to `port`, or fails with the first refusal. port 0: the kernel's choice for the first counts for all.
base::Result<std::vector<Bound>> bind_all(const PortMapping& mapping, const Where& where, std::uint16_t port) {
  std::vector<Bound> out;
  for (const auto& address : where.addresses) {
    auto socket = bind_port(mapping.protocol, address, port);
    if (!socket) {
      const int number = socket.error().number;
      if (where.v6_optional && address.is_v6() && (number == EAFNOSUPPORT || number == EADDRNOTAVAIL)) continue;
      return std::move(socket).error();
    }
    if (port == 0) port = port_of(*socket);
    out.push_back({address, std::move(*socket)});
  }
  return out;
}

std::string port_name(const PortMapping& mapping, std::uint16_t port) {
  const auto port_text = std::to_string(port) + "/" + mapping.protocol;
  if (mapping.host_ip.empty()) return "port " + port_text;
  return "port " + mapping.host_ip + ":" + port_text;
}

base::Error refused(const PortMapping& mapping, std::uint16_t port, base::Error error) {
  const auto name = port_name(mapping, port);
  switch (error.number) {
    case EADDRINUSE: {
      const auto holder = port_holder(mapping.protocol, mapping.host_ip, port);
      return make_error(ErrorKind::exists, name + " is already in use by " + (holder.empty() ? "another process" : holder));
    }
    case EADDRNOTAVAIL:
      return make_error(ErrorKind::unavailable, name + ": address " + mapping.host_ip + " is not on this machine");
    case EACCES:
    case EPERM:
      error.kind = ErrorKind::permission;
      return error;
    default:
      return error;
  }
}

base::Result<Reservation> reserve(const PortMapping& mapping, const NetworkConfig& network) {
  if (mapping.protocol != "tcp" && mapping.protocol != "udp")
    return make_error(ErrorKind::unsupported, "publishing protocol " + mapping.protocol);
  ASSIGN_OR_RETURN(const auto where, where_to_bind(mapping, network));
  const unsigned first = mapping.host_port, last = std::max<unsigned>(first, mapping.host_port_last);
  // A port the kernel chose for IPv4 may be taken in IPv6; it chooses another one next time.
  const unsigned attempts = first == 0 ? 32 : last - first + 1;
  for (unsigned attempt = 0; attempt < attempts; ++attempt) {
    const auto port = static_cast<std::uint16_t>(first == 0 ? 0 : first + attempt);
    auto bound = bind_all(mapping, where, port);
    if (bound) {
      Reservation out{mapping, 0, std::move(*bound)};
      if (out.bound.empty()) return make_error(ErrorKind::unsupported, "no address family to publish on");
      out.port = port_of(out.bound.front().socket);
      return out;
    }
    const bool busy = bound.error().number == EADDRINUSE;
    if (!busy || (first != 0 && first == last)) return refused(mapping, port, std::move(bound).error());
  }
  if (first == 0) return make_error(ErrorKind::exhausted, "no free host port is left");
  return make_error(ErrorKind::exhausted, "every port of " + std::to_string(first) + "-" + std::to_string(last) + "/" +
                                              mapping.protocol + " is already in use");
}

std::string element(const std::string& protocol, std::uint16_t port) { return protocol + " . " + std::to_string(port); }
std::string endpoint_text(const Address& address, std::uint16_t port) {
  return address.text() + " . " + std::to_string(port);
}

/// What one owner has.
struct Published {
  std::shared_ptr<Network::State> on;
  Entries host, network;     ///< our elements of the two tables
  std::vector<std::shared_ptr<Relay>> relays;
  std::vector<std::pair<std::uint16_t, std::uint16_t>> udp;  ///< host port, port on the uplink
};

}  // namespace

struct PortPublisher::State {
  State(boost::asio::io_context& io_, HostNetwork& host_) : io(io_), host(host_) {}
  boost::asio::io_context& io;
  HostNetwork& host;
  std::mutex mutex;
  std::condition_variable closed;
  int closing = 0;  ///< sockets on their way out; their ports are not free yet
  std::map<std::string, Published> owners;

  base::Result<> program(Published& published, std::vector<Reservation>& reservations,
                         const Target& target, std::vector<Relay::Options>& relays);
  base::Result<> withdraw(Published& published);
  /// Elements that this process has in the network's table.
  std::set<std::string> inner_elements(const std::string& uplink);
  static void stop(const std::shared_ptr<State>& self, Published& published);
};

namespace {

/// A port on the uplink for the mapping: the host's own number unless another host address serves something else under it.
/// `inside` holds the elements of the network's table that are in use, `outside` the host's.
base::Result<std::uint16_t> choose_uplink_port(const std::string& protocol, std::uint16_t wanted, const Uplink& uplink,
                                               const Entries& outside, const std::set<std::string>& inside) {
  std::set<std::string> used;
  for (const auto& [map, pairs] : outside)
    for (const auto& [key, value] : pairs)
      if (key.find(protocol) != std::string::npos) used.insert(value);
  const auto free = [&](std::uint16_t port) {
    return !inside.contains(element(protocol, port)) && !used.contains(endpoint_text(uplink.network.address(), port)) &&
           !(uplink.network6 && used.contains(endpoint_text(uplink.network6->address(), port)));
  };
  if (free(wanted)) return wanted;
  for (std::uint32_t port = 20000; port < 65536; ++port)
    if (free(static_cast<std::uint16_t>(port))) return static_cast<std::uint16_t>(port);
  return make_error(ErrorKind::exhausted, "no free port is left on the uplink");
}

void forget(const Entries& which, Entries& from) {
  for (const auto& [map, pairs] : which)
    for (const auto& [key, value] : pairs) from[map].erase(key);
}

}  // namespace

std::set<std::string> PortPublisher::State::inner_elements(const std::string& uplink) {
  const std::lock_guard guard(mutex);
  std::set<std::string> out;
  for (const auto& [owner, published] : owners)
    if (published.on->config.uplink == uplink)
      for (const auto& [map, pairs] : published.network)
        for (const auto& [key, value] : pairs) out.insert(key);
  return out;
}

/// Writes both tables. Needs no lock of ours; takes the host's.
base::Result<> PortPublisher::State::program(Published& published, std::vector<Reservation>& reservations, const Target& target,
                                             std::vector<Relay::Options>& relays) {
  const auto& uplink = *published.on->uplink;
  std::optional<Address> v4, v6;
  if (!target.ipv4.empty()) {
    ASSIGN_OR_RETURN(v4, Address::parse(target.ipv4));
  }
  if (!target.ipv6.empty() && uplink.network6) {
    ASSIGN_OR_RETURN(v6, Address::parse(target.ipv6));
  }
  if (!v4 && !v6) return make_error(ErrorKind::invalid, "a container without an address cannot publish ports");
  auto& shared = host.state();
  const std::lock_guard guard(shared.mutex);
  ASSIGN_OR_RETURN(const auto lock, HostLock::take());
  TRY(shared.ensure_rules_locked());
  ASSIGN_OR_RETURN(const auto* host_table, shared.view.table());
  std::set<std::string> inside = inner_elements(published.on->config.uplink);
  for (auto& reservation : reservations) {
    const auto& protocol = reservation.mapping.protocol;
    // Whatever the host's table says about a port we have bound is a leftover: it does not count as used.
    Entries others = host_table->maps;
    for (const auto& bound : reservation.bound) {
      const auto key = element(protocol, reservation.port);
      const bool any = bound.address.is_unspecified();
      const std::string map = std::string("ports") + (bound.address.is_v6() ? '6' : '4') + (any ? "" : "_at");
      others[map].erase(any ? key : bound.address.text() + " . " + key);
    }
    ASSIGN_OR_RETURN(const auto port, choose_uplink_port(protocol, reservation.port, uplink, others, inside));
    const auto inner = element(protocol, port);
    inside.insert(inner);
    if (v4) published.network["ports4"][inner] = endpoint_text(*v4, reservation.mapping.container_port);
    if (v6) published.network["ports6"][inner] = endpoint_text(*v6, reservation.mapping.container_port);
    if (protocol == "udp") published.udp.emplace_back(reservation.port, port);
    for (const auto& bound : reservation.bound) {
      const bool is6 = bound.address.is_v6();
      const auto& same = is6 ? v6 : v4;
      const auto key = element(protocol, reservation.port);
      const auto to4 = uplink.network.address();
      const bool any = bound.address.is_unspecified();
      if (same && !(is6 && bound.address.is_loopback())) {
        const std::string map = std::string("ports") + (is6 ? '6' : '4') + (any ? "" : "_at");
        published.host[map][any ? key : bound.address.text() + " . " + key] =
            endpoint_text(is6 ? uplink.network6->address() : to4, port);
      }
      const bool via6 = same ? is6 : !v4;
      relays.push_back({protocol == "udp", via6 ? uplink.network6->address() : to4, port});
    }
  }
  // Inside first: the host never points at a door that is not there.
  {
    const std::lock_guard inner_guard(published.on->mutex);
    auto& view = published.on->view;
    ASSIGN_OR_RETURN(const auto* inner_table, view.table());
    TRY(view.change(entry_changes(inner_table->maps, published.network)));
  }
  TRY(shared.view.change(entry_changes(host_table->maps, published.host)));
  for (const auto& [map, pairs] : published.host)
    for (const auto& [key, value] : pairs) shared.entries[map][key] = value;
  for (const auto& port : published.udp) {
    // Clients that kept sending while nothing was published have an untranslated flow. Not fatal: it ends by itself.
    const std::lock_guard inner_guard(published.on->mutex);
    for (const auto& done : {shared.view.socket().forget_udp_flows(port.first), published.on->view.socket().forget_udp_flows(port.second)})
      if (!done) base::log::debug("network", done.error().text());
  }
  return {};
}

base::Result<> PortPublisher::State::withdraw(Published& published) {
  base::Result<> first;
  const auto keep = [&first](base::Result<> result) {
    if (!result && result.error().kind != ErrorKind::not_found && first) first = std::move(result);
  };
  {
    auto& shared = host.state();
    const std::lock_guard guard(shared.mutex);
    forget(published.host, shared.entries);
    keep([&]() -> base::Result<> {
      ASSIGN_OR_RETURN(const auto lock, HostLock::take());
      ASSIGN_OR_RETURN(const auto* table, shared.view.table());
      return shared.view.change(entry_removals(table->maps, published.host));
    }());
    for (const auto& port : published.udp) keep(shared.view.socket().forget_udp_flows(port.first));
  }
  const std::lock_guard inner_guard(published.on->mutex);
  auto& inner = published.on->view;
  keep([&]() -> base::Result<> {
    ASSIGN_OR_RETURN(const auto* table, inner.table());
    return inner.change(entry_removals(table->maps, published.network));
  }());
  for (const auto& port : published.udp) keep(inner.socket().forget_udp_flows(port.second));
  return first;
}

void PortPublisher::State::stop(const std::shared_ptr<State>& self, Published& published) {
  {
    const std::lock_guard guard(self->mutex);
    self->closing += static_cast<int>(published.relays.size());
  }
  for (auto& relay : published.relays)
    relay->stop([self] {
      const std::lock_guard guard(self->mutex);
      --self->closing;
      self->closed.notify_all();
    });
  published.relays.clear();
}

PortPublisher::PortPublisher(std::shared_ptr<State> state) : state_(std::move(state)) {}

PortPublisher::~PortPublisher() {
  for (auto& [owner, published] : state_->owners) State::stop(state_, published);
}

base::Result<std::unique_ptr<PortPublisher>> PortPublisher::create(boost::asio::io_context& io, HostNetwork& host) {
  return std::unique_ptr<PortPublisher>(new PortPublisher(std::make_shared<State>(io, host)));
}

base::Result<std::vector<BoundPort>> PortPublisher::publish(const std::string& owner, Network& network,
                                                            const Target& target, std::span<const PortMapping> ports) {
  TRY(unpublish(owner));
  std::vector<BoundPort> out;
  if (ports.empty()) return out;
  if (!network.state()->uplink)
    return make_error(ErrorKind::unsupported, "ports cannot be published on network " + network.config().name + ": it is " +
                                                  (network.config().internal ? "internal" : network.config().driver));
  {
    // Sockets of what was just withdrawn close on the event loop; wait for their ports, but not for a loop that is gone.
    std::unique_lock guard(state_->mutex);
    state_->closed.wait_for(guard, std::chrono::seconds(2), [&] { return state_->closing == 0; });
  }
  std::vector<Reservation> reservations;
  for (const auto& mapping : ports) {
    ASSIGN_OR_RETURN(auto reservation, reserve(mapping, network.config()));
    reservations.push_back(std::move(reservation));
  }
  Published published;
  published.on = network.state();
  std::vector<Relay::Options> relays;
  if (auto done = state_->program(published, reservations, target, relays); !done) {
    (void)state_->withdraw(published).has_value();
    return std::move(done).with("publishing ports").error();
  }
  auto options = relays.begin();
  for (auto& reservation : reservations)
    for (auto& bound : reservation.bound) {
      out.push_back({reservation.mapping.protocol, bound.address.text(), reservation.port, reservation.mapping.container_port});
      published.relays.push_back(Relay::start(state_->io, std::move(bound.socket), *options++));
    }
  const std::lock_guard guard(state_->mutex);
  state_->owners[owner] = std::move(published);
  return out;
}

base::Result<> PortPublisher::unpublish(const std::string& owner) {
  Published published;
  {
    const std::lock_guard guard(state_->mutex);
    const auto found = state_->owners.find(owner);
    if (found == state_->owners.end()) return {};
    published = std::move(found->second);
    state_->owners.erase(found);
  }
  State::stop(state_, published);
  return state_->withdraw(published).with("withdrawing published ports");
}

}  // namespace network
