#include "network/allocate.h"

#include <charconv>
#include <optional>

#include "network/address.h"
#include "network/driver_options.h"

namespace network {
namespace {

using base::ErrorKind;
using base::make_error;

/// Docker's default-address-pools, then one more: Docker's run dry after 31 networks (moby#23971).
const std::vector<AddressPool>& default_pools() {
  static const std::vector<AddressPool> pools = [] {
    std::vector<AddressPool> out;
    for (int second = 17; second <= 31; ++second)
      out.push_back({"172." + std::to_string(second) + ".0.0/16", 16});
    out.push_back({"192.168.0.0/16", 20});
    out.push_back({"10.64.0.0/10", 24});
    return out;
  }();
  return pools;
}

/// The taken prefixes with the name of who has them.
struct Taken {
  Prefix prefix;
  std::string owner;
};

std::vector<Taken> taken_subnets(const InUse& in_use) {
  std::vector<Taken> out;
  for (const auto& network : in_use.networks)
    for (const auto& subnet : network.subnets)
      if (auto prefix = Prefix::parse(subnet.subnet)) out.push_back({*prefix, network.name});
  return out;
}

std::vector<Prefix> parsed(const std::vector<std::string>& texts) {
  std::vector<Prefix> out;
  for (const auto& text : texts)
    if (auto prefix = Prefix::parse(text); prefix && prefix->length() > 0) out.push_back(*prefix);
  return out;
}

/// Moves to the prefix of the same length that follows.
std::optional<Prefix> next_of(const Prefix& prefix, const Prefix& pool) {
  const auto following = prefix.last().plus(1);
  if (!pool.contains(following)) return std::nullopt;
  return Prefix(following, prefix.length());
}

std::optional<Prefix> first_free(const Prefix& pool, int length, const std::vector<Taken>& taken,
                                 const std::vector<Prefix>& routes) {
  std::optional<Prefix> candidate = Prefix(pool.base(), length);
  while (candidate) {
    // Jump past whatever is in the way instead of stepping through it: pools may hold 2^16 subnets.
    std::optional<Prefix> obstacle;
    for (const auto& entry : taken)
      if (entry.prefix.overlaps(*candidate)) obstacle = entry.prefix;
    for (const auto& route : routes)
      if (route.overlaps(*candidate)) obstacle = route;
    if (!obstacle) return candidate;
    if (obstacle->length() < length) {
      if (!pool.contains(obstacle->last().plus(1)) || obstacle->last() < candidate->base())
        return std::nullopt;
      candidate = Prefix(obstacle->last().plus(1), length);
    } else {
      candidate = next_of(*candidate, pool);
    }
  }
  return std::nullopt;
}

base::Error pools_exhausted(const std::string& network) {
  return make_error(ErrorKind::exhausted,
                    "all predefined address pools have been fully subnetted: give network " + network +
                        " a subnet under ipam.config, or remove unused networks");
}

base::Result<Prefix> free_subnet_v4(const NetworkRequest& request, const std::vector<Taken>& taken,
                                    const std::vector<Prefix>& routes, const Pools& pools) {
  for (const auto& pool : pools.subnets.empty() ? default_pools() : pools.subnets) {
    ASSIGN_OR_RETURN(const auto base, Prefix::parse(pool.base));
    if (base.is_v6() || pool.size < base.length() || pool.size > 30)
      return make_error(ErrorKind::invalid, "address pool " + pool.base + " cannot be cut into /" +
                                                std::to_string(pool.size));
    if (auto found = first_free(base, pool.size, taken, routes)) return *found;
  }
  return pools_exhausted(request.name);
}

/// RFC 4193: fd + 40 random bits. Derived from the machine id they are random between machines and stable on one.
base::Result<Prefix> ula_base(const Pools& pools) {
  if (!pools.ipv6_base.empty()) return Prefix::parse(pools.ipv6_base);
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : pools.machine_id + "compose")
    hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3;
  std::array<std::uint8_t, 16> bytes{0xfd};
  for (std::size_t i = 1; i < 6; ++i) bytes[i] = static_cast<std::uint8_t>(hash >> (8 * i));
  return Prefix(Address::v6(bytes), 48);
}

base::Result<Prefix> free_subnet_v6(const NetworkRequest& request, const std::vector<Taken>& taken,
                                    const std::vector<Prefix>& routes, const Pools& pools) {
  ASSIGN_OR_RETURN(const auto base, ula_base(pools));
  if (auto found = first_free(base, std::max(64, base.length()), taken, routes)) return *found;
  return pools_exhausted(request.name);
}

base::Result<> check_inside(const Prefix& subnet, const std::string& text, std::string_view what) {
  ASSIGN_OR_RETURN(const auto prefix, Prefix::parse(text));
  if (subnet.contains(prefix)) return {};
  return make_error(ErrorKind::invalid,
                    std::string(what) + " " + text + " is outside subnet " + subnet.text());
}

/// Subnet given: check what is there and fill the gateway in.
base::Result<Subnet> complete(Subnet subnet, const NetworkConfig& config) {
  ASSIGN_OR_RETURN(const auto prefix, Prefix::parse(subnet.subnet));
  subnet.subnet = prefix.text();
  if (!subnet.ip_range.empty()) {
    TRY(check_inside(prefix, subnet.ip_range, "ip_range"));
    ASSIGN_OR_RETURN(const auto range, Prefix::parse(subnet.ip_range));
    subnet.ip_range = range.text();
  }
  for (const auto& [name, address] : subnet.aux_addresses)
    TRY(check_inside(prefix, address, "aux address " + name));
  if (!subnet.gateway.empty()) {
    TRY(check_inside(prefix, subnet.gateway, "gateway"));
    return subnet;
  }
  if (config.driver != "bridge" && config.internal) return subnet;
  ASSIGN_OR_RETURN(subnet.gateway, choose_address(subnet, {}));
  return subnet;
}

base::Result<> check_free(const Prefix& wanted, const std::vector<Taken>& taken,
                          const NetworkConfig& config) {
  // Several macvlan networks may share the physical network's subnet on different parents.
  if (config.driver != "bridge") return {};
  for (const auto& entry : taken)
    if (entry.prefix.overlaps(wanted) && entry.owner != config.name)
      return make_error(ErrorKind::exists, "subnet " + wanted.text() + " overlaps " +
                                               entry.prefix.text() + " of network " + entry.owner);
  return {};
}

base::Result<> fill_subnets(const NetworkRequest& request, const InUse& in_use, const Pools& pools,
                            NetworkConfig& config) {
  auto taken = taken_subnets(in_use);
  const auto routes = parsed(in_use.routes);
  bool has_v4 = false, has_v6 = false;
  std::vector<Subnet> asked = request.subnets;
  for (auto& subnet : asked) {
    if (subnet.subnet.empty()) continue;
    ASSIGN_OR_RETURN(const auto prefix, Prefix::parse(subnet.subnet));
    (prefix.is_v6() ? has_v6 : has_v4) = true;
    if (prefix.length() > prefix.address().bits() - 1)
      return make_error(ErrorKind::invalid, "subnet " + subnet.subnet + " is too small");
    TRY(check_free(prefix, taken, config));
    taken.push_back({prefix, config.name});
  }
  // An entry without a subnet stands for the IPv4 one (Docker: `ipam: {config: [{gateway: …}]}` needs a subnet then).
  for (auto& subnet : asked) {
    if (!subnet.subnet.empty()) continue;
    if (!subnet.ip_range.empty() || !subnet.gateway.empty() || !subnet.aux_addresses.empty())
      return make_error(ErrorKind::invalid, "ipam.config with ip_range, gateway or aux_addresses needs a subnet");
  }
  std::erase_if(asked, [](const Subnet& subnet) { return subnet.subnet.empty(); });
  if (request.ipv4 && !has_v4) {
    ASSIGN_OR_RETURN(const auto found, free_subnet_v4(request, taken, routes, pools));
    asked.insert(asked.begin(), Subnet{.subnet = found.text()});
  }
  if (request.ipv6 && !has_v6) {
    ASSIGN_OR_RETURN(const auto found, free_subnet_v6(request, taken, routes, pools));
    asked.push_back({.subnet = found.text()});
  }
  for (auto& subnet : asked) {
    ASSIGN_OR_RETURN(auto done, complete(std::move(subnet), config));
    config.subnets.push_back(std::move(done));
  }
  return {};
}

bool reserved_link_local(const Address& address) {
  const auto value = address.v4_host_order();
  const auto third = (value >> 8) & 0xff;
  if (value >> 16 != 0xa9fe) return false;
  // RFC 3927 section 2.1 reserves the first and last /24; clouds answer in 169.254.169-172 (metadata, DNS, time, ECS).
  return third == 0 || third == 255 || (third >= 168 && third <= 175);
}

base::Result<> fill_uplink(const InUse& in_use, const Pools& pools, NetworkConfig& config) {
  ASSIGN_OR_RETURN(const auto pool, Prefix::parse(pools.uplinks));
  ASSIGN_OR_RETURN(const auto pool6, Prefix::parse(pools.uplinks6));
  std::set<Address> used;
  for (const auto& network : in_use.networks)
    if (auto prefix = Prefix::parse(network.uplink)) used.insert(prefix->base());
  std::vector<Prefix> near;  // wide routes (169.254.0.0/16 of zeroconf) do not make a /31 of it unusable
  for (const auto& route : parsed(in_use.routes))
    if (!route.is_v6() && route.length() > pool.length()) near.push_back(route);
  const auto end = pool.last();
  std::uint64_t offset = 0;
  for (auto at = pool.base(); at < end; at = at.plus(2), offset += 2) {
    const Prefix uplink(at, 31);
    if (reserved_link_local(at) || used.contains(at)) continue;
    if (std::any_of(near.begin(), near.end(), [&](const Prefix& route) { return route.overlaps(uplink); }))
      continue;
    config.uplink = uplink.text();
    const bool has_v6 = std::any_of(config.subnets.begin(), config.subnets.end(), is_ipv6);
    if (has_v6) config.uplink6 = Prefix(pool6.base().plus(offset), 127).text();
    return {};
  }
  return make_error(ErrorKind::exhausted, "every /31 of " + pools.uplinks + " is taken by an uplink");
}

}  // namespace

bool is_ipv6(const Subnet& subnet) { return subnet.subnet.find(':') != std::string::npos; }

base::Result<NetworkConfig> decide(const NetworkRequest& request, const InUse& in_use, const Pools& pools) {
  ASSIGN_OR_RETURN(auto config, apply_driver_options(request));
  TRY(fill_subnets(request, in_use, pools, config).with("network " + request.name));
  if (config.driver == "bridge" && !config.internal)
    TRY(fill_uplink(in_use, pools, config).with("network " + request.name));
  return config;
}

base::Result<std::string> choose_address(const Subnet& subnet, const std::set<std::string>& leased,
                                         const std::string& wanted) {
  ASSIGN_OR_RETURN(const auto whole, Prefix::parse(subnet.subnet));
  auto range = whole;
  if (!subnet.ip_range.empty()) {
    ASSIGN_OR_RETURN(range, Prefix::parse(subnet.ip_range));
  }
  std::set<Address> used;
  for (const auto& text : leased)
    if (auto address = Prefix::parse(text)) used.insert(address->address());
  std::set<Address> reserved;
  if (auto gateway = Address::parse(subnet.gateway)) reserved.insert(*gateway);
  for (const auto& [name, text] : subnet.aux_addresses)
    if (auto address = Address::parse(text)) reserved.insert(*address);
  const int host_bits = whole.address().bits() - whole.length();
  if (host_bits > 1) {
    reserved.insert(whole.base());  // network address; in IPv6 the subnet-router anycast address
    if (!whole.is_v6()) reserved.insert(whole.last());
  }
  if (!wanted.empty()) {
    ASSIGN_OR_RETURN(const auto address, Address::parse(wanted));
    if (!whole.contains(address))
      return make_error(ErrorKind::invalid, "address " + wanted + " is outside subnet " + whole.text());
    if (reserved.contains(address))
      return make_error(ErrorKind::invalid, "address " + wanted + " is reserved in subnet " + whole.text());
    if (used.contains(address))
      return make_error(ErrorKind::exists, "address " + wanted + " is already in use");
    return address.text();
  }
  const auto free = [&](const Address& at) { return !used.contains(at) && !reserved.contains(at); };
  const auto scan = [&](Address from) -> std::optional<Address> {
    // Each step passes an address that is used or reserved, so this ends after at most that many.
    for (; range.contains(from); from = from.plus(1)) {
      if (free(from)) return from;
      if (from == range.last()) break;
    }
    return std::nullopt;
  };
  auto start = range.base();
  for (const auto& address : used)
    if (range.contains(address)) start = address.plus(1);  // sets are sorted: the highest wins
  auto found = scan(start);
  if (!found) found = scan(range.base());
  if (!found)
    return make_error(ErrorKind::exhausted, "no address is left in " + range.text());
  return found->text();
}

std::string with_prefix_length(const Subnet& subnet, const std::string& address) {
  const auto slash = subnet.subnet.find('/');
  return slash == std::string::npos ? address : address + subnet.subnet.substr(slash);
}

}  // namespace network
