#include "network/nf_message.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <cstring>
#include <new>

namespace network {

NfWriter::~NfWriter() {
  if (current_) nlmsg_free(current_);
}

nl_msg* NfWriter::begin(int type, int flags, std::uint8_t family, std::uint16_t resource) {
  finish();
  current_ = nlmsg_alloc_simple(type, NLM_F_REQUEST | flags);
  if (!current_) throw std::bad_alloc();
  nlmsg_hdr(current_)->nlmsg_seq = ++sequence_;
  nfgenmsg header{};
  header.nfgen_family = family;
  header.version = NFNETLINK_V0;
  header.res_id = htons(resource);
  (void)nlmsg_append(current_, &header, sizeof header, NLMSG_ALIGNTO);
  return current_;
}

nl_msg* NfWriter::table_message(int message, int flags, std::uint8_t family) {
  return begin((NFNL_SUBSYS_NFTABLES << 8) | message, flags, family);
}

void NfWriter::begin_batch() { begin(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES); }

void NfWriter::end_batch() {
  begin(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  finish();
}

void NfWriter::finish() {
  if (!current_) return;
  const auto* header = nlmsg_hdr(current_);
  bytes_.append(reinterpret_cast<const char*>(header), header->nlmsg_len);
  bytes_.resize(NLMSG_ALIGN(bytes_.size()));
  nlmsg_free(current_);
  current_ = nullptr;
}

void put(nl_msg* m, int type, std::string_view bytes) { (void)nla_put(m, type, static_cast<int>(bytes.size()), bytes.data()); }
void put_text(nl_msg* m, int type, const std::string& text) { (void)nla_put_string(m, type, text.c_str()); }
void put_u32(nl_msg* m, int type, std::uint32_t value) { (void)nla_put_u32(m, type, htonl(value)); }
void put_u64(nl_msg* m, int type, std::uint64_t value) { (void)nla_put_u64(m, type, htobe64(value)); }

std::string u16_bytes(std::uint16_t value) { return {static_cast<char>(value >> 8), static_cast<char>(value)}; }

std::string u32_bytes(std::uint32_t value) {
  const std::uint32_t network = htonl(value);
  return {reinterpret_cast<const char*>(&network), sizeof network};
}

std::string attribute(int type, std::string_view bytes) {
  const nlattr header{static_cast<std::uint16_t>(NLA_HDRLEN + bytes.size()), static_cast<std::uint16_t>(type)};
  std::string out(reinterpret_cast<const char*>(&header), sizeof header);
  out += bytes;
  out.resize(NLA_ALIGN(out.size()));
  return out;
}

std::string attribute_u32(int type, std::uint32_t value) { return attribute(type, u32_bytes(value)); }
std::string attribute_text(int type, const std::string& text) { return attribute(type, {text.c_str(), text.size() + 1}); }

std::string_view bytes_of(const nlattr* attribute) {
  if (!attribute) return {};
  return {static_cast<const char*>(nla_data(attribute)), static_cast<std::size_t>(nla_len(attribute))};
}

std::string text_of(const nlattr* attribute) {
  const auto bytes = bytes_of(attribute);
  return std::string(bytes.substr(0, bytes.find('\0')));
}

std::uint32_t u32_of(const nlattr* attribute) {
  std::uint32_t value = 0;
  if (const auto bytes = bytes_of(attribute); bytes.size() == sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
  return ntohl(value);
}

std::uint64_t u64_of(const nlattr* attribute) {
  std::uint64_t value = 0;
  if (const auto bytes = bytes_of(attribute); bytes.size() == sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
  return be64toh(value);
}

}  // namespace network
