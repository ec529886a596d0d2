#include "tests/kernel/network/lab.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "base/sys.h"
#include "network/allocate.h"
#include "network/netlink.h"
#include "network/host_state.h"

namespace lab {

namespace {

base::Result<> configure(network::netlink::Socket& socket, const std::string& name, const std::string& v4,
                         const std::string& v6) {
  ASSIGN_OR_RETURN(const auto link, socket.link(name));
  (void)network::write_sysctl("net/ipv6/conf/" + name + "/accept_dad", "0").has_value();
  (void)network::write_sysctl("net/ipv6/conf/" + name + "/disable_ipv6", "0").has_value();
  network::netlink::Batch batch;
  ASSIGN_OR_RETURN(const auto first, network::Prefix::parse(v4));
  ASSIGN_OR_RETURN(const auto second, network::Prefix::parse(v6));
  batch.add_address(link.index, first);
  batch.add_address(link.index, second);
  batch.set_up(link.index);
  return socket.run(batch);
}

base::Result<> build(Lab& lab) {
  ASSIGN_OR_RETURN(lab.client, network::make_netns());
  ASSIGN_OR_RETURN(auto socket, network::netlink::Socket::open());
  network::netlink::Batch batch;
  batch.add_veth({.name = "eth0", .index = 100, .mtu = 1400, .peer_name = "eth0", .peer_netns = lab.client.borrow()});
  batch.set_up(1);
  TRY(socket.run(batch));
  TRY(configure(socket, "eth0", "192.0.2.2/24", "2001:db8::2/64"));
  ASSIGN_OR_RETURN(auto inner, network::netlink::Socket::open(lab.client.borrow()));
  auto done = network::in_netns(lab.client.borrow(),
                                [&] { return configure(inner, "eth0", "192.0.2.1/24", "2001:db8::1/64"); });
  TRY(std::move(done));
  network::netlink::Batch routes;
  ASSIGN_OR_RETURN(const auto gateway4, network::Address::parse("192.0.2.1"));
  ASSIGN_OR_RETURN(const auto gateway6, network::Address::parse("2001:db8::1"));
  routes.add_route({.gateway = gateway4});
  routes.add_route({.v6 = true, .gateway = gateway6});
  TRY(socket.run(routes));
  TRY(socket.settle("eth0"));
  TRY(inner.settle("eth0"));
  ASSIGN_OR_RETURN(lab.host, network::HostNetwork::open());
  return {};
}

struct Endpoint {
  sockaddr_storage storage{};
  socklen_t size = 0;
  int family = AF_INET;
};
Endpoint to_socket(const std::string& address, std::uint16_t port) {
  Endpoint out;
  if (address.find(':') == std::string::npos) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    (void)::inet_pton(AF_INET, address.c_str(), &v4->sin_addr);
    out.size = sizeof *v4;
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    (void)::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr);
    out.size = sizeof *v6;
    out.family = AF_INET6;
  }
  return out;
}
std::string text_of(const sockaddr_storage& storage) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (storage.ss_family == AF_INET)
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr, text.data(), text.size());
  else
    ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr, text.data(), text.size());
  return text.data();
}

std::string talk(const std::string& address, std::uint16_t port, bool udp) {
  const auto target = to_socket(address, port);
  const base::UniqueFd fd(
      ::socket(target.family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (::connect(fd.number(), reinterpret_cast<const sockaddr*>(&target.storage), target.size) != 0 && errno != EINPROGRESS)
    return std::string("failed: ") + std::strerror(errno);
  pollfd wait{fd.number(), POLLOUT, 0};
  if (::poll(&wait, 1, 1000) != 1) return "failed: timeout";
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd.number(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) return std::string("failed: ") + std::strerror(error);
  if (udp && ::send(fd.number(), "?", 1, 0) != 1) return std::string("failed: ") + std::strerror(errno);
  wait.events = POLLIN;
  if (::poll(&wait, 1, 1000) != 1) return "failed: timeout";
  std::array<char, 128> buffer{};
  const auto count = ::recv(fd.number(), buffer.data(), buffer.size(), 0);
  if (count < 0) return std::string("failed: ") + std::strerror(errno);
  return "seen as " + std::string(buffer.data(), static_cast<std::size_t>(count));
}

}  // namespace

Lab::~Lab() {
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path(), failed))
    (void)::umount2((entry.path() / "netns").c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

base::Result<std::unique_ptr<Lab>> Lab::make() {
  auto lab = std::make_unique<Lab>();
  TRY(build(*lab));
  return lab;
}

namespace {
std::string printed(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen(command.c_str(), "r");
  std::array<char, 4096> buffer;
  while (const auto count = std::fread(buffer.data(), 1, buffer.size(), pipe)) out.append(buffer.data(), count);
  ::pclose(pipe);
  return out;
}
}  // namespace

std::string nft(const std::string& commands) { return printed("nft -f - 2>&1 <<'COMMANDS'\n" + commands + "\nCOMMANDS\n"); }
std::string shell(const std::string& command) { return printed(command + " 2>&1"); }

struct Server::State {
  base::UniqueFd socket, stop_read, stop_write;
  std::thread thread;
  bool udp = false;
  void serve() const {
    std::array<pollfd, 2> wait{pollfd{socket.number(), POLLIN, 0}, pollfd{stop_read.number(), POLLIN, 0}};
    while (::poll(wait.data(), 2, -1) > 0 && !wait[1].revents) {
      sockaddr_storage peer{};
      socklen_t size = sizeof peer;
      if (udp) {
        char byte;
        if (::recvfrom(socket.number(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&peer), &size) < 0) continue;
        const auto text = text_of(peer);
        (void)!::sendto(socket.number(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&peer), size);
      } else {
        const base::UniqueFd client(::accept4(socket.number(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC));
        const auto text = text_of(peer);
        if (client.valid()) (void)!::send(client.number(), text.data(), text.size(), MSG_NOSIGNAL);
      }
    }
  }
};

Server::Server(base::Fd netns, const std::string& address, std::uint16_t port, bool udp)
    : state_(std::make_unique<State>()) {
  state_->udp = udp;
  auto opened = network::in_netns(netns, [&]() -> base::Result<> {
    const auto local = to_socket(address, port);
    ASSIGN_OR_RETURN(state_->socket, base::sys::socket(local.family, udp ? SOCK_DGRAM : SOCK_STREAM));
    const int on = 1;
    ::setsockopt(state_->socket.number(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    TRY(base::sys::wrap("bind", ::bind(state_->socket.number(), reinterpret_cast<const sockaddr*>(&local.storage), local.size)));
    if (!udp) TRY(base::sys::wrap("listen", ::listen(state_->socket.number(), 64)));
    return {};
  });
  auto ends = base::sys::pipe();
  if (!opened || !ends) return;
  state_->stop_read = std::move(ends->first);
  state_->stop_write = std::move(ends->second);
  state_->thread = std::thread([this] { state_->serve(); });
  ok = true;
}

Server::~Server() {
  state_->stop_write.reset();
  if (state_->thread.joinable()) state_->thread.join();
}

std::string ask(base::Fd netns, const std::string& address, std::uint16_t port, bool udp) {
  if (!netns.valid()) return talk(address, port, udp);
  std::string out;
  auto done = network::in_netns(netns, [&]() -> base::Result<> {
    out = talk(address, port, udp);
    return {};
  });
  return done ? out : done.error().text();
}

network::NetworkConfig config(int number) {
  network::NetworkConfig out;
  out.name = "net" + std::to_string(number);
  const auto prefix = "172.30." + std::to_string(number);
  out.subnets.push_back({.subnet = prefix + ".0/24", .gateway = prefix + ".1"});
  out.uplink = "169.254." + std::to_string(number) + ".0/31";
  return out;
}

network::EndpointConfig endpoint(int number, int host) {
  const auto prefix = "172.30." + std::to_string(number) + ".";
  network::EndpointConfig out;
  out.id = "container" + std::to_string(host);
  out.ipv4 = prefix + std::to_string(host) + "/24";
  out.gateway4 = prefix + "1";
  return out;
}

}  // namespace lab
