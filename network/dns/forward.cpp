#include "network/dns/forward.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/random.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>

#include "base/sys.h"
#include "network/dns/message.h"

namespace network::dns {

namespace asio = boost::asio;
using boost::system::error_code;
using Descriptor = asio::posix::stream_descriptor;

namespace {

constexpr auto try_limit = std::chrono::milliseconds(1500);
constexpr std::size_t tries_max = 3;

std::uint16_t random_id() {
  std::uint16_t out = 0;
  (void)!::getrandom(&out, sizeof out, 0);
  return out;
}

class Pending : public std::enable_shared_from_this<Pending> {
 public:
  Pending(asio::io_context& io, Exchange exchange) : socket_(io), timer_(io), exchange_(std::move(exchange)) {}

  void next() {
    error_code ignored;
    socket_.close(ignored);
    const auto tries = std::max(tries_max, exchange_.upstreams.size());
    if (exchange_.upstreams.empty() || attempt_ >= tries || std::chrono::steady_clock::now() >= deadline_) return finish();
    const auto& server = exchange_.upstreams[attempt_++ % exchange_.upstreams.size()];
    const auto number = attempt_;
    timer_.expires_after(try_limit);
    timer_.async_wait([self = shared_from_this(), number](const error_code& error) {
      if (!error && number == self->attempt_ && !self->finished_) self->next();
    });
    auto fd = exchange_.open(server.family(), (exchange_.tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK);
    if (!fd) return finish();
    if (::connect(fd->number(), server.get(), server.size) != 0 && errno != EINPROGRESS) return next();
    socket_.assign(fd->release(), ignored);
    client_id_ = message_id(exchange_.message);
    id_ = random_id();
    set_message_id(exchange_.message, id_);
    if (exchange_.tcp) {
      ask_by_tcp();
    } else {
      ask_by_udp();
    }
    set_message_id(exchange_.message, client_id_);
  }

 private:
  void finish() {
    if (finished_) return;
    finished_ = true;
    error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
    exchange_.done(std::move(best_));
  }

  /// Whether the answer ends the exchange. Of refusals the last is kept, in case nobody knows better.
  void take(std::string response) {
    const auto code = response_code(response);
    set_message_id(response, client_id_);
    best_ = std::move(response);
    const bool refusal = code == Code::server_failure || code == Code::refused || code == Code::not_implemented;
    if (refusal && attempt_ < exchange_.upstreams.size()) return next();
    finish();
  }

  bool matches(std::string_view response) const {
    return response.size() >= header_bytes && message_id(response) == id_ &&
           answers_question(response, exchange_.question);
  }

  void ask_by_udp() {
    if (::send(socket_.native_handle(), exchange_.message.data(), exchange_.message.size(), MSG_DONTWAIT) < 0)
      return next();
    wait_udp();
  }

  void wait_udp() {
    socket_.async_wait(Descriptor::wait_read, [self = shared_from_this(), number = attempt_](const error_code& error) {
      if (error || self->finished_ || number != self->attempt_) return;
      std::array<char, 65535> buffer;
      while (true) {
        const auto count = ::recv(self->socket_.native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (count < 0 && errno == EAGAIN) return self->wait_udp();
        if (count < 0) return self->next();  // ECONNREFUSED: no server there
        const std::string_view response(buffer.data(), static_cast<std::size_t>(count));
        if (self->matches(response)) return self->take(std::string(response));
      }
    });
  }

  void ask_by_tcp() {
    const auto size = exchange_.message.size();
    out_ = std::string{static_cast<char>(size >> 8), static_cast<char>(size)} + exchange_.message;
    const auto guard = [self = shared_from_this(), number = attempt_](const error_code& error) {
      if (self->finished_ || number != self->attempt_) return false;
      if (error) self->next();
      return !error;
    };
    socket_.async_wait(Descriptor::wait_write, [self = shared_from_this(), guard](const error_code& ready) {
      if (!guard(ready)) return;
      asio::async_write(self->socket_, asio::buffer(self->out_), [self, guard](const error_code& written, std::size_t) {
        if (!guard(written)) return;
        asio::async_read(self->socket_, asio::buffer(self->length_), [self, guard](const error_code& read, std::size_t) {
          if (guard(read)) self->read_tcp_body(guard);
        });
      });
    });
  }

  template <class Guard>
  void read_tcp_body(const Guard& guard) {
    in_.resize(static_cast<std::size_t>(length_[0]) << 8 | length_[1]);
    asio::async_read(socket_, asio::buffer(in_), [self = shared_from_this(), guard](const error_code& error, std::size_t) {
      if (!guard(error)) return;
      if (!self->matches(self->in_)) return self->next();
      self->take(std::move(self->in_));
    });
  }

  Descriptor socket_;
  asio::steady_timer timer_;
  Exchange exchange_;
  const std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::now() + tries_max * try_limit;
  std::size_t attempt_ = 0;
  std::uint16_t client_id_ = 0, id_ = 0;
  bool finished_ = false;
  std::optional<std::string> best_;
  std::string out_, in_;
  std::array<std::uint8_t, 2> length_{};
};

}  // namespace

void forward(asio::io_context& io, Exchange exchange) {
  std::make_shared<Pending>(io, std::move(exchange))->next();
}

std::vector<SocketAddress> upstream_addresses(const std::vector<std::string>& texts) {
  constexpr std::uint16_t dns_port = 53;
  std::vector<SocketAddress> out;
  for (const auto& text : texts) {
    const auto percent = text.find('%');
    auto address = Address::parse(text.substr(0, percent));
    if (!address) continue;
    auto socket = socket_address(*address, dns_port);
    if (percent != std::string::npos && address->is_v6())
      reinterpret_cast<sockaddr_in6*>(&socket.storage)->sin6_scope_id = ::if_nametoindex(text.substr(percent + 1).c_str());
    out.push_back(socket);
  }
  return out;
}

}  // namespace network::dns
