#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>

#include "base/log.h"
#include "base/sys.h"
#include "network/relay.h"
#include "network/relay_parts.h"

namespace network {

namespace asio = boost::asio;
using Descriptor = asio::posix::stream_descriptor;
using boost::system::error_code;

namespace {

constexpr std::size_t chunk_bytes = 64 * 1024;  // what a pipe holds by default: pipe(7)
constexpr auto wait_read = asio::posix::descriptor_base::wait_read;
constexpr auto wait_write = asio::posix::descriptor_base::wait_write;

/// Two sockets and a pipe for each direction. Keeps itself alive by its handlers.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(asio::io_context& io, int client, int server) : client_(io, client), server_(io, server) {}

  base::Result<> open_pipes() {
    for (auto* flow : {&up_, &down_}) {
      ASSIGN_OR_RETURN(auto ends, base::sys::pipe(O_NONBLOCK));
      flow->out = std::move(ends.first);
      flow->in = std::move(ends.second);
    }
    return {};
  }

  void connected() {
    server_.async_wait(wait_write, [self = shared_from_this()](const error_code& error) {
      int problem = 0;
      socklen_t size = sizeof problem;
      ::getsockopt(self->server_.native_handle(), SOL_SOCKET, SO_ERROR, &problem, &size);
      if (error || problem != 0) return self->close();
      self->pump(self->up_, self->client_, self->server_);
      self->pump(self->down_, self->server_, self->client_);
    });
  }

  void close() {
    error_code ignored;
    client_.close(ignored);
    server_.close(ignored);
  }

 private:
  struct Flow {
    base::UniqueFd in, out;
    std::size_t held = 0;  ///< bytes in the pipe
    bool ended = false;
  };

  /// Moves what can be moved, then waits for the side that is in the way.
  void pump(Flow& flow, Descriptor& from, Descriptor& to) {
    while (client_.is_open()) {
      if (flow.held == 0) {
        const auto count = ::splice(from.native_handle(), nullptr, flow.in.number(), nullptr, chunk_bytes,
                                    SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && errno == EAGAIN) return wait(flow, from, to, from, wait_read);
        if (count < 0) return close();
        if (count == 0) return end(flow, to);
        flow.held = static_cast<std::size_t>(count);
      }
      const auto count = ::splice(flow.out.number(), nullptr, to.native_handle(), nullptr, flow.held,
                                  SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EAGAIN) return wait(flow, from, to, to, wait_write);
      if (count <= 0) return close();
      flow.held -= static_cast<std::size_t>(count);
    }
  }

  void wait(Flow& flow, Descriptor& from, Descriptor& to, Descriptor& on, Descriptor::wait_type what) {
    on.async_wait(what, [self = shared_from_this(), &flow, &from, &to](const error_code& error) {
      if (!error) self->pump(flow, from, to);
    });
  }

  void end(Flow& flow, Descriptor& to) {
    flow.ended = true;
    ::shutdown(to.native_handle(), SHUT_WR);
    if (up_.ended && down_.ended) close();
  }

  Descriptor client_, server_;
  Flow up_, down_;
};

class TcpRelay : public Relay, public std::enable_shared_from_this<TcpRelay> {
 public:
  TcpRelay(asio::io_context& io, int socket, const Options& options)
      : io_(io), listener_(io, socket), retry_(io), target_(socket_address(options.target, options.port)) {}

  void accept() {
    listener_.async_wait(wait_read, [self = shared_from_this()](const error_code& error) {
      if (error || !self->listener_.is_open()) return;
      if (self->take_all()) return self->accept();
      // Out of descriptors: the backlog keeps callers; look again instead of spinning.
      self->retry_.expires_after(std::chrono::milliseconds(100));
      self->retry_.async_wait([self](const error_code& stopped) {
        if (!stopped) self->accept();
      });
    });
  }

  void stop(std::function<void()> closed) override {
    asio::dispatch(io_, [self = shared_from_this(), closed = std::move(closed)] {
      error_code ignored;
      self->listener_.close(ignored);
      self->retry_.cancel();
      for (auto& weak : self->connections_)
        if (auto connection = weak.lock()) connection->close();
      self->connections_.clear();
      closed();
    });
  }

 private:
  bool take_all() {
    while (true) {
      base::UniqueFd client(::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!client.valid()) return errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS;
      if (auto done = forward(std::move(client)); !done)
        base::log::debug("network", "relay: " + done.error().text());
    }
  }

  base::Result<> forward(base::UniqueFd client) {
    ASSIGN_OR_RETURN(auto server, base::sys::socket(target_.family(), SOCK_STREAM | SOCK_NONBLOCK));
    const int on = 1;
    for (const int fd : {client.number(), server.number()})
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::connect(server.number(), target_.get(), target_.size) != 0 && errno != EINPROGRESS)
      return base::errno_error(errno, "connect");
    auto connection = std::make_shared<Connection>(io_, client.number(), server.number());
    (void)client.release();
    (void)server.release();
    TRY(connection->open_pipes());
    std::erase_if(connections_, [](const auto& weak) { return weak.expired(); });
    connections_.push_back(connection);
    connection->connected();
    return {};
  }

  asio::io_context& io_;
  Descriptor listener_;
  asio::steady_timer retry_;
  SocketAddress target_;
  std::vector<std::weak_ptr<Connection>> connections_;
};

}  // namespace

SocketAddress socket_address(const Address& address, std::uint16_t port) {
  SocketAddress out;
  if (address.is_v6()) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    std::memcpy(&v6->sin6_addr, address.bytes().data(), 16);
    out.size = sizeof *v6;
  } else {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    std::memcpy(&v4->sin_addr, address.bytes().data(), 4);
    out.size = sizeof *v4;
  }
  return out;
}

std::shared_ptr<Relay> Relay::start(asio::io_context& io, base::UniqueFd socket, const Options& options) {
  if (options.udp) return start_udp_relay(io, std::move(socket), options);
  auto relay = std::make_shared<TcpRelay>(io, socket.release(), options);
  asio::post(io, [relay] { relay->accept(); });
  return relay;
}

}  // namespace network
