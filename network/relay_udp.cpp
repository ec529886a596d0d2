#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/sys.h"
#include "network/relay.h"
#include "network/relay_parts.h"

namespace network {

namespace asio = boost::asio;
using Descriptor = asio::posix::stream_descriptor;
using boost::system::error_code;

namespace {

constexpr auto wait_read = asio::posix::descriptor_base::wait_read;
constexpr std::size_t sessions_max = 1024;
constexpr auto idle_limit = std::chrono::seconds(60);  // between conntrack's 30 s (one way) and 120 s (both ways)
constexpr std::size_t datagram_bytes = 65536;

/// A datagram's sender and the local address it was sent to, which must be the answer's source.
struct Peer {
  SocketAddress address;
  std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))> control{};
  std::size_t control_size = 0;
  [[nodiscard]] std::string key() const {
    return std::string(reinterpret_cast<const char*>(&address.storage), address.size) +
           std::string(control.data(), control_size);
  }
};

long receive(int fd, std::vector<char>& buffer, Peer& peer) {
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_name = &peer.address.storage;
  message.msg_namelen = sizeof peer.address.storage;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = peer.control.data();
  message.msg_controllen = peer.control.size();
  const auto count = ::recvmsg(fd, &message, MSG_DONTWAIT);
  peer.address.size = message.msg_namelen;
  peer.control_size = count < 0 ? 0 : message.msg_controllen;
  for (auto* part_of = CMSG_FIRSTHDR(&message); count >= 0 && part_of; part_of = CMSG_NXTHDR(&message, part_of))
    if (part_of->cmsg_level == IPPROTO_IP && part_of->cmsg_type == IP_PKTINFO) {
      // ipi_spec_dst is what a reply may be sent from; the interface is left to routing (ip(7)).
      auto* info = reinterpret_cast<in_pktinfo*>(CMSG_DATA(part_of));
      info->ipi_ifindex = 0;
    }
  return count;
}

void send(int fd, const char* bytes, std::size_t size, Peer& peer) {
  iovec part{const_cast<char*>(bytes), size};
  msghdr message{};
  message.msg_name = &peer.address.storage;
  message.msg_namelen = peer.address.size;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = peer.control_size ? peer.control.data() : nullptr;
  message.msg_controllen = peer.control_size;
  (void)::sendmsg(fd, &message, MSG_DONTWAIT);  // datagrams may be lost
}

class UdpRelay : public Relay, public std::enable_shared_from_this<UdpRelay> {
 public:
  UdpRelay(asio::io_context& io, int socket, const Options& options)
      : io_(io), socket_(io, socket), sweep_(io), target_(socket_address(options.target, options.port)),
        buffer_(datagram_bytes) {
    const int on = 1;
    ::setsockopt(socket, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
    ::setsockopt(socket, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  }

  void listen() {
    socket_.async_wait(wait_read, [self = shared_from_this()](const error_code& error) {
      if (error || !self->socket_.is_open()) return;
      self->take_all();
      self->listen();
    });
  }

  void stop(std::function<void()> closed) override {
    asio::dispatch(io_, [self = shared_from_this(), closed = std::move(closed)] {
      error_code ignored;
      self->socket_.close(ignored);
      self->sweep_.cancel();
      for (auto& [key, session] : self->sessions_) session->socket.close(ignored);
      self->sessions_.clear();
      closed();
    });
  }

 private:
  struct Session {
    Session(asio::io_context& io, int fd) : socket(io, fd) {}
    Descriptor socket;
    Peer peer;
    std::chrono::steady_clock::time_point used;
  };

  void take_all() {
    while (true) {
      Peer peer;
      const auto count = receive(socket_.native_handle(), buffer_, peer);
      if (count < 0) return;
      auto session = session_for(peer);
      if (!session) continue;
      session->used = std::chrono::steady_clock::now();
      (void)::send(session->socket.native_handle(), buffer_.data(), static_cast<std::size_t>(count), MSG_DONTWAIT);
    }
  }

  std::shared_ptr<Session> session_for(const Peer& peer) {
    const auto key = peer.key();
    if (const auto found = sessions_.find(key); found != sessions_.end()) return found->second;
    if (sessions_.size() >= sessions_max) return nullptr;
    auto fd = base::sys::socket(target_.family(), SOCK_DGRAM | SOCK_NONBLOCK);
    if (!fd || ::connect(fd->number(), target_.get(), target_.size) != 0) return nullptr;
    auto session = std::make_shared<Session>(io_, fd->release());
    session->peer = peer;
    sessions_[key] = session;
    answer(session);
    if (sessions_.size() == 1) sweep();
    return session;
  }

  void answer(const std::shared_ptr<Session>& session) {
    session->socket.async_wait(wait_read, [self = shared_from_this(), session](const error_code& error) {
      if (error || !self->socket_.is_open()) return;
      while (true) {
        const auto count = ::recv(session->socket.native_handle(), self->buffer_.data(), self->buffer_.size(), MSG_DONTWAIT);
        if (count < 0) break;
        session->used = std::chrono::steady_clock::now();
        send(self->socket_.native_handle(), self->buffer_.data(), static_cast<std::size_t>(count), session->peer);
      }
      self->answer(session);
    });
  }

  void sweep() {
    sweep_.expires_after(idle_limit / 2);
    sweep_.async_wait([self = shared_from_this()](const error_code& error) {
      if (error) return;
      const auto now = std::chrono::steady_clock::now();
      std::erase_if(self->sessions_, [&](auto& entry) {
        if (now - entry.second->used < idle_limit) return false;
        error_code ignored;
        entry.second->socket.close(ignored);
        return true;
      });
      if (!self->sessions_.empty()) self->sweep();
    });
  }

  asio::io_context& io_;
  Descriptor socket_;
  asio::steady_timer sweep_;
  SocketAddress target_;
  std::vector<char> buffer_;
  std::map<std::string, std::shared_ptr<Session>> sessions_;
};

}  // namespace

std::shared_ptr<Relay> start_udp_relay(asio::io_context& io, base::UniqueFd socket, const Relay::Options& options) {
  auto relay = std::make_shared<UdpRelay>(io, socket.release(), options);
  asio::post(io, [relay] { relay->listen(); });
  return relay;
}

}  // namespace network
