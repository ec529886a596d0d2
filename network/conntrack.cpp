// Connection tracking: the part of NfSocket that is not about rules.
#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <cerrno>

#include "base/sys.h"
#include "network/nf_socket.h"

namespace network {
namespace {

constexpr int type_of(int message) { return (NFNL_SUBSYS_CTNETLINK << 8) | message; }

std::string request(int message, int flags, std::uint8_t family, std::string_view tuple, std::uint32_t sequence) {
  auto* raw = nlmsg_alloc_simple(type_of(message), NLM_F_REQUEST | flags);
  if (!raw) return {};
  nlmsg_hdr(raw)->nlmsg_seq = sequence;
  nfgenmsg header{};
  header.nfgen_family = family;
  header.version = NFNETLINK_V0;
  (void)nlmsg_append(raw, &header, sizeof header, NLMSG_ALIGNTO);
  if (!tuple.empty())
    (void)nla_put(raw, CTA_TUPLE_ORIG | NLA_F_NESTED, static_cast<int>(tuple.size()), tuple.data());
  const auto* done = nlmsg_hdr(raw);
  std::string out(reinterpret_cast<const char*>(done), done->nlmsg_len);
  nlmsg_free(raw);
  return out;
}

/// The original tuple's bytes when it is UDP to `port`.
std::string matching_tuple(nlmsghdr* message, std::uint16_t port) {
  std::array<nlattr*, CTA_MAX + 1> attributes{};
  nlmsg_parse(message, sizeof(nfgenmsg), attributes.data(), CTA_MAX, nullptr);
  if (!attributes[CTA_TUPLE_ORIG]) return {};
  std::array<nlattr*, CTA_TUPLE_MAX + 1> tuple{};
  nla_parse_nested(tuple.data(), CTA_TUPLE_MAX, attributes[CTA_TUPLE_ORIG], nullptr);
  if (!tuple[CTA_TUPLE_PROTO]) return {};
  std::array<nlattr*, CTA_PROTO_MAX + 1> proto{};
  nla_parse_nested(proto.data(), CTA_PROTO_MAX, tuple[CTA_TUPLE_PROTO], nullptr);
  if (!proto[CTA_PROTO_NUM] || nla_get_u8(proto[CTA_PROTO_NUM]) != IPPROTO_UDP) return {};
  if (!proto[CTA_PROTO_DST_PORT] || nla_get_u16(proto[CTA_PROTO_DST_PORT]) != htons(port)) return {};
  return {static_cast<const char*>(nla_data(attributes[CTA_TUPLE_ORIG])),
          static_cast<std::size_t>(nla_len(attributes[CTA_TUPLE_ORIG]))};
}

}  // namespace

base::Result<> NfSocket::forget_udp_flows(std::uint16_t port) {
  const auto send = [&](const std::string& bytes) {
    return base::sys::wrap("conntrack request", ::send(fd_.number(), bytes.data(), bytes.size(), 0));
  };
  const auto sequence = ++sequence_;
  TRY(send(request(IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC, {}, sequence)));
  std::vector<std::pair<std::uint8_t, std::string>> found;
  std::vector<char> buffer(128 * 1024);
  for (bool more = true; more;) {
    ASSIGN_OR_RETURN(const long count, base::sys::wrap("conntrack answer", ::recv(fd_.number(), buffer.data(), buffer.size(), 0)));
    int left = static_cast<int>(count);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); nlmsg_ok(message, left);
         message = nlmsg_next(message, &left)) {
      if (message->nlmsg_seq != sequence) continue;
      more = message->nlmsg_type != NLMSG_DONE && message->nlmsg_type != NLMSG_ERROR;
      if (!more) break;
      auto tuple = matching_tuple(message, port);
      const auto* header = static_cast<nfgenmsg*>(nlmsg_data(message));
      if (!tuple.empty()) found.emplace_back(header->nfgen_family, std::move(tuple));
    }
  }
  // Answers (only to failures: the flow ended by itself meanwhile) are passed over by later calls.
  for (const auto& [family, tuple] : found) TRY(send(request(IPCTNL_MSG_CT_DELETE, 0, family, tuple, ++sequence_)));
  return {};
}

}  // namespace network
