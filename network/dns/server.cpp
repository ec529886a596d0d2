#include <netinet/in.h>

#include <map>
#include <mutex>

#include "base/sys.h"
#include "network/dns.h"
#include "network/dns/service.h"
#include "network/netns.h"
#include "network/nf_socket.h"

namespace network {

struct DnsServer::State {
  std::shared_ptr<dns::Shared> shared;
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<dns::Service>> services;
};

DnsServer::DnsServer(std::shared_ptr<State> state) : state_(std::move(state)) {}

DnsServer::~DnsServer() {
  for (auto& [id, service] : state_->services) service->stop();
}

base::Result<std::unique_ptr<DnsServer>> DnsServer::create(boost::asio::io_context& io) { return create(io, Options{}); }

base::Result<std::unique_ptr<DnsServer>> DnsServer::create(boost::asio::io_context& io, Options options) {
  auto state = std::make_shared<State>();
  state->shared = std::make_shared<dns::Shared>(io, std::move(options));
  return std::unique_ptr<DnsServer>(new DnsServer(std::move(state)));
}

namespace {

base::Result<base::UniqueFd> bind_local(int type, std::uint16_t& port) {
  ASSIGN_OR_RETURN(auto fd, base::sys::socket(AF_INET, type | SOCK_NONBLOCK));
  if (type == SOCK_DGRAM) {
    const int bytes = 1 << 20;  // a burst of a few thousand queries
    (void)::setsockopt(fd.number(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  }
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_addr.s_addr = htonl(0x7f00000b);  // 127.0.0.11
  socklen_t size = sizeof local;
  TRY(base::sys::wrap("bind 127.0.0.11", ::bind(fd.number(), reinterpret_cast<sockaddr*>(&local), size)));
  if (type == SOCK_STREAM) TRY(base::sys::wrap("listen on 127.0.0.11", ::listen(fd.number(), 128)));
  TRY(base::sys::wrap("getsockname", ::getsockname(fd.number(), reinterpret_cast<sockaddr*>(&local), &size)));
  port = ntohs(local.sin_port);
  return fd;
}

base::Result<> open_inside(dns::Sockets& sockets) {
  std::uint16_t udp_port = 0, tcp_port = 0;
  ASSIGN_OR_RETURN(sockets.udp, bind_local(SOCK_DGRAM, udp_port));
  ASSIGN_OR_RETURN(sockets.tcp, bind_local(SOCK_STREAM, tcp_port));
  ASSIGN_OR_RETURN(auto rules, NfSocket::open());
  return rules.redirect_dns(udp_port, tcp_port);
}

}  // namespace

base::Result<> DnsServer::serve(const std::string& id, base::Fd container, DnsClient client) {
  stop(id);
  dns::Sockets sockets;
  auto opened = in_netns(container, [&] { return open_inside(sockets); });
  if (!opened) return std::move(opened).with("starting the name server of " + id);
  ASSIGN_OR_RETURN(sockets.netns, base::sys::dup(container));
  auto service = dns::Service::start(state_->shared, std::move(sockets), std::move(client));
  const std::lock_guard guard(state_->mutex);
  state_->services[id] = std::move(service);
  return {};
}

void DnsServer::update(const std::string& id, DnsClient client) {
  const std::lock_guard guard(state_->mutex);
  if (const auto found = state_->services.find(id); found != state_->services.end()) found->second->update(std::move(client));
}

void DnsServer::stop(const std::string& id) {
  std::shared_ptr<dns::Service> service;
  {
    const std::lock_guard guard(state_->mutex);
    const auto found = state_->services.find(id);
    if (found == state_->services.end()) return;
    service = std::move(found->second);
    state_->services.erase(found);
  }
  service->stop();
}

}  // namespace network
