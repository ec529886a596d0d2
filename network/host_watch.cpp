// Notices changes to the host's firewall, links and routes.
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/log.h"
#include "base/sys.h"
#include "network/host_state.h"

namespace network {

namespace asio = boost::asio;

namespace {
base::Result<base::UniqueFd> subscribe(int protocol, std::initializer_list<int> groups) {
  ASSIGN_OR_RETURN(auto fd, base::sys::socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, protocol));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  TRY(base::sys::wrap("bind netlink", ::bind(fd.number(), reinterpret_cast<sockaddr*>(&address), sizeof address)));
  for (const int group : groups)
    TRY(base::sys::wrap("join netlink group",
                        ::setsockopt(fd.number(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group)));
  return fd;
}
}  // namespace

struct HostNetwork::State::Watch : std::enable_shared_from_this<Watch> {
  Watch(asio::io_context& io, HostNetwork& host_, int firewall_fd, int routes_fd)
      : host(&host_), firewall(io, firewall_fd), routes(io, routes_fd), timer(io) {}

  std::mutex mutex;
  HostNetwork* host;  ///< null once it is gone
  asio::posix::stream_descriptor firewall, routes;
  asio::steady_timer timer;
  bool pending = false;

  void listen(asio::posix::stream_descriptor& source) {
    source.async_wait(asio::posix::descriptor_base::wait_read,
                      [self = shared_from_this(), &source](const boost::system::error_code& error) {
                        if (error) return;
                        self->drain(source);
                        self->schedule();
                        self->listen(source);
                      });
  }
  /// What changed does not matter: the whole state is compared. An overrun (ENOBUFS) is a change too.
  void drain(asio::posix::stream_descriptor& source) {
    std::array<char, 16384> buffer;
    while (::recv(source.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT) > 0 || errno == ENOBUFS) {
    }
  }
  /// Changes come in bursts (a firewall reload is hundreds of messages); one look serves them all.
  void schedule() {
    if (pending) return;
    pending = true;
    timer.expires_after(std::chrono::milliseconds(200));
    timer.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      self->pending = false;
      if (error) return;
      const std::lock_guard guard(self->mutex);
      if (!self->host) return;
      if (auto done = self->host->ensure(); !done)
        base::log::warning("network", "restoring the host's rules: " + done.error().text());
    });
  }
};

HostNetwork::State::~State() = default;

base::Result<> HostNetwork::watch(asio::io_context& io) {
  stop_watching();
  ASSIGN_OR_RETURN(auto firewall, subscribe(NETLINK_NETFILTER, {NFNLGRP_NFTABLES}));
  ASSIGN_OR_RETURN(auto routes, subscribe(NETLINK_ROUTE, {RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
                                                          RTNLGRP_IPV4_NETCONF}));
  auto watch = std::make_shared<State::Watch>(io, *this, firewall.release(), routes.release());
  const std::lock_guard guard(state_->mutex);
  state_->watch = watch;
  // Descriptors of Asio belong to the thread that runs `io`.
  asio::post(io, [watch] {
    watch->listen(watch->firewall);
    watch->listen(watch->routes);
  });
  return {};
}

void HostNetwork::stop_watching() {
  std::shared_ptr<State::Watch> watch;
  {
    const std::lock_guard guard(state_->mutex);
    watch = std::move(state_->watch);
  }
  if (!watch) return;
  {
    const std::lock_guard guard(watch->mutex);
    watch->host = nullptr;
  }
  asio::post(watch->timer.get_executor(), [watch] {
    boost::system::error_code ignored;
    watch->firewall.close(ignored);
    watch->routes.close(ignored);
    watch->timer.cancel();
  });
}

HostNetwork::~HostNetwork() { stop_watching(); }

}  // namespace network
