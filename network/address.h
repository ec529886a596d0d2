#pragma once
// IP addresses and prefixes as values. Pure.
#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace network {

/// An IPv4 or IPv6 address.
class Address {
 public:
  Address() = default;  ///< 0.0.0.0
  static Address v4(std::uint32_t host_order);
  static Address v6(const std::array<std::uint8_t, 16>& bytes);
  /// Errors: invalid, quoting `text`. No scope ids, no prefix length.
  static base::Result<Address> parse(std::string_view text);

  [[nodiscard]] bool is_v6() const { return v6_; }
  [[nodiscard]] int bits() const { return v6_ ? 128 : 32; }
  /// Network order; 4 or 16 bytes.
  [[nodiscard]] std::string_view bytes() const;
  [[nodiscard]] std::uint32_t v4_host_order() const;
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] bool is_unspecified() const;
  [[nodiscard]] std::string text() const;
  /// This address + `offset`, wrapping inside the family.
  [[nodiscard]] Address plus(std::uint64_t offset) const;
  auto operator<=>(const Address&) const = default;

 private:
  bool v6_ = false;
  std::array<std::uint8_t, 16> bytes_{};
};

/// An address with a prefix length; base() has the host bits cleared, address() keeps them.
class Prefix {
 public:
  Prefix() = default;
  Prefix(Address address, int length);
  /// "10.0.0.0/8"; a plain address is a /32 or /128. Errors: invalid.
  static base::Result<Prefix> parse(std::string_view text);

  [[nodiscard]] const Address& address() const { return address_; }
  [[nodiscard]] int length() const { return length_; }
  [[nodiscard]] Address base() const;
  [[nodiscard]] Address last() const;
  [[nodiscard]] bool is_v6() const { return address_.is_v6(); }
  [[nodiscard]] bool contains(const Address& address) const;
  [[nodiscard]] bool contains(const Prefix& other) const;
  [[nodiscard]] bool overlaps(const Prefix& other) const;
  /// "10.0.0.0/8" with the host bits cleared.
  [[nodiscard]] std::string text() const;

 private:
  Address address_;
  int length_ = 32;
};

}  // namespace network
