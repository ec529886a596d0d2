#include "network/nf_socket.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <cerrno>
#include <charconv>
#include <new>

#include "base/sys.h"
#include "network/address.h"
#include "network/netns.h"

namespace network {
namespace {

/// Messages one after the other in one buffer.
class Writer {
 public:
  explicit Writer(std::uint32_t sequence) : sequence_(sequence) {}

  nl_msg* begin(int type, int flags, std::uint8_t family, std::uint16_t resource = 0) {
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
  nl_msg* table_message(int message, int flags, std::uint8_t family) {
    return begin((NFNL_SUBSYS_NFTABLES << 8) | message, flags, family);
  }
  void finish() {
    if (!current_) return;
    const auto* header = nlmsg_hdr(current_);
    bytes_.append(reinterpret_cast<const char*>(header), header->nlmsg_len);
    bytes_.resize(NLMSG_ALIGN(bytes_.size()));
    nlmsg_free(current_);
    current_ = nullptr;
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() {
    if (current_) nlmsg_free(current_);
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] std::uint32_t sequence() const { return sequence_; }

 private:
  std::uint32_t sequence_;
  nl_msg* current_ = nullptr;
  std::string bytes_;
};

void put(nl_msg* m, int type, std::string_view bytes) {
  (void)nla_put(m, type, static_cast<int>(bytes.size()), bytes.data());
}
void put_text(nl_msg* m, int type, const char* text) { (void)nla_put_string(m, type, text); }
void put_u32(nl_msg* m, int type, std::uint32_t value) { (void)nla_put_u32(m, type, htonl(value)); }

std::string u16_bytes(std::uint16_t value) { return {static_cast<char>(value >> 8), static_cast<char>(value)}; }

/// Concatenations are laid out in 4-byte registers: each part is padded to a multiple of four.
base::Result<std::string> concat_bytes(const std::string& text) {
  std::string out;
  std::size_t start = 0;
  while (start <= text.size()) {
    const auto end = std::min(text.find(" . ", start), text.size());
    const auto part = text.substr(start, end - start);
    unsigned number = 0;
    const auto [last, bad] = std::from_chars(part.data(), part.data() + part.size(), number);
    if (part == "tcp" || part == "udp") {
      out.push_back(part == "tcp" ? IPPROTO_TCP : IPPROTO_UDP);
    } else if (bad == std::errc{} && last == part.data() + part.size() && number < 65536) {
      out += u16_bytes(static_cast<std::uint16_t>(number));
    } else {
      ASSIGN_OR_RETURN(const auto address, Address::parse(part));
      out += address.bytes();
    }
    out.resize((out.size() + 3) / 4 * 4);
    start = end + 3;
  }
  return out;
}

void put_data(nl_msg* m, int type, std::string_view bytes) {
  auto* nest = nla_nest_start(m, type | NLA_F_NESTED);
  put(m, NFTA_DATA_VALUE, bytes);
  nla_nest_end(m, nest);
}

base::Result<> put_element(Writer& out, const ElementChange& change) {
  std::string key = change.key, value;
  if (change.value.empty()) {
    key.resize(16);  // IFNAMSIZ
  } else {
    ASSIGN_OR_RETURN(key, concat_bytes(change.key));
    ASSIGN_OR_RETURN(value, concat_bytes(change.value));
  }
  auto* m = out.table_message(change.add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
                              NLM_F_ACK | (change.add ? NLM_F_CREATE | NLM_F_EXCL : 0), NFPROTO_INET);
  put_text(m, NFTA_SET_ELEM_LIST_TABLE, "compose");
  put_text(m, NFTA_SET_ELEM_LIST_SET, change.map.c_str());
  auto* list = nla_nest_start(m, NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED);
  auto* element = nla_nest_start(m, NFTA_LIST_ELEM | NLA_F_NESTED);
  put_data(m, NFTA_SET_ELEM_KEY, key);
  if (change.add && !value.empty()) put_data(m, NFTA_SET_ELEM_DATA, value);
  nla_nest_end(m, element);
  nla_nest_end(m, list);
  return {};
}

/// An expression: its name and, by `fill`, its data.
template <class Fill>
void expression(nl_msg* m, const char* name, Fill&& fill) {
  auto* element = nla_nest_start(m, NFTA_LIST_ELEM | NLA_F_NESTED);
  put_text(m, NFTA_EXPR_NAME, name);
  auto* data = nla_nest_start(m, NFTA_EXPR_DATA | NLA_F_NESTED);
  fill();
  nla_nest_end(m, data);
  nla_nest_end(m, element);
}
void load_payload(nl_msg* m, std::uint32_t base, std::uint32_t offset, std::uint32_t length) {
  expression(m, "payload", [&] {
    put_u32(m, NFTA_PAYLOAD_DREG, NFT_REG_1);
    put_u32(m, NFTA_PAYLOAD_BASE, base);
    put_u32(m, NFTA_PAYLOAD_OFFSET, offset);
    put_u32(m, NFTA_PAYLOAD_LEN, length);
  });
}
void must_equal(nl_msg* m, std::string_view bytes) {
  expression(m, "cmp", [&] {
    put_u32(m, NFTA_CMP_SREG, NFT_REG_1);
    put_u32(m, NFTA_CMP_OP, NFT_CMP_EQ);
    put_data(m, NFTA_CMP_DATA, bytes);
  });
}
void load_constant(nl_msg* m, std::uint32_t reg, std::string_view bytes) {
  expression(m, "immediate", [&] {
    put_u32(m, NFTA_IMMEDIATE_DREG, reg);
    put_data(m, NFTA_IMMEDIATE_DATA, bytes);
  });
}

constexpr const char* dns_table = "compose_dns";
constexpr std::string_view dns_address("\x7f\0\0\x0b", 4);

/// ip daddr 127.0.0.11 PROTOCOL dport 53 dnat to 127.0.0.11:PORT
void put_redirect(Writer& out, std::uint8_t protocol, std::uint16_t port) {
  auto* m = out.table_message(NFT_MSG_NEWRULE, NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND, NFPROTO_IPV4);
  put_text(m, NFTA_RULE_TABLE, dns_table);
  put_text(m, NFTA_RULE_CHAIN, "output");
  auto* list = nla_nest_start(m, NFTA_RULE_EXPRESSIONS | NLA_F_NESTED);
  load_payload(m, NFT_PAYLOAD_NETWORK_HEADER, 16, 4);
  must_equal(m, dns_address);
  expression(m, "meta", [&] {
    put_u32(m, NFTA_META_DREG, NFT_REG_1);
    put_u32(m, NFTA_META_KEY, NFT_META_L4PROTO);
  });
  must_equal(m, std::string(1, static_cast<char>(protocol)));
  load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
  must_equal(m, u16_bytes(53));
  load_constant(m, NFT_REG_1, dns_address);
  load_constant(m, NFT_REG_2, u16_bytes(port));
  expression(m, "nat", [&] {
    put_u32(m, NFTA_NAT_TYPE, NFT_NAT_DNAT);
    put_u32(m, NFTA_NAT_FAMILY, NFPROTO_IPV4);
    put_u32(m, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
    put_u32(m, NFTA_NAT_REG_PROTO_MIN, NFT_REG_2);
    put_u32(m, NFTA_NAT_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED | NF_NAT_RANGE_MAP_IPS);
  });
  nla_nest_end(m, list);
}

void put_table(Writer& out, int message, int flags) {
  auto* m = out.table_message(message, NLM_F_ACK | flags, NFPROTO_IPV4);
  put_text(m, NFTA_TABLE_NAME, dns_table);
}

void put_output_chain(Writer& out) {
  auto* m = out.table_message(NFT_MSG_NEWCHAIN, NLM_F_ACK | NLM_F_CREATE, NFPROTO_IPV4);
  put_text(m, NFTA_CHAIN_TABLE, dns_table);
  put_text(m, NFTA_CHAIN_NAME, "output");
  put_text(m, NFTA_CHAIN_TYPE, "nat");
  auto* hook = nla_nest_start(m, NFTA_CHAIN_HOOK | NLA_F_NESTED);
  put_u32(m, NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_OUT);
  put_u32(m, NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(-100));  // destination NAT
  nla_nest_end(m, hook);
}

}  // namespace

base::Result<NfSocket> NfSocket::open() {
  ASSIGN_OR_RETURN(auto fd, base::sys::socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER));
  return NfSocket(std::move(fd));
}

base::Result<NfSocket> NfSocket::open(base::Fd netns) {
  base::Result<NfSocket> out = base::make_error(base::ErrorKind::internal, "not opened");
  auto entered = in_netns(netns, [&]() -> base::Result<> {
    out = open();
    return {};
  });
  if (!entered) return std::move(entered).error();
  return out;
}

/// Sends one request and gives every answer to `each`, until it says stop, the dump ends or the kernel refuses.
template <class Each>
base::Result<> NfSocket::ask(const std::string& request, Each&& each) {
  TRY(base::sys::wrap("nftables request", ::send(fd_.number(), request.data(), request.size(), 0)));
  alignas(nlmsghdr) std::array<char, 32768> buffer;  // what a dump's message holds at most
  while (true) {
    ASSIGN_OR_RETURN(const long count, base::sys::wrap("nftables answer", ::recv(fd_.number(), buffer.data(), buffer.size(), 0)));
    int left = static_cast<int>(count);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); nlmsg_ok(message, left); message = nlmsg_next(message, &left)) {
      if (message->nlmsg_seq != sequence_) continue;
      if (message->nlmsg_type == NLMSG_DONE) return {};
      if (message->nlmsg_type == NLMSG_ERROR)
        return base::errno_error(-static_cast<nlmsgerr*>(nlmsg_data(message))->error, "nftables request");
      if (!each(message)) return {};
    }
  }
}

base::Result<std::uint32_t> NfSocket::generation() {
  Writer out(sequence_);
  out.table_message(NFT_MSG_GETGEN, 0, AF_UNSPEC);
  out.finish();
  sequence_ = out.sequence();
  std::optional<std::uint32_t> number;
  TRY(ask(out.bytes(), [&](nlmsghdr* message) {
    std::array<nlattr*, NFTA_GEN_MAX + 1> attributes{};
    nlmsg_parse(message, sizeof(nfgenmsg), attributes.data(), NFTA_GEN_MAX, nullptr);
    if (attributes[NFTA_GEN_ID]) number = ntohl(nla_get_u32(attributes[NFTA_GEN_ID]));
    return false;
  }));
  if (!number) return base::make_error(base::ErrorKind::internal, "nftables names no generation");
  return *number;
}

base::Result<bool> NfSocket::has_table() {
  Writer out(sequence_);
  put_text(out.table_message(NFT_MSG_GETTABLE, 0, NFPROTO_INET), NFTA_TABLE_NAME, "compose");
  out.finish();
  sequence_ = out.sequence();
  auto asked = ask(out.bytes(), [](nlmsghdr*) { return false; });
  if (!asked && asked.error().number == ENOENT) return false;
  if (!asked) return std::move(asked).error();
  return true;
}

namespace {
const char* family_name(std::uint8_t family) {
  switch (family) {
    case NFPROTO_IPV4: return "ip";
    case NFPROTO_IPV6: return "ip6";
    case NFPROTO_INET: return "inet";
    case NFPROTO_ARP: return "arp";
    case NFPROTO_BRIDGE: return "bridge";
    default: return "netdev";
  }
}

NftChain parse_chain(nlmsghdr* message) {
  std::array<nlattr*, NFTA_CHAIN_MAX + 1> attributes{};
  nlmsg_parse(message, sizeof(nfgenmsg), attributes.data(), NFTA_CHAIN_MAX, nullptr);
  const auto text = [&](int type) { return attributes[type] ? std::string(nla_get_string(attributes[type])) : std::string(); };
  NftChain out{family_name(static_cast<nfgenmsg*>(nlmsg_data(message))->nfgen_family), text(NFTA_CHAIN_TABLE),
               text(NFTA_CHAIN_NAME), {}, {}};
  if (!attributes[NFTA_CHAIN_HOOK]) return out;
  std::array<nlattr*, NFTA_HOOK_MAX + 1> hook{};
  nla_parse_nested(hook.data(), NFTA_HOOK_MAX, attributes[NFTA_CHAIN_HOOK], nullptr);
  constexpr std::array names{"prerouting", "input", "forward", "output", "postrouting"};
  const bool routed = out.family == "ip" || out.family == "ip6" || out.family == "inet" || out.family == "bridge";
  const auto number = hook[NFTA_HOOK_HOOKNUM] ? ntohl(nla_get_u32(hook[NFTA_HOOK_HOOKNUM])) : names.size();
  out.hook = routed && number < names.size() ? names[number] : "other";
  if (attributes[NFTA_CHAIN_POLICY])
    out.policy = ntohl(nla_get_u32(attributes[NFTA_CHAIN_POLICY])) == NF_ACCEPT ? "accept" : "drop";
  return out;
}
}  // namespace

base::Result<std::vector<NftChain>> NfSocket::chains() {
  Writer out(sequence_);
  out.table_message(NFT_MSG_GETCHAIN, NLM_F_DUMP, AF_UNSPEC);
  out.finish();
  sequence_ = out.sequence();
  std::vector<NftChain> found;
  // A change meanwhile marks the dump as torn (NLM_F_DUMP_INTR); whoever watches the ruleset looks again then.
  TRY(ask(out.bytes(), [&](nlmsghdr* message) {
    found.push_back(parse_chain(message));
    return true;
  }));
  return found;
}

/// Each message between `first` (the batch's begin) and `last` asks for an answer; those to the batch's frame come only on errors.
base::Result<> NfSocket::transact(const std::string& messages, std::uint32_t first, std::uint32_t last) {
  sequence_ = last + 1;
  TRY(base::sys::wrap("nftables transaction", ::send(fd_.number(), messages.data(), messages.size(), 0)));
  alignas(nlmsghdr) std::array<char, 16384> buffer;
  std::optional<int> failed;
  while (true) {
    ASSIGN_OR_RETURN(const long count, base::sys::wrap("nftables answer", ::recv(fd_.number(), buffer.data(), buffer.size(), 0)));
    int left = static_cast<int>(count);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); nlmsg_ok(message, left); message = nlmsg_next(message, &left)) {
      if (message->nlmsg_type != NLMSG_ERROR || message->nlmsg_seq < first || message->nlmsg_seq > last + 1) continue;
      const int number = -static_cast<nlmsgerr*>(nlmsg_data(message))->error;
      if (number != 0 && !failed) failed = number;
      const bool frame = message->nlmsg_seq == first || message->nlmsg_seq == last + 1;
      if (message->nlmsg_seq != last && !(frame && number != 0)) continue;
      if (!failed) return {};
      auto error = base::errno_error(*failed, "nftables transaction");
      if (*failed == ENOENT) error.kind = base::ErrorKind::not_found;
      if (*failed == EEXIST) error.kind = base::ErrorKind::exists;
      return error;
    }
  }
}

base::Result<> NfSocket::change(const std::vector<ElementChange>& changes) {
  if (changes.empty()) return {};
  Writer out(sequence_);
  out.begin(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  const auto first = out.sequence();
  for (const auto& change : changes) TRY(put_element(out, change));
  const auto last = out.sequence();
  out.begin(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  out.finish();
  return transact(out.bytes(), first, last);
}

base::Result<> NfSocket::redirect_dns(std::uint16_t udp_port, std::uint16_t tcp_port) {
  Writer out(sequence_);
  out.begin(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  const auto first = out.sequence();
  put_table(out, NFT_MSG_NEWTABLE, NLM_F_CREATE);  // so that there is one to flush
  put_output_chain(out);
  auto* flush = out.table_message(NFT_MSG_DELRULE, NLM_F_ACK, NFPROTO_IPV4);
  put_text(flush, NFTA_RULE_TABLE, dns_table);
  put_text(flush, NFTA_RULE_CHAIN, "output");
  put_redirect(out, IPPROTO_UDP, udp_port);
  put_redirect(out, IPPROTO_TCP, tcp_port);
  const auto last = out.sequence();
  out.begin(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  out.finish();
  return transact(out.bytes(), first, last);
}

}  // namespace network
