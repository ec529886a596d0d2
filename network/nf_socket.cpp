#include "network/nf_socket.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <cerrno>
#include <charconv>

#include "base/sys.h"
#include "network/address.h"
#include "network/netns.h"
#include "network/nf_message.h"

namespace network {
namespace {

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

base::Result<> put_element(NfWriter& out, const ElementChange& change, bool last) {
  std::string key = change.key, value;
  if (change.value.empty()) {
    key.resize(16);  // IFNAMSIZ
  } else {
    ASSIGN_OR_RETURN(key, concat_bytes(change.key));
    ASSIGN_OR_RETURN(value, concat_bytes(change.value));
  }
  auto* m = out.table_message(change.add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
                              (last ? NLM_F_ACK : 0) | (change.add ? NLM_F_CREATE | NLM_F_EXCL : 0), NFPROTO_INET);
  put_text(m, NFTA_SET_ELEM_LIST_TABLE, "compose");
  put_text(m, NFTA_SET_ELEM_LIST_SET, change.map);
  const auto data = [](int type, std::string_view bytes) { return attribute(type, attribute(NFTA_DATA_VALUE, bytes)); };
  const auto element = data(NFTA_SET_ELEM_KEY, key) + (change.add && !value.empty() ? data(NFTA_SET_ELEM_DATA, value) : "");
  put(m, NFTA_SET_ELEM_LIST_ELEMENTS, attribute(NFTA_LIST_ELEM, element));
  return {};
}

/// "chain forward", for the message of a batch that the kernel refused.
std::string described(const std::string& batch, std::uint32_t sequence) {
  int left = static_cast<int>(batch.size());
  for (auto* message = reinterpret_cast<nlmsghdr*>(const_cast<char*>(batch.data())); nlmsg_ok(message, left);
       message = nlmsg_next(message, &left)) {
    if (message->nlmsg_seq != sequence || NFNL_SUBSYS_ID(message->nlmsg_type) != NFNL_SUBSYS_NFTABLES) continue;
    const auto named = [&](const char* what, int attribute) {
      return std::string(what) + " " + text_of(nlmsg_find_attr(message, sizeof(nfgenmsg), attribute));
    };
    switch (NFNL_MSG_TYPE(message->nlmsg_type)) {
      case NFT_MSG_NEWTABLE:
      case NFT_MSG_DELTABLE: return named("table", NFTA_TABLE_NAME);
      case NFT_MSG_NEWCHAIN: return named("chain", NFTA_CHAIN_NAME);
      case NFT_MSG_NEWRULE:
      case NFT_MSG_DELRULE: return named("rule of chain", NFTA_RULE_CHAIN);
      case NFT_MSG_NEWSET: return named("map", NFTA_SET_NAME);
      default: return named("element of map", NFTA_SET_ELEM_LIST_SET);
    }
  }
  return "transaction";
}

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

NfChain parse_chain(nlmsghdr* message) {
  std::array<nlattr*, NFTA_CHAIN_MAX + 1> attributes{};
  nlmsg_parse(message, sizeof(nfgenmsg), attributes.data(), NFTA_CHAIN_MAX, nullptr);
  NfChain out{family_name(static_cast<nfgenmsg*>(nlmsg_data(message))->nfgen_family), text_of(attributes[NFTA_CHAIN_TABLE]),
               text_of(attributes[NFTA_CHAIN_NAME]), {}, {}};
  if (!attributes[NFTA_CHAIN_HOOK]) return out;
  std::array<nlattr*, NFTA_HOOK_MAX + 1> hook{};
  nla_parse_nested(hook.data(), NFTA_HOOK_MAX, attributes[NFTA_CHAIN_HOOK], nullptr);
  constexpr std::array names{"prerouting", "input", "forward", "output", "postrouting"};
  const bool routed = out.family == "ip" || out.family == "ip6" || out.family == "inet" || out.family == "bridge";
  const auto number = hook[NFTA_HOOK_HOOKNUM] ? u32_of(hook[NFTA_HOOK_HOOKNUM]) : names.size();
  out.hook = routed && number < names.size() ? names[number] : "other";
  if (attributes[NFTA_CHAIN_POLICY]) out.policy = u32_of(attributes[NFTA_CHAIN_POLICY]) == NF_ACCEPT ? "accept" : "drop";
  return out;
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

base::Result<> NfSocket::ask(NfWriter& request, const std::function<bool(nlmsghdr*)>& each) {
  request.finish();
  sequence_ = request.sequence();
  const auto send = [&] {
    return base::sys::wrap("nftables request", ::send(fd_.number(), request.bytes().data(), request.bytes().size(), 0));
  };
  TRY(send());
  alignas(nlmsghdr) std::array<char, 32768> buffer;  // what a dump's message holds at most
  bool busy = false;
  while (true) {
    ASSIGN_OR_RETURN(const long count, base::sys::wrap("nftables answer", ::recv(fd_.number(), buffer.data(), buffer.size(), 0)));
    int left = static_cast<int>(count);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); nlmsg_ok(message, left); message = nlmsg_next(message, &left)) {
      const bool ours = message->nlmsg_seq == sequence_;
      const int problem = message->nlmsg_type == NLMSG_ERROR ? -static_cast<nlmsgerr*>(nlmsg_data(message))->error : 0;
      // A dump whose answers an earlier call gave up goes on, and the kernel starts no other before its end.
      if (ours && problem == EBUSY) busy = true;
      if (!ours && busy && message->nlmsg_type == NLMSG_DONE) {
        busy = false;
        TRY(send());
      }
      if (!ours || problem == EBUSY) continue;
      if (message->nlmsg_type == NLMSG_DONE) return {};
      if (message->nlmsg_type == NLMSG_ERROR) return base::errno_error(problem, "nftables request");
      if (!each(message)) return {};
    }
  }
}

/// Answers come to the last message and to any that fails; those to the batch's frame come only on errors.
base::Result<> NfSocket::transact(const std::function<base::Result<>(NfWriter&)>& write) {
  NfWriter out(sequence_);
  out.begin_batch();
  const auto first = out.sequence();
  TRY(write(out));
  const auto last = out.sequence();
  out.end_batch();
  sequence_ = out.sequence();
  TRY(base::sys::wrap("nftables transaction", ::send(fd_.number(), out.bytes().data(), out.bytes().size(), 0)));
  alignas(nlmsghdr) std::array<char, 16384> buffer;
  std::optional<base::Error> failed;
  while (true) {
    ASSIGN_OR_RETURN(const long count, base::sys::wrap("nftables answer", ::recv(fd_.number(), buffer.data(), buffer.size(), 0)));
    int left = static_cast<int>(count);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); nlmsg_ok(message, left); message = nlmsg_next(message, &left)) {
      if (message->nlmsg_type != NLMSG_ERROR || message->nlmsg_seq < first || message->nlmsg_seq > sequence_) continue;
      const int number = -static_cast<nlmsgerr*>(nlmsg_data(message))->error;
      if (number != 0 && !failed) {
        failed = base::errno_error(number, "nftables " + described(out.bytes(), message->nlmsg_seq));
        if (number == ENOENT) failed->kind = base::ErrorKind::not_found;
        if (number == EEXIST) failed->kind = base::ErrorKind::exists;
      }
      const bool frame = message->nlmsg_seq == first || message->nlmsg_seq == sequence_;
      if (message->nlmsg_seq != last && !(frame && number != 0)) continue;
      if (!failed) return {};
      return *std::move(failed);
    }
  }
}

base::Result<std::uint32_t> NfSocket::generation() {
  NfWriter out(sequence_);
  out.table_message(NFT_MSG_GETGEN, 0, AF_UNSPEC);
  std::uint32_t number = 0;
  TRY(ask(out, [&](nlmsghdr* message) {
    number = u32_of(nlmsg_find_attr(message, sizeof(nfgenmsg), NFTA_GEN_ID));
    return false;
  }));
  if (number == 0) return base::make_error(base::ErrorKind::internal, "nftables names no generation");
  return number;
}

base::Result<std::vector<NfChain>> NfSocket::chains() {
  NfWriter out(sequence_);
  out.table_message(NFT_MSG_GETCHAIN, NLM_F_DUMP, AF_UNSPEC);
  std::vector<NfChain> found;
  // A change meanwhile marks the dump as torn (NLM_F_DUMP_INTR); whoever watches the ruleset looks again then.
  TRY(ask(out, [&](nlmsghdr* message) {
    found.push_back(parse_chain(message));
    return true;
  }));
  return found;
}

base::Result<> NfSocket::change(const std::vector<ElementChange>& changes) {
  if (changes.empty()) return {};
  return transact([&](NfWriter& out) -> base::Result<> {
    for (const auto& change : changes) TRY(put_element(out, change, &change == &changes.back()));
    return {};
  });
}

base::Result<> NfSocket::redirect_dns(std::uint16_t udp_port, std::uint16_t tcp_port) {
  static const auto resolver = Address::v4(0x7f00000b);
  const auto redirect = [](std::uint8_t protocol, std::uint16_t port) {
    return NfRule().to(Prefix(resolver, 32)).destination_port(protocol, 53).destination_nat(resolver, port);
  };
  return replace({.family = NFPROTO_IPV4, .name = "compose_dns", .maps = {},
                  .chains = {{.name = "output", .hook = {{.type = "nat", .number = NF_INET_LOCAL_OUT, .priority = -100, .policy = "accept"}},
                              .rules = {redirect(IPPROTO_UDP, udp_port), redirect(IPPROTO_TCP, tcp_port)}}}});
}

}  // namespace network
