#include "network/address.h"

#include <arpa/inet.h>

#include <cassert>
#include <charconv>

namespace network {

Address Address::v4(std::uint32_t host_order) {
  Address out;
  for (std::size_t i = 0; i < 4; ++i)
    out.bytes_[i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return out;
}

Address Address::v6(const std::array<std::uint8_t, 16>& bytes) {
  Address out;
  out.v6_ = true;
  out.bytes_ = bytes;
  return out;
}

base::Result<Address> Address::parse(std::string_view text) {
  const std::string copy(text);
  Address out;
  if (::inet_pton(AF_INET, copy.c_str(), out.bytes_.data()) == 1) return out;
  out.v6_ = true;
  if (::inet_pton(AF_INET6, copy.c_str(), out.bytes_.data()) == 1) return out;
  return base::make_error(base::ErrorKind::invalid, "'" + copy + "' is not an IP address");
}

std::string_view Address::bytes() const {
  return {reinterpret_cast<const char*>(bytes_.data()), v6_ ? 16u : 4u};
}

std::uint32_t Address::v4_host_order() const {
  assert(!v6_);
  return std::uint32_t{bytes_[0]} << 24 | std::uint32_t{bytes_[1]} << 16 |
         std::uint32_t{bytes_[2]} << 8 | bytes_[3];
}

bool Address::is_loopback() const {
  if (!v6_) return bytes_[0] == 127;
  for (std::size_t i = 0; i < 15; ++i)
    if (bytes_[i] != 0) return false;
  return bytes_[15] == 1;
}

bool Address::is_unspecified() const {
  for (const auto byte : bytes_)
    if (byte != 0) return false;
  return true;
}

std::string Address::text() const {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  ::inet_ntop(v6_ ? AF_INET6 : AF_INET, bytes_.data(), buffer.data(), buffer.size());
  return buffer.data();
}

Address Address::plus(std::uint64_t offset) const {
  Address out = *this;
  for (std::size_t i = v6_ ? 16 : 4; i-- > 0 && offset > 0;) {
    offset += out.bytes_[i];
    out.bytes_[i] = static_cast<std::uint8_t>(offset);
    offset >>= 8;
  }
  return out;
}

Prefix::Prefix(Address address, int length) : address_(address), length_(length) {
  assert(length >= 0 && length <= address.bits());
}

base::Result<Prefix> Prefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  ASSIGN_OR_RETURN(const auto address, Address::parse(text.substr(0, slash)));
  if (slash == std::string_view::npos) return Prefix(address, address.bits());
  const auto digits = text.substr(slash + 1);
  int length = -1;
  const auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (bad != std::errc{} || end != digits.data() + digits.size() || length < 0 ||
      length > address.bits())
    return base::make_error(base::ErrorKind::invalid,
                            "'" + std::string(text) + "' has no valid prefix length");
  return Prefix(address, length);
}

namespace {
/// Sets the bits after `length` to zeros or ones.
Address fill(const Address& address, int length, bool ones) {
  std::array<std::uint8_t, 16> bytes{};
  const auto raw = address.bytes();
  for (std::size_t i = 0; i < raw.size(); ++i) {
    const int kept = std::clamp(length - static_cast<int>(i) * 8, 0, 8);
    const auto mask = static_cast<std::uint8_t>(0xff00 >> kept);
    const auto byte = static_cast<std::uint8_t>(raw[i]);
    bytes[i] = static_cast<std::uint8_t>((byte & mask) | (ones ? ~mask : 0));
  }
  if (address.is_v6()) return Address::v6(bytes);
  return Address::v4(std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
                     std::uint32_t{bytes[2]} << 8 | bytes[3]);
}
}  // namespace

Address Prefix::base() const { return fill(address_, length_, false); }
Address Prefix::last() const { return fill(address_, length_, true); }

bool Prefix::contains(const Address& address) const {
  return address.is_v6() == is_v6() && base() <= address && address <= last();
}

bool Prefix::contains(const Prefix& other) const {
  return other.is_v6() == is_v6() && other.length_ >= length_ && contains(other.address_);
}

bool Prefix::overlaps(const Prefix& other) const { return contains(other) || other.contains(*this); }

std::string Prefix::text() const { return base().text() + "/" + std::to_string(length_); }

}  // namespace network
