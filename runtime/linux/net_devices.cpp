// rtnetlink(7) by hand: libnl registers every kind of object it knows when a program starts, which each start of this one would pay for
// three requests that hardly any container makes.
#include "runtime/linux/net_devices.h"

#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

#include <set>

#include "base/sys.h"
#include "runtime/linux/kernel.h"

#pragma GCC diagnostic ignored "-Wold-style-cast"  // the macros of <linux/netlink.h>

namespace runtime {

using base::ErrorKind;
using base::Fd;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

/// One request in the making: a header, a fixed part, attributes.
class Request {
 public:
  template <class Fixed>
  Request(std::uint16_t type, unsigned flags, const Fixed& fixed) : bytes_(NLMSG_ALIGN(sizeof(nlmsghdr)), '\0') {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    std::memcpy(bytes_.data(), &header, sizeof header);
    append(&fixed, sizeof fixed);
  }
  void attribute(std::uint16_t type, std::string_view value) {
    const rtattr header{.rta_len = static_cast<std::uint16_t>(RTA_LENGTH(value.size())), .rta_type = type};
    append(&header, sizeof header);
    append(value.data(), value.size());
  }
  void number(std::uint16_t type, std::uint32_t value) {
    attribute(type, std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
  }
  void name(const std::string& text) { attribute(IFLA_IFNAME, std::string_view(text.c_str(), text.size() + 1)); }
  std::string_view finish() {
    const auto length = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &length, sizeof length);  // nlmsg_len comes first
    return bytes_;
  }

 private:
  void append(const void* data, std::size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
    bytes_.resize(NLMSG_ALIGN(bytes_.size()), '\0');
  }
  std::string bytes_;
};

/// A socket of the network namespace it was opened in.
class Rtnetlink {
 public:
  static Result<Rtnetlink> open() {
    ASSIGN_OR_RETURN(auto socket, sys::socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    return Rtnetlink(std::move(socket));
  }

  /// Sends one request and calls `body` with every message of the answer. The kernel's errno as Error.
  Result<> ask(Request& request, const std::function<void(const nlmsghdr&)>& body = {}) const {
    TRY(kernel::write_once(socket_.borrow(), request.finish()));
    alignas(nlmsghdr) char buffer[32768];
    while (true) {
      const ssize_t count = ::recv(socket_.number(), buffer, sizeof buffer, 0);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return base::errno_error(errno, "rtnetlink");
      auto left = static_cast<unsigned>(count);
      bool more = false;
      for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer); NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
        if (message->nlmsg_type == NLMSG_DONE) return {};
        if (message->nlmsg_type == NLMSG_ERROR) {
          const auto* answer = static_cast<const nlmsgerr*>(NLMSG_DATA(message));
          return answer->error == 0 ? Result<>() : base::errno_error(-answer->error, "rtnetlink");
        }
        if (body) body(*message);
        more = (message->nlmsg_flags & NLM_F_MULTI) != 0;
      }
      if (!more) return {};
    }
  }

  [[nodiscard]] Result<int> index_of(const std::string& interface) const {
    Request request(RTM_GETLINK, 0, ifinfomsg{});
    request.name(interface);
    int index = 0;
    TRY(ask(request, [&](const nlmsghdr& message) { index = static_cast<const ifinfomsg*>(NLMSG_DATA(&message))->ifi_index; }));
    return index;
  }

 private:
  explicit Rtnetlink(UniqueFd socket) : socket_(std::move(socket)) {}
  UniqueFd socket_;
};

struct Address {
  ifaddrmsg about{};
  std::vector<std::pair<std::uint16_t, std::string>> attributes;
};

/// Those somebody configured and that mean something outside of the link. The rest (link-local, temporary) the kernel makes anew.
Result<std::vector<Address>> lasting_addresses(const Rtnetlink& link, int index) {
  std::vector<Address> out;
  Request request(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{});
  TRY(link.ask(request, [&](const nlmsghdr& message) {
    const auto* about = static_cast<const ifaddrmsg*>(NLMSG_DATA(&message));
    if (static_cast<int>(about->ifa_index) != index || about->ifa_scope != RT_SCOPE_UNIVERSE || !(about->ifa_flags & IFA_F_PERMANENT)) return;
    Address address{.about = *about, .attributes = {}};
    auto left = static_cast<unsigned>(IFA_PAYLOAD(&message));
    for (const rtattr* at = IFA_RTA(about); RTA_OK(at, left); at = RTA_NEXT(at, left))
      if (at->rta_type == IFA_LOCAL || at->rta_type == IFA_ADDRESS || at->rta_type == IFA_BROADCAST)
        address.attributes.emplace_back(at->rta_type, std::string(static_cast<const char*>(RTA_DATA(at)), RTA_PAYLOAD(at)));
    out.push_back(std::move(address));
  }));
  return out;
}

/// What `interface` had before the move is put back where it is now.
Result<> settle(const Rtnetlink& there, const std::string& interface, const std::vector<Address>& addresses) {
  ASSIGN_OR_RETURN(const int index, there.index_of(interface));
  for (const Address& address : addresses) {
    ifaddrmsg about = address.about;
    about.ifa_index = static_cast<unsigned>(index);
    Request request(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, about);
    for (const auto& [type, value] : address.attributes) request.attribute(type, value);
    TRY(there.ask(request).with("giving back an address"));
  }
  ifinfomsg up{};
  up.ifi_index = index;
  up.ifi_flags = up.ifi_change = IFF_UP;
  Request request(RTM_NEWLINK, NLM_F_ACK, up);
  return there.ask(request).with("raising it");
}

Result<> move(const Rtnetlink& here, const Rtnetlink& there, const std::string& interface, const std::string& name, Fd target) {
  auto index = here.index_of(interface);
  if (!index) return base::errno_error(index.error().number, "no such interface");
  ASSIGN_OR_RETURN(const auto addresses, lasting_addresses(here, *index));
  ifinfomsg link{};
  link.ifi_index = *index;
  Request request(RTM_NEWLINK, NLM_F_ACK, link);
  request.number(IFLA_NET_NS_FD, static_cast<std::uint32_t>(target.number()));
  request.name(name);
  TRY(here.ask(request).with(name == interface ? "moving it" : "moving it as " + name));
  return settle(there, name, addresses);
}

Result<Rtnetlink> open_in(Fd target) {
  ASSIGN_OR_RETURN(const auto own, sys::open("/proc/self/ns/net", O_RDONLY));
  TRY(kernel::setns(target, CLONE_NEWNET).with("joining the network namespace"));
  auto socket = Rtnetlink::open();
  TRY(sys::wrap("returning to the host's network namespace", ::setns(own.number(), CLONE_NEWNET)));
  return socket;
}

/// dev_valid_name() of the kernel, without the patterns ("eth%d") it would complete.
bool valid_name(const std::string& name) {
  return !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." && name.find_first_of("/:% \t\n\v\f\r") == std::string::npos;
}

}  // namespace

Result<> check_net_devices(const spec::Config& config, const NamespacePlan& plan) {
  const auto wrong = [](std::string what) { return base::make_error(ErrorKind::invalid, "linux.netDevices: " + std::move(what)); };
  if (config.linux_.net_devices.empty()) return {};
  if (!plan.has(CLONE_NEWNET)) return wrong("needs a network namespace");
  std::set<std::string> names;
  for (const auto& [interface, device] : config.linux_.net_devices) {
    const std::string& name = device.name.empty() ? interface : device.name;
    for (const auto& word : {interface, name})
      if (!valid_name(word)) return wrong("'" + word + "' is not the name of an interface");
    if (!names.insert(name).second) return wrong("two interfaces are to be named '" + name + "'");
  }
  return {};
}

Result<> move_net_devices(const std::map<std::string, spec::NetDevice>& devices, Fd target) {
  ASSIGN_OR_RETURN(const auto here, Rtnetlink::open());
  ASSIGN_OR_RETURN(const auto there, open_in(target));
  for (const auto& [interface, device] : devices)
    TRY(move(here, there, interface, device.name.empty() ? interface : device.name, target).with("linux.netDevices: " + interface));
  return {};
}

}  // namespace runtime
