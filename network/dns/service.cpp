#include "network/dns/service.h"

#include <netinet/in.h>
#include <sys/stat.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include "base/sys.h"
#include "network/netns.h"

namespace network::dns {

namespace asio = boost::asio;
using boost::system::error_code;
using Descriptor = asio::posix::stream_descriptor;

const std::vector<SocketAddress>& Shared::host_upstreams() {
  const auto now = std::chrono::steady_clock::now();
  if (looked_ != std::chrono::steady_clock::time_point{} && now - looked_ < std::chrono::seconds(1)) return upstreams_;
  looked_ = now;
  constexpr std::size_t limit_bytes = 64 * 1024;
  // While a manager replaces the file it may be missing: the old servers are the better guess then.
  if (auto text = base::sys::read_file(options.resolv_conf, limit_bytes); text && *text != text_) {
    text_ = *std::move(text);
    upstreams_ = upstream_addresses(nameservers(text_));
  }
  return upstreams_;
}

namespace {

constexpr unsigned batch = 64;
constexpr std::size_t datagram_bytes = 4096;  // larger queries do not exist in practice; they count as malformed
constexpr std::size_t tcp_sessions_max = 128;
constexpr auto tcp_idle_limit = std::chrono::seconds(10);

/// Buffers of one recvmmsg/sendmmsg round. The loop has one thread, so all services share one.
struct Batch {
  std::array<std::array<char, datagram_bytes>, batch> bytes;
  std::array<sockaddr_storage, batch> peers;
  std::array<iovec, batch> parts, out_parts;
  std::array<mmsghdr, batch> in, out;
  std::array<std::string, batch> answers;
};
Batch& scratch() {
  static thread_local auto buffers = std::make_unique<Batch>();
  return *buffers;
}

class ServiceImpl;

/// A client's TCP connection: queries one after the other (RFC 7766 allows more, asks for no more).
class TcpSession : public std::enable_shared_from_this<TcpSession> {
 public:
  TcpSession(asio::io_context& io, int fd, std::weak_ptr<ServiceImpl> service)
      : socket_(io, fd), timer_(io), service_(std::move(service)) {}
  void read();
  void reply(std::string message);
  void close() {
    error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
  }

 private:
  void body();
  Descriptor socket_;
  asio::steady_timer timer_;
  std::weak_ptr<ServiceImpl> service_;
  std::array<std::uint8_t, 2> length_{};
  std::string in_, out_;
};

class ServiceImpl : public Service, public std::enable_shared_from_this<ServiceImpl> {
 public:
  ServiceImpl(std::shared_ptr<Shared> shared, Sockets sockets, DnsClient client)
      : shared_(std::move(shared)), udp_(shared_->io, sockets.udp.release()), tcp_(shared_->io, sockets.tcp.release()),
        netns_(std::make_shared<base::UniqueFd>(std::move(sockets.netns))) {
    set(std::move(client));
  }

  void update(DnsClient client) override { set(std::move(client)); }

  void stop() override {
    asio::dispatch(shared_->io, [self = shared_from_this()] {
      error_code ignored;
      self->udp_.close(ignored);
      self->tcp_.close(ignored);
      for (auto& weak : self->sessions_)
        if (auto session = weak.lock()) session->close();
    });
  }

  void listen_udp() {
    udp_.async_wait(Descriptor::wait_read, [self = shared_from_this()](const error_code& error) {
      if (error || !self->udp_.is_open()) return;
      // A few rounds, then others' turn.
      for (int round = 0; round < 4 && self->serve_batch(); ++round) {
      }
      self->listen_udp();
    });
  }

  void listen_tcp() {
    tcp_.async_wait(Descriptor::wait_read, [self = shared_from_this()](const error_code& error) {
      if (error || !self->tcp_.is_open()) return;
      const int fd = ::accept4(self->tcp_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd >= 0) self->adopt(base::UniqueFd(fd));
      self->listen_tcp();
    });
  }

  /// Answers at once (returned) or later through `late`. "" = no answer at all.
  template <class Late>
  std::string handle(std::string_view message, const Tables& tables, bool tcp, Late&& late) {
    const auto query = parse_query(message);
    if (!query) return message.size() >= header_bytes ? format_error(message) : std::string();
    const auto limit = tcp ? std::size_t{65535} : query->udp_bytes;
    if (const auto answer = decide(*query, tables, shared_->random)) return build_response(*query, *answer, limit);
    auto exchange = exchange_for(*client(), tcp);
    if (exchange.upstreams.empty() || shared_->forwards >= shared_->options.forwards_max)
      return build_response(*query, {.code = Code::server_failure}, limit);
    exchange.message = message;
    exchange.question = query->question;
    ++shared_->forwards;
    exchange.done = [shared = shared_, late = std::forward<Late>(late),
                     copy = exchange.message](std::optional<std::string> response) mutable {
      --shared->forwards;
      if (response) return late(std::move(*response));
      if (const auto again = parse_query(copy)) late(build_response(*again, {.code = Code::server_failure}, edns_udp_bytes));
    };
    forward(shared_->io, std::move(exchange));
    return {};
  }

  [[nodiscard]] Tables tables() const {
    Tables out;
    for (const auto& zone : client()->zones) out.push_back(zone->table());
    return out;
  }

 private:
  [[nodiscard]] std::shared_ptr<const DnsClient> client() const {
    const std::lock_guard guard(mutex_);
    return client_;
  }
  void set(DnsClient client) {
    auto next = std::make_shared<const DnsClient>(std::move(client));
    const std::lock_guard guard(mutex_);
    client_ = std::move(next);
  }

  Exchange exchange_for(const DnsClient& client, bool tcp) {
    Exchange out;
    out.tcp = tcp;
    if (!client.forward) return out;
    if (client.upstreams.empty()) {
      out.upstreams = shared_->host_upstreams();
      out.open = [](int family, int type) { return base::sys::socket(family, type); };
      return out;
    }
    // The container's own servers may be its neighbours: ask from where it is.
    out.upstreams = upstream_addresses(client.upstreams);
    out.open = [netns = netns_](int family, int type) {
      base::Result<base::UniqueFd> fd = base::make_error(base::ErrorKind::internal, "not opened");
      auto entered = in_netns(netns->borrow(), [&]() -> base::Result<> {
        fd = base::sys::socket(family, type);
        return {};
      });
      if (!entered) fd = std::move(entered).error();
      return fd;
    };
    return out;
  }

  /// Sends a forwarded answer to the peer in `header`.
  auto later(const msghdr& header) {
    SocketAddress peer;
    std::memcpy(&peer.storage, header.msg_name, header.msg_namelen);
    peer.size = header.msg_namelen;
    return [weak = weak_from_this(), peer](std::string response) {
      const auto self = weak.lock();
      if (!self || !self->udp_.is_open()) return;
      (void)::sendto(self->udp_.native_handle(), response.data(), response.size(), MSG_DONTWAIT, peer.get(), peer.size);
    };
  }

  /// One recvmmsg, its answers in one sendmmsg. True when there may be more to read.
  bool serve_batch() {
    auto& buffers = scratch();
    for (unsigned i = 0; i < batch; ++i) {
      buffers.parts[i] = {buffers.bytes[i].data(), datagram_bytes};
      buffers.in[i].msg_hdr = {};
      buffers.in[i].msg_hdr.msg_name = &buffers.peers[i];
      buffers.in[i].msg_hdr.msg_namelen = sizeof buffers.peers[i];
      buffers.in[i].msg_hdr.msg_iov = &buffers.parts[i];
      buffers.in[i].msg_hdr.msg_iovlen = 1;
    }
    const int count = ::recvmmsg(udp_.native_handle(), buffers.in.data(), batch, MSG_DONTWAIT, nullptr);
    if (count <= 0) return false;
    const auto names = tables();
    unsigned answers = 0;
    for (unsigned i = 0; i < static_cast<unsigned>(count); ++i) {
      const auto& header = buffers.in[i].msg_hdr;
      if (header.msg_flags & MSG_TRUNC) continue;
      auto reply = handle({buffers.bytes[i].data(), buffers.in[i].msg_len}, names, false, later(header));
      if (reply.empty()) continue;
      buffers.answers[answers] = std::move(reply);
      buffers.out_parts[answers] = {buffers.answers[answers].data(), buffers.answers[answers].size()};
      buffers.out[answers].msg_hdr = {};
      buffers.out[answers].msg_hdr.msg_name = header.msg_name;
      buffers.out[answers].msg_hdr.msg_namelen = header.msg_namelen;
      buffers.out[answers].msg_hdr.msg_iov = &buffers.out_parts[answers];
      buffers.out[answers].msg_hdr.msg_iovlen = 1;
      ++answers;
    }
    // What does not fit the socket buffer is lost, as UDP may be; clients ask again.
    if (answers) (void)::sendmmsg(udp_.native_handle(), buffers.out.data(), answers, MSG_DONTWAIT);
    return static_cast<unsigned>(count) == batch;
  }

  void adopt(base::UniqueFd fd) {
    std::erase_if(sessions_, [](const auto& weak) { return weak.expired(); });
    if (sessions_.size() >= tcp_sessions_max) return;  // closes it
    auto session = std::make_shared<TcpSession>(shared_->io, fd.release(), weak_from_this());
    sessions_.push_back(session);
    session->read();
  }

  std::shared_ptr<Shared> shared_;
  Descriptor udp_, tcp_;
  std::shared_ptr<base::UniqueFd> netns_;
  mutable std::mutex mutex_;
  std::shared_ptr<const DnsClient> client_;
  std::vector<std::weak_ptr<TcpSession>> sessions_;
};

void TcpSession::read() {
  timer_.expires_after(tcp_idle_limit);
  timer_.async_wait([weak = weak_from_this()](const error_code& error) {
    if (const auto self = weak.lock(); self && !error) self->close();
  });
  asio::async_read(socket_, asio::buffer(length_), [self = shared_from_this()](const error_code& error, std::size_t) {
    if (error) return self->close();
    self->in_.resize(static_cast<std::size_t>(self->length_[0]) << 8 | self->length_[1]);
    self->body();
  });
}

void TcpSession::body() {
  asio::async_read(socket_, asio::buffer(in_), [self = shared_from_this()](const error_code& error, std::size_t) {
    const auto service = self->service_.lock();
    if (error || !service || self->in_.size() < header_bytes) return self->close();
    auto now = service->handle(self->in_, service->tables(), true, [self](std::string late) { self->reply(std::move(late)); });
    if (!now.empty()) self->reply(std::move(now));
  });
}

void TcpSession::reply(std::string message) {
  if (!socket_.is_open()) return;
  out_ = std::string{static_cast<char>(message.size() >> 8), static_cast<char>(message.size())} + message;
  asio::async_write(socket_, asio::buffer(out_), [self = shared_from_this()](const error_code& error, std::size_t) {
    if (error) return self->close();
    self->read();
  });
}

}  // namespace

std::shared_ptr<Service> Service::start(std::shared_ptr<Shared> shared, Sockets sockets, DnsClient client) {
  auto& io = shared->io;
  auto service = std::make_shared<ServiceImpl>(std::move(shared), std::move(sockets), std::move(client));
  asio::post(io, [service] {
    service->listen_udp();
    service->listen_tcp();
  });
  return service;
}

}  // namespace network::dns
