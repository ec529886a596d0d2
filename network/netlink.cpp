#include "network/netlink.h"

#include <linux/if_bridge.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <cassert>
#include <cerrno>
#include <cstring>
#include <cstdio>
#include <new>
#include <thread>

#include "base/sys.h"
#include "network/netns.h"

namespace network::netlink {
namespace {

constexpr int create_flags = NLM_F_CREATE | NLM_F_EXCL;

/// libnl's puts fail only when the message buffer (a page) is full, which no message of ours comes near.
void check(int result) {
  assert(result >= 0);
  (void)result;
}
void put_u32(nl_msg* m, int type, std::uint32_t value) { check(nla_put_u32(m, type, value)); }
void put_u16(nl_msg* m, int type, std::uint16_t value) { check(nla_put_u16(m, type, value)); }
void put_u8(nl_msg* m, int type, std::uint8_t value) { check(nla_put_u8(m, type, value)); }
void put_text(nl_msg* m, int type, const std::string& value) { check(nla_put_string(m, type, value.c_str())); }
void put_bytes(nl_msg* m, int type, std::string_view value) {
  check(nla_put(m, type, static_cast<int>(value.size()), value.data()));
}
void put_mac(nl_msg* m, const std::string& mac) {
  if (mac.empty()) return;
  if (auto bytes = parse_mac(mac)) put_bytes(m, IFLA_ADDRESS, *bytes);
}

ifinfomsg link_header(int index, bool up) {
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = index;
  if (up) header.ifi_flags = header.ifi_change = IFF_UP;
  return header;
}

template <class Header>
void append(nl_msg* m, const Header& header) {
  Header copy = header;
  check(nlmsg_append(m, &copy, sizeof copy, NLMSG_ALIGNTO));
}

std::uint16_t macvlan_mode(const std::string& mode) {
  if (mode == "private") return MACVLAN_MODE_PRIVATE;
  if (mode == "vepa") return MACVLAN_MODE_VEPA;
  if (mode == "passthru") return MACVLAN_MODE_PASSTHRU;
  return MACVLAN_MODE_BRIDGE;
}
std::uint16_t ipvlan_mode(const std::string& mode) {
  if (mode == "l3") return IPVLAN_MODE_L3;
  if (mode == "l3s") return IPVLAN_MODE_L3S;
  return IPVLAN_MODE_L2;
}

}  // namespace

base::Result<std::string> parse_mac(const std::string& text) {
  std::array<unsigned, 6> parts{};
  int used = 0;
  const int count = std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%n", &parts[0], &parts[1], &parts[2],
                                &parts[3], &parts[4], &parts[5], &used);
  if (count != 6 || static_cast<std::size_t>(used) != text.size() || (parts[0] & 1) != 0)
    return base::make_error(base::ErrorKind::invalid, "'" + text + "' is not a unicast MAC address");
  std::string out;
  for (const unsigned part : parts) out.push_back(static_cast<char>(part));
  return out;
}

Batch::Batch() = default;
Batch::~Batch() {
  for (auto& entry : requests_) nlmsg_free(entry.message);
}

nl_msg* Batch::request(int type, int flags, std::string label, int tolerated) {
  nl_msg* message = nlmsg_alloc_simple(type, NLM_F_REQUEST | NLM_F_ACK | flags);
  if (!message) throw std::bad_alloc();
  requests_.push_back({message, std::move(label), tolerated});
  return message;
}

void Batch::add_bridge(const std::string& name, const std::string& mac, int mtu) {
  auto* m = request(RTM_NEWLINK, create_flags, "bridge " + name, EEXIST);
  append(m, link_header(0, true));
  put_text(m, IFLA_IFNAME, name);
  put_mac(m, mac);  // fixed: else a bridge takes its lowest port's, and changes it under its neighbours
  put_u32(m, IFLA_MTU, static_cast<std::uint32_t>(mtu));
  auto* info = nla_nest_start(m, IFLA_LINKINFO);
  put_text(m, IFLA_INFO_KIND, "bridge");
  auto* data = nla_nest_start(m, IFLA_INFO_DATA);
  put_u32(m, IFLA_BR_FORWARD_DELAY, 0);
  // Snooping without a querier on the segment loses multicast, neighbour discovery among it.
  put_u8(m, IFLA_BR_MCAST_SNOOPING, 0);
  nla_nest_end(m, data);
  nla_nest_end(m, info);
}

namespace {
/// One queue for each direction, said outright. A veth uses one in any case; left to itself it is made with one for every
/// processor, which are then taken away again, with a wait for all readers each time (veth_init_queues(), about 1 ms).
void put_one_queue(nl_msg* m) {
  put_u32(m, IFLA_NUM_TX_QUEUES, 1);
  put_u32(m, IFLA_NUM_RX_QUEUES, 1);
}
}  // namespace

void Batch::add_veth(const VethSpec& spec) {
  auto* m = request(RTM_NEWLINK, create_flags, "veth " + spec.name + " (" + spec.peer_name + ")");
  append(m, link_header(spec.index, true));
  put_text(m, IFLA_IFNAME, spec.name);
  put_u32(m, IFLA_MTU, static_cast<std::uint32_t>(spec.mtu));
  put_one_queue(m);
  if (spec.master) put_u32(m, IFLA_MASTER, static_cast<std::uint32_t>(spec.master));
  auto* info = nla_nest_start(m, IFLA_LINKINFO);
  put_text(m, IFLA_INFO_KIND, "veth");
  auto* data = nla_nest_start(m, IFLA_INFO_DATA);
  auto* peer = nla_nest_start(m, VETH_INFO_PEER);
  append(m, link_header(0, false));  // up only afterwards: veth_open() wants its peer linked
  put_text(m, IFLA_IFNAME, spec.peer_name);
  put_u32(m, IFLA_MTU, static_cast<std::uint32_t>(spec.mtu));
  put_one_queue(m);
  put_mac(m, spec.peer_mac);
  put_u32(m, IFLA_NET_NS_FD, static_cast<std::uint32_t>(spec.peer_netns.number()));
  nla_nest_end(m, peer);
  nla_nest_end(m, data);
  nla_nest_end(m, info);
}

void Batch::add_vlan(const VlanSpec& spec) {
  auto* m = request(RTM_NEWLINK, create_flags, spec.kind + " " + spec.name);
  append(m, link_header(0, false));
  put_text(m, IFLA_IFNAME, spec.name);
  put_u32(m, IFLA_LINK, static_cast<std::uint32_t>(spec.parent));
  if (spec.mtu) put_u32(m, IFLA_MTU, static_cast<std::uint32_t>(spec.mtu));
  if (spec.kind == "macvlan") put_mac(m, spec.mac);  // ipvlan shares its parent's
  put_u32(m, IFLA_NET_NS_FD, static_cast<std::uint32_t>(spec.netns.number()));
  auto* info = nla_nest_start(m, IFLA_LINKINFO);
  put_text(m, IFLA_INFO_KIND, spec.kind);
  auto* data = nla_nest_start(m, IFLA_INFO_DATA);
  if (spec.kind == "macvlan") {
    put_u32(m, IFLA_MACVLAN_MODE, macvlan_mode(spec.mode));
  } else {
    put_u16(m, IFLA_IPVLAN_MODE, ipvlan_mode(spec.mode));
  }
  nla_nest_end(m, data);
  nla_nest_end(m, info);
}

void Batch::set_up(int interface, bool up) {
  auto* m = request(RTM_NEWLINK, 0, "link " + std::to_string(interface) + " up");
  auto header = link_header(interface, true);
  if (!up) header.ifi_flags = 0;
  append(m, header);
}

void Batch::set_name(int interface, const std::string& name) {
  auto* m = request(RTM_NEWLINK, 0, "name of link " + name);
  append(m, link_header(interface, false));
  put_text(m, IFLA_IFNAME, name);
}

void Batch::set_down(const std::string& name) {
  auto* m = request(RTM_NEWLINK, 0, "link " + name + " down", ENODEV);
  auto header = link_header(0, true);
  header.ifi_flags = 0;
  append(m, header);
  put_text(m, IFLA_IFNAME, name);
}

void Batch::set_group(const std::string& name, unsigned group) {
  auto* m = request(RTM_NEWLINK, 0, "group of link " + name, ENODEV);
  append(m, link_header(0, false));
  put_text(m, IFLA_IFNAME, name);
  put_u32(m, IFLA_GROUP, group);
}

void Batch::isolate_port(int interface) {
  auto* m = request(RTM_SETLINK, 0, "isolate port " + std::to_string(interface));
  auto header = link_header(interface, false);
  header.ifi_family = AF_BRIDGE;
  append(m, header);
  auto* info = nla_nest_start(m, IFLA_PROTINFO | NLA_F_NESTED);
  put_u8(m, IFLA_BRPORT_ISOLATED, 1);
  nla_nest_end(m, info);
}

void Batch::remove_link(const std::string& name) {
  auto* m = request(RTM_DELLINK, 0, "remove link " + name, ENODEV);
  append(m, link_header(0, false));
  put_text(m, IFLA_IFNAME, name);
}

void Batch::remove_group(unsigned group) {
  auto* m = request(RTM_DELLINK, 0, "remove links", ENODEV);
  append(m, link_header(0, false));
  put_u32(m, IFLA_GROUP, group);
}

void Batch::add_address(int interface, const Prefix& address) {
  auto* m = request(RTM_NEWADDR, create_flags,
                    "address " + address.address().text() + "/" + std::to_string(address.length()), EEXIST);
  ifaddrmsg header{};
  header.ifa_family = address.is_v6() ? AF_INET6 : AF_INET;
  header.ifa_prefixlen = static_cast<std::uint8_t>(address.length());
  // The engine hands out unique addresses; duplicate detection would hold the address back for a second.
  header.ifa_flags = address.is_v6() ? IFA_F_NODAD : 0;
  header.ifa_index = static_cast<unsigned>(interface);
  append(m, header);
  put_bytes(m, IFA_LOCAL, address.address().bytes());
  put_bytes(m, IFA_ADDRESS, address.address().bytes());
  if (!address.is_v6() && address.length() < 31) put_bytes(m, IFA_BROADCAST, address.last().bytes());
}

namespace {
void fill_route(nl_msg* m, const RouteSpec& spec) {
  const bool v6 = spec.destination ? spec.destination->is_v6() : spec.v6;
  rtmsg header{};
  header.rtm_family = v6 ? AF_INET6 : AF_INET;
  header.rtm_dst_len = static_cast<std::uint8_t>(spec.destination ? spec.destination->length() : 0);
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_STATIC;
  header.rtm_scope = spec.link_scope ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  header.rtm_type = RTN_UNICAST;
  append(m, header);
  if (spec.destination) put_bytes(m, RTA_DST, spec.destination->base().bytes());
  if (spec.gateway) put_bytes(m, RTA_GATEWAY, spec.gateway->bytes());
  if (spec.interface) put_u32(m, RTA_OIF, static_cast<std::uint32_t>(spec.interface));
  if (spec.metric) put_u32(m, RTA_PRIORITY, spec.metric);
}
std::string route_name(const RouteSpec& spec) {
  return "route " + (spec.destination ? spec.destination->text() : std::string("default")) +
         (spec.gateway ? " via " + spec.gateway->text() : "");
}
}  // namespace

void Batch::add_route(const RouteSpec& spec) {
  auto* m = request(RTM_NEWROUTE, NLM_F_CREATE | (spec.replace ? NLM_F_REPLACE : NLM_F_EXCL),
                    route_name(spec), EEXIST);
  fill_route(m, spec);
}

void Batch::remove_route(const RouteSpec& spec) {
  auto* m = request(RTM_DELROUTE, 0, "remove " + route_name(spec), ESRCH);
  fill_route(m, spec);
}

base::Result<Socket> Socket::open() {
  ASSIGN_OR_RETURN(auto fd, base::sys::socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  const int on = 1;
  // Texts in errors; older kernels do without.
  (void)::setsockopt(fd.number(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  (void)::setsockopt(fd.number(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  const int buffer_bytes = 1 << 20;
  (void)::setsockopt(fd.number(), SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  TRY(base::sys::wrap("bind netlink", ::bind(fd.number(), reinterpret_cast<sockaddr*>(&address), sizeof address)));
  return Socket(std::move(fd));
}

base::Result<Socket> Socket::open(base::Fd netns) {
  base::Result<Socket> out = base::make_error(base::ErrorKind::internal, "not opened");
  auto entered = in_netns(netns, [&]() -> base::Result<> {
    out = open();
    return {};
  });
  if (!entered) return std::move(entered).error();
  return out;
}

base::Result<> Socket::send(const std::string& bytes) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  TRY(base::sys::wrap("send netlink", ::sendto(fd_.number(), bytes.data(), bytes.size(), 0,
                                               reinterpret_cast<sockaddr*>(&kernel), sizeof kernel)));
  return {};
}

namespace {

/// Calls `each` for every message until it says stop. The kernel keeps messages aligned.
template <class Each>
base::Result<> receive(int fd, Each&& each) {
  // The kernel makes no message of a dump larger than this (netlink_recvmsg() caps max_recvmsg_len at 32 KiB). On the stack
  // and not zeroed: every step of an attach asks, and an answer touches a page of it.
  constexpr std::size_t size = 32 * 1024;
  alignas(NLMSG_ALIGNTO) char buffer[size];
  while (true) {
    long count;
    do {
      count = ::recv(fd, buffer, size, 0);
    } while (count < 0 && errno == EINTR);
    ASSIGN_OR_RETURN(count, base::sys::wrap("receive netlink", count));
    int left = static_cast<int>(count);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer); nlmsg_ok(message, left);
         message = nlmsg_next(message, &left)) {
      ASSIGN_OR_RETURN(const bool more, each(message));
      if (!more) return {};
    }
  }
}

/// The kernel's own words, when it sent some.
std::string extended_text(nlmsghdr* message) {
  if (!(message->nlmsg_flags & NLM_F_ACK_TLVS)) return {};
  auto* ack = static_cast<nlmsgerr*>(nlmsg_data(message));
  std::size_t skip = sizeof *ack;
  if (!(message->nlmsg_flags & NLM_F_CAPPED)) skip += ack->msg.nlmsg_len - sizeof(nlmsghdr);
  const int length = nlmsg_datalen(message) - static_cast<int>(NLMSG_ALIGN(skip));
  if (length <= 0) return {};
  auto* first = reinterpret_cast<nlattr*>(static_cast<char*>(nlmsg_data(message)) + NLMSG_ALIGN(skip));
  auto* text = nla_find(first, length, NLMSGERR_ATTR_MSG);
  return text ? std::string(nla_get_string(text)) : std::string();
}

base::Error failure(nlmsghdr* message, const std::string& label) {
  const auto* ack = static_cast<nlmsgerr*>(nlmsg_data(message));
  auto error = base::errno_error(-ack->error, label);
  if (const auto text = extended_text(message); !text.empty()) error.message += " (" + text + ")";
  return error;
}

}  // namespace

base::Result<> Socket::run(const Batch& batch) {
  if (batch.empty()) return {};
  std::string bytes;
  const auto first = sequence_ + 1;
  for (const auto& entry : batch.requests_) {
    auto* header = nlmsg_hdr(entry.message);
    header->nlmsg_seq = ++sequence_;
    bytes.append(reinterpret_cast<const char*>(header), header->nlmsg_len);
    bytes.resize(NLMSG_ALIGN(bytes.size()));
  }
  TRY(send(bytes));
  std::optional<base::Error> failed;
  std::size_t answered = 0;
  auto received = receive(fd_.number(), [&](nlmsghdr* message) -> base::Result<bool> {
    // Answers to an earlier, abandoned batch are passed over.
    const auto at = message->nlmsg_seq - first;
    if (message->nlmsg_type != NLMSG_ERROR || at >= batch.requests_.size()) return true;
    const auto& entry = batch.requests_[at];
    const int number = -static_cast<nlmsgerr*>(nlmsg_data(message))->error;
    if (number != 0 && number != entry.tolerated && !failed) failed = failure(message, entry.label);
    return ++answered < batch.requests_.size();
  });
  TRY(std::move(received));
  if (failed) return *std::move(failed);
  return {};
}

namespace {

Link parse_link(nlmsghdr* message) {
  const auto* header = static_cast<ifinfomsg*>(nlmsg_data(message));
  Link out;
  out.index = header->ifi_index;
  out.up = (header->ifi_flags & IFF_UP) != 0;
  std::array<nlattr*, IFLA_MAX + 1> attributes{};
  nlmsg_parse(message, sizeof *header, attributes.data(), IFLA_MAX, nullptr);
  if (attributes[IFLA_IFNAME]) out.name = nla_get_string(attributes[IFLA_IFNAME]);
  if (attributes[IFLA_MTU]) out.mtu = static_cast<int>(nla_get_u32(attributes[IFLA_MTU]));
  if (attributes[IFLA_OPERSTATE]) out.running = nla_get_u8(attributes[IFLA_OPERSTATE]) == IF_OPER_UP;
  if (attributes[IFLA_LINKINFO]) {
    std::array<nlattr*, IFLA_INFO_MAX + 1> info{};
    nla_parse_nested(info.data(), IFLA_INFO_MAX, attributes[IFLA_LINKINFO], nullptr);
    if (info[IFLA_INFO_KIND]) out.kind = nla_get_string(info[IFLA_INFO_KIND]);
  }
  return out;
}

std::optional<Address> to_address(nlattr* attribute, bool v6) {
  if (!attribute || nla_len(attribute) != (v6 ? 16 : 4)) return std::nullopt;
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), nla_data(attribute), static_cast<std::size_t>(nla_len(attribute)));
  if (v6) return Address::v6(bytes);
  return Address::v4(std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
                     std::uint32_t{bytes[2]} << 8 | bytes[3]);
}

RouteEntry parse_route(nlmsghdr* message) {
  const auto* header = static_cast<rtmsg*>(nlmsg_data(message));
  RouteEntry out;
  out.v6 = header->rtm_family == AF_INET6;
  out.type = header->rtm_type;
  out.protocol = header->rtm_protocol;
  out.table = header->rtm_table;
  std::array<nlattr*, RTA_MAX + 1> attributes{};
  nlmsg_parse(message, sizeof *header, attributes.data(), RTA_MAX, nullptr);
  if (attributes[RTA_TABLE]) out.table = static_cast<int>(nla_get_u32(attributes[RTA_TABLE]));
  if (attributes[RTA_OIF]) out.interface = static_cast<int>(nla_get_u32(attributes[RTA_OIF]));
  if (attributes[RTA_PRIORITY]) out.metric = nla_get_u32(attributes[RTA_PRIORITY]);
  if (attributes[RTA_METRICS])
    if (auto* mtu = nla_find(static_cast<nlattr*>(nla_data(attributes[RTA_METRICS])),
                             nla_len(attributes[RTA_METRICS]), RTAX_MTU))
      out.mtu = static_cast<int>(nla_get_u32(mtu));
  if (header->rtm_dst_len > 0)
    if (auto address = to_address(attributes[RTA_DST], out.v6))
      out.destination = Prefix(*address, header->rtm_dst_len);
  return out;
}

}  // namespace

base::Result<Link> Socket::link(const std::string& name) {
  auto* raw = nlmsg_alloc_simple(RTM_GETLINK, NLM_F_REQUEST);
  if (!raw) return base::make_error(base::ErrorKind::exhausted, "out of memory");
  const std::unique_ptr<nl_msg, void (*)(nl_msg*)> message(raw, nlmsg_free);
  append(raw, link_header(0, false));
  put_text(raw, IFLA_IFNAME, name);
  auto* header = nlmsg_hdr(raw);
  header->nlmsg_seq = ++sequence_;
  TRY(send({reinterpret_cast<const char*>(header), header->nlmsg_len}));
  std::optional<Link> found;
  std::optional<base::Error> failed;
  auto received = receive(fd_.number(), [&](nlmsghdr* answer) -> base::Result<bool> {
    if (answer->nlmsg_seq != sequence_) return true;
    if (answer->nlmsg_type == NLMSG_ERROR) {
      failed = failure(answer, "link " + name);
      if (failed->number == ENODEV) failed->kind = base::ErrorKind::not_found;
    } else {
      found = parse_link(answer);
    }
    return false;
  });
  TRY(std::move(received));
  if (failed) return *std::move(failed);
  return *std::move(found);
}

base::Result<bool> Socket::reachable(const std::vector<Prefix>& addresses) {
  const bool v6 = std::any_of(addresses.begin(), addresses.end(), [](const Prefix& each) { return each.is_v6(); });
  if (!v6) return true;
  ASSIGN_OR_RETURN(const auto known, routes());
  return std::all_of(addresses.begin(), addresses.end(), [&](const Prefix& each) {
    return !each.is_v6() || std::any_of(known.begin(), known.end(), [&](const RouteEntry& route) {
      return route.type == RTN_LOCAL && route.destination && route.destination->address() == each.address();
    });
  });
}

base::Result<> Socket::settle(const std::string& name, const std::vector<Prefix>& addresses) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  while (true) {
    ASSIGN_OR_RETURN(const auto now, link(name));
    ASSIGN_OR_RETURN(const bool ready, now.running ? reachable(addresses) : base::Result<bool>(false));
    if (ready || std::chrono::steady_clock::now() > deadline) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

namespace {
/// A dump request for `family`; `each` sees every message of the answer.
template <class Header, class Send, class Each>
base::Result<> dump(int fd, int type, const Header& body, std::uint32_t sequence, Send&& send, Each&& each) {
  auto* raw = nlmsg_alloc_simple(type, NLM_F_REQUEST | NLM_F_DUMP);
  if (!raw) return base::make_error(base::ErrorKind::exhausted, "out of memory");
  const std::unique_ptr<nl_msg, void (*)(nl_msg*)> message(raw, nlmsg_free);
  append(raw, body);
  auto* header = nlmsg_hdr(raw);
  header->nlmsg_seq = sequence;
  TRY(send(std::string(reinterpret_cast<const char*>(header), header->nlmsg_len)));
  return receive(fd, [&](nlmsghdr* answer) -> base::Result<bool> {
    if (answer->nlmsg_seq != sequence) return true;
    if (answer->nlmsg_type == NLMSG_DONE) return false;
    if (answer->nlmsg_type == NLMSG_ERROR) return failure(answer, "netlink dump");
    each(answer);
    return true;
  });
}
}  // namespace

base::Result<std::vector<Link>> Socket::links() {
  std::vector<Link> out;
  TRY(dump(fd_.number(), RTM_GETLINK, link_header(0, false), ++sequence_,
           [&](const std::string& bytes) { return send(bytes); },
           [&](nlmsghdr* answer) { out.push_back(parse_link(answer)); }));
  return out;
}

base::Result<std::vector<RouteEntry>> Socket::routes() {
  std::vector<RouteEntry> out;
  for (const int family : {AF_INET, AF_INET6}) {
    rtmsg header{};
    header.rtm_family = static_cast<std::uint8_t>(family);
    TRY(dump(fd_.number(), RTM_GETROUTE, header, ++sequence_,
             [&](const std::string& bytes) { return send(bytes); },
             [&](nlmsghdr* answer) { out.push_back(parse_route(answer)); }));
  }
  return out;
}

}  // namespace network::netlink
