#pragma once
// Shared by the relays and the name server. Internal to the room.
#include <sys/socket.h>

#include "network/relay.h"

namespace network {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] int family() const { return storage.ss_family; }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
SocketAddress socket_address(const Address& address, std::uint16_t port);

std::shared_ptr<Relay> start_udp_relay(boost::asio::io_context& io, base::UniqueFd socket, const Relay::Options& options);

}  // namespace network
