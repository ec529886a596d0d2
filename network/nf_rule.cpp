#include "network/nf_rule.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>

#include "network/nf_message.h"

namespace network {
namespace {

/// Registers are sixteen slots of four bytes; those that begin one of the old sixteen-byte registers go by its number.
std::uint32_t register_at(unsigned slot) { return slot % 4 == 0 ? NFT_REG_1 + slot / 4 : NFT_REG32_00 + slot; }

std::string host_u32(std::uint32_t value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }

std::string value(int type, std::string_view bytes) { return attribute(type, attribute(NFTA_DATA_VALUE, bytes)); }

constexpr unsigned interface_size = 16;  // IFNAMSIZ

// What conntrack calls them (enum ip_conntrack_info, NF_CT_STATE_BIT(); enum ip_conntrack_status).
constexpr std::uint32_t state_invalid = 1, state_established = 2, state_related = 4, state_new = 8, status_dst_nat = 0x20;

}  // namespace

void NfRule::say(const std::string& words) { text_ += (text_.empty() ? "" : " ") + words; }

void NfRule::expression(const char* name, const std::string& data) {
  bytes_ += attribute(NFTA_LIST_ELEM, attribute_text(NFTA_EXPR_NAME, name) + attribute(NFTA_EXPR_DATA, data));
}

void NfRule::load_meta(std::uint32_t key, unsigned slot) {
  expression("meta", attribute_u32(NFTA_META_KEY, key) + attribute_u32(NFTA_META_DREG, register_at(slot)));
}

void NfRule::load_payload(std::uint32_t base, std::uint32_t offset, std::uint32_t length, unsigned slot) {
  expression("payload", attribute_u32(NFTA_PAYLOAD_DREG, register_at(slot)) + attribute_u32(NFTA_PAYLOAD_BASE, base) +
                            attribute_u32(NFTA_PAYLOAD_OFFSET, offset) + attribute_u32(NFTA_PAYLOAD_LEN, length));
}

void NfRule::mask(const std::string& bits) {
  expression("bitwise", attribute_u32(NFTA_BITWISE_SREG, NFT_REG_1) + attribute_u32(NFTA_BITWISE_DREG, NFT_REG_1) +
                            attribute_u32(NFTA_BITWISE_LEN, static_cast<std::uint32_t>(bits.size())) +
                            attribute_u32(NFTA_BITWISE_OP, NFT_BITWISE_BOOL) + value(NFTA_BITWISE_MASK, bits) +
                            value(NFTA_BITWISE_XOR, std::string(bits.size(), '\0')));
}

void NfRule::compare(bool equal, std::string_view bytes) {
  expression("cmp", attribute_u32(NFTA_CMP_SREG, NFT_REG_1) + attribute_u32(NFTA_CMP_OP, equal ? NFT_CMP_EQ : NFT_CMP_NEQ) +
                        value(NFTA_CMP_DATA, bytes));
}

void NfRule::interface(std::uint32_t key, bool equal, const std::string& name) {
  say(std::string(key == NFT_META_IIFNAME ? "iifname " : "oifname ") + (equal ? "\"" : "!= \"") + name + "\"");
  std::string bytes = name;
  if (bytes.ends_with('*')) bytes.pop_back();
  else bytes.resize(interface_size);
  load_meta(key);
  compare(equal, bytes);
}

NfRule& NfRule::in(const std::string& name) {
  interface(NFT_META_IIFNAME, true, name);
  return *this;
}
NfRule& NfRule::out(const std::string& name) {
  interface(NFT_META_OIFNAME, true, name);
  return *this;
}
NfRule& NfRule::not_out(const std::string& name) {
  interface(NFT_META_OIFNAME, false, name);
  return *this;
}

NfRule& NfRule::in_any_of(const std::string& set) {
  say("iifname @" + set);
  load_meta(NFT_META_IIFNAME);
  look_up(set, false);
  return *this;
}

void NfRule::look_up(const std::string& set, bool map) {
  std::string data = attribute_text(NFTA_LOOKUP_SET, set) + attribute_u32(NFTA_LOOKUP_SREG, NFT_REG_1);
  if (map) data += attribute_u32(NFTA_LOOKUP_DREG, NFT_REG_1);
  expression("lookup", data + attribute_u32(NFTA_LOOKUP_FLAGS, 0));
}

/// Only the bytes that the prefix names are loaded; the whole address, masked, where it ends inside of one.
void NfRule::address(const Prefix& prefix, bool source) {
  const bool v6 = prefix.is_v6();
  const bool whole = prefix.length() == prefix.address().bits();
  say(std::string(v6 ? "ip6" : "ip") + (source ? " saddr " : " daddr ") + (whole ? prefix.address().text() : prefix.text()));
  load_meta(NFT_META_NFPROTO);
  compare(true, std::string(1, static_cast<char>(v6 ? NFPROTO_IPV6 : NFPROTO_IPV4)));
  if (prefix.length() == 0) return;
  const auto base = prefix.base();
  const auto whole_size = base.bytes().size(), named = static_cast<std::size_t>(prefix.length()) / 8;
  const bool even = prefix.length() % 8 == 0;
  const auto size = even ? named : whole_size;
  load_payload(NFT_PAYLOAD_NETWORK_HEADER, (v6 ? 8U : 12U) + (source ? 0U : v6 ? 16U : 4U), static_cast<std::uint32_t>(size));
  if (!even) {
    std::string bits(named, '\xff');
    bits += static_cast<char>(0xff << (8 - prefix.length() % 8));
    bits.resize(size);
    mask(bits);
  }
  compare(true, base.bytes().substr(0, size));
}

NfRule& NfRule::from(const Prefix& source) {
  address(source, true);
  return *this;
}
NfRule& NfRule::to(const Prefix& destination) {
  address(destination, false);
  return *this;
}

NfRule& NfRule::to_this_host() {
  say("fib daddr type local");
  expression("fib", attribute_u32(NFTA_FIB_DREG, NFT_REG_1) + attribute_u32(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE) +
                        attribute_u32(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR));
  compare(true, host_u32(RTN_LOCAL));
  return *this;
}

NfRule& NfRule::family(bool v6) {
  say(v6 ? "meta nfproto ipv6" : "meta nfproto ipv4");
  load_meta(NFT_META_NFPROTO);
  compare(true, std::string(1, static_cast<char>(v6 ? NFPROTO_IPV6 : NFPROTO_IPV4)));
  return *this;
}

void NfRule::transport(std::uint8_t l4) {
  load_meta(NFT_META_L4PROTO);
  compare(true, std::string(1, static_cast<char>(l4)));
}

NfRule& NfRule::protocol(std::uint8_t l4) {
  say(l4 == IPPROTO_TCP ? "meta l4proto tcp" : "meta l4proto udp");
  transport(l4);
  return *this;
}

NfRule& NfRule::destination_port(std::uint8_t l4, std::uint16_t port) {
  say((l4 == IPPROTO_TCP ? "tcp dport " : "udp dport ") + std::to_string(port));
  transport(l4);
  load_payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
  compare(true, u16_bytes(port));
  return *this;
}

void NfRule::tracking(std::uint32_t key, std::uint32_t bits) {
  expression("ct", attribute_u32(NFTA_CT_DREG, NFT_REG_1) + attribute_u32(NFTA_CT_KEY, key));
  mask(host_u32(bits));
  compare(false, host_u32(0));
}

NfRule& NfRule::established_or_related() {
  say("ct state established,related");
  tracking(NFT_CT_STATE, state_established | state_related);
  return *this;
}
NfRule& NfRule::invalid() {
  say("ct state invalid");
  tracking(NFT_CT_STATE, state_invalid);
  return *this;
}
NfRule& NfRule::begins() {
  say("ct state new");
  tracking(NFT_CT_STATE, state_new);
  return *this;
}
NfRule& NfRule::translated() {
  say("ct status dnat");
  tracking(NFT_CT_STATUS, status_dst_nat);
  return *this;
}

NfRule& NfRule::counter() {
  say("counter");
  expression("counter", {});
  return *this;
}

void NfRule::verdict(std::uint32_t code, const std::string& chain) {
  std::string body = attribute_u32(NFTA_VERDICT_CODE, code);
  if (!chain.empty()) body += attribute_text(NFTA_VERDICT_CHAIN, chain);
  expression("immediate", attribute_u32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT) +
                              attribute(NFTA_IMMEDIATE_DATA, attribute(NFTA_DATA_VERDICT, body)));
}

NfRule& NfRule::accept() {
  say("accept");
  verdict(NF_ACCEPT);
  return *this;
}
NfRule& NfRule::drop() {
  say("drop");
  verdict(NF_DROP);
  return *this;
}
NfRule& NfRule::back() {
  say("return");
  verdict(static_cast<std::uint32_t>(NFT_RETURN));
  return *this;
}
NfRule& NfRule::jump(const std::string& chain) {
  say("jump " + chain);
  verdict(static_cast<std::uint32_t>(NFT_JUMP), chain);
  return *this;
}

NfRule& NfRule::masquerade() {
  say("masquerade");
  expression("masq", {});
  return *this;
}

void NfRule::load_constant(unsigned slot, std::string_view bytes) {
  expression("immediate", attribute_u32(NFTA_IMMEDIATE_DREG, register_at(slot)) + value(NFTA_IMMEDIATE_DATA, bytes));
}

/// The address is in the first register, a port in slot `port_slot` (0: there is none).
void NfRule::nat(std::uint32_t type, bool v6, unsigned port_slot) {
  const std::uint32_t flags = NF_NAT_RANGE_MAP_IPS | (port_slot ? NF_NAT_RANGE_PROTO_SPECIFIED : 0U);
  const auto port = register_at(port_slot);
  std::string data = attribute_u32(NFTA_NAT_TYPE, type) + attribute_u32(NFTA_NAT_FAMILY, v6 ? NFPROTO_IPV6 : NFPROTO_IPV4) +
                     attribute_u32(NFTA_NAT_REG_ADDR_MIN, NFT_REG_1) + attribute_u32(NFTA_NAT_REG_ADDR_MAX, NFT_REG_1);
  if (port_slot) data += attribute_u32(NFTA_NAT_REG_PROTO_MIN, port) + attribute_u32(NFTA_NAT_REG_PROTO_MAX, port);
  expression("nat", data + attribute_u32(NFTA_NAT_FLAGS, flags));
}

NfRule& NfRule::source_nat(const Address& address) {
  say(std::string("snat ") + (address.is_v6() ? "ip6" : "ip") + " to " + address.text());
  load_constant(0, address.bytes());
  nat(NFT_NAT_SNAT, address.is_v6(), 0);
  return *this;
}

NfRule& NfRule::destination_nat(const Address& address, std::uint16_t port) {
  const bool v6 = address.is_v6();
  say(std::string("dnat ") + (v6 ? "ip6" : "ip") + " to " + address.text() + (port ? ":" + std::to_string(port) : ""));
  const unsigned slot = port == 0 ? 0 : v6 ? 4 : 1;
  load_constant(0, address.bytes());
  if (port) load_constant(slot, u16_bytes(port));
  nat(NFT_NAT_DNAT, v6, slot);
  return *this;
}

/// The protocol and the port, each in a slot of its own from `slot` on.
void NfRule::load_port_key(unsigned slot) {
  load_meta(NFT_META_L4PROTO, slot);
  load_payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, slot + 1);
}

NfRule& NfRule::destination_nat_by_port(bool v6, const std::string& map) {
  say(std::string("dnat ") + (v6 ? "ip6" : "ip") + " to meta l4proto . th dport map @" + map);
  load_port_key(0);
  look_up(map, true);
  nat(NFT_NAT_DNAT, v6, v6 ? 4 : 1);
  return *this;
}

NfRule& NfRule::destination_nat_by_address(bool v6, const std::string& map) {
  const std::string ip = v6 ? "ip6" : "ip";
  say("dnat " + ip + " to " + ip + " daddr . meta l4proto . th dport map @" + map);
  load_meta(NFT_META_NFPROTO);
  compare(true, std::string(1, static_cast<char>(v6 ? NFPROTO_IPV6 : NFPROTO_IPV4)));
  load_payload(NFT_PAYLOAD_NETWORK_HEADER, v6 ? 24 : 16, v6 ? 16 : 4);
  load_port_key(v6 ? 4 : 1);
  look_up(map, true);
  nat(NFT_NAT_DNAT, v6, v6 ? 4 : 1);
  return *this;
}

}  // namespace network
