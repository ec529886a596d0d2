#pragma once
// Firewall rules in the kernel's own form, each with its text in nft's language. Pure; internal to the room.
#include <cstdint>
#include <string>
#include <string_view>

#include "network/address.h"

namespace network {

/// A rule as a list of expressions, in the order in which they are called; a verdict, a NAT or nothing ends it. Each expression is
/// laid out as the kernel lists it (nf_tables_fill_expr_info() and each expression's dump()), so that what it lists is what was sent.
class NfRule {
 public:
  /// Interfaces: a name, or "cps-*" for all that begin so.
  NfRule& in(const std::string& interface);
  NfRule& out(const std::string& interface);
  NfRule& not_out(const std::string& interface);
  /// iifname @SET
  NfRule& in_any_of(const std::string& set);
  NfRule& from(const Prefix& source);
  NfRule& to(const Prefix& destination);
  NfRule& to_this_host();               ///< fib daddr type local
  NfRule& family(bool v6);              ///< meta nfproto
  NfRule& protocol(std::uint8_t l4);    ///< IPPROTO_TCP or IPPROTO_UDP
  NfRule& destination_port(std::uint8_t l4, std::uint16_t port);
  NfRule& established_or_related();     ///< ct state; so are the next two
  NfRule& invalid();
  NfRule& begins();                     ///< ct state new
  NfRule& translated();                 ///< ct status dnat
  NfRule& counter();

  NfRule& accept();
  NfRule& drop();
  NfRule& back();                       ///< return
  NfRule& jump(const std::string& chain);
  NfRule& masquerade();
  NfRule& source_nat(const Address& address);
  NfRule& destination_nat(const Address& address, std::uint16_t port = 0);
  /// Where map `map` says for protocol and port, or for address, protocol and port.
  NfRule& destination_nat_by_port(bool v6, const std::string& map);
  NfRule& destination_nat_by_address(bool v6, const std::string& map);

  /// Payload of NFTA_RULE_EXPRESSIONS.
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  /// As `nft list` shows it.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void say(const std::string& words);
  void expression(const char* name, const std::string& data);
  void load_meta(std::uint32_t key, unsigned slot = 0);
  void load_payload(std::uint32_t base, std::uint32_t offset, std::uint32_t length, unsigned slot = 0);
  void mask(const std::string& bits);
  void compare(bool equal, std::string_view bytes);
  void interface(std::uint32_t key, bool equal, const std::string& name);
  void address(const Prefix& prefix, bool source);
  void transport(std::uint8_t l4);
  void tracking(std::uint32_t key, std::uint32_t bits);
  void look_up(const std::string& set, bool map);
  void load_port_key(unsigned slot);
  void verdict(std::uint32_t code, const std::string& chain = {});
  void load_constant(unsigned slot, std::string_view bytes);
  void nat(std::uint32_t type, bool v6, unsigned port_slot);

  std::string bytes_, text_;
};

}  // namespace network
