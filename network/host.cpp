#include "network/host.h"

#include <linux/netfilter.h>
#include <linux/rtnetlink.h>
#include <sys/file.h>

#include <algorithm>

#include "base/sys.h"
#include "network/host_state.h"
#include "network/rules.h"

namespace network {

base::Result<HostLock> HostLock::take() {
  ASSIGN_OR_RETURN(auto fd, base::sys::open("/proc/self/ns/net", O_RDONLY));
  TRY(base::sys::wrap("lock the network namespace", ::flock(fd.number(), LOCK_EX)));
  return HostLock(std::move(fd));
}

std::string read_sysctl(const std::string& name) {
  auto text = base::sys::read_file("/proc/sys/" + name);
  if (!text) return {};
  while (!text->empty() && text->back() == '\n') text->pop_back();
  return *text;
}

base::Result<> write_sysctl(const std::string& name, const std::string& value) {
  if (read_sysctl(name) == value) return {};
  return base::sys::write_file("/proc/sys/" + name, value);
}

namespace {
/// Of an uplink. Another process may take its network away while we look: a link that is gone needs no door.
base::Result<> open_door(const std::string& knob) {
  auto written = write_sysctl(knob, "1");
  if (!written && written.error().kind == base::ErrorKind::not_found) return {};
  return written;
}
}  // namespace

std::vector<ElementChange> entry_changes(const Entries& present, const Entries& wanted) {
  std::vector<ElementChange> out;
  for (const auto& [map, pairs] : wanted) {
    const auto have = present.find(map);
    for (const auto& [key, value] : pairs) {
      const bool there = have != present.end() && have->second.contains(key);
      if (there && have->second.at(key) == value) continue;
      if (there) out.push_back({false, map, key, have->second.at(key)});
      out.push_back({true, map, key, value});
    }
  }
  return out;
}

std::vector<ElementChange> entry_removals(const Entries& present, const Entries& keys) {
  std::vector<ElementChange> out;
  for (const auto& [map, pairs] : keys) {
    const auto have = present.find(map);
    if (have == present.end()) continue;
    for (const auto& [key, value] : pairs)
      if (const auto found = have->second.find(key); found != have->second.end())
        out.push_back({false, map, key, found->second});
  }
  return out;
}

base::Result<bool> TableView::fresh() {
  ASSIGN_OR_RETURN(const auto now, socket_.generation());
  return generation_ != 0 && now == generation_;
}

base::Result<const NfTable*> TableView::table() {
  ASSIGN_OR_RETURN(const bool known, fresh());
  return known ? base::Result<const NfTable*>(&table_) : reread();
}

base::Result<const NfTable*> TableView::reread() {
  generation_ = 0;
  // Taken before: a change in between makes the next look read again.
  ASSIGN_OR_RETURN(const auto now, socket_.generation());
  ASSIGN_OR_RETURN(table_, socket_.read(NFPROTO_INET, table_name));
  generation_ = now;
  return &table_;
}

base::Result<> TableView::make(const NfTableSpec& spec) {
  generation_ = 0;
  ASSIGN_OR_RETURN(const auto before, socket_.generation());
  TRY(socket_.create(spec));
  ASSIGN_OR_RETURN(const auto after, socket_.generation());
  table_ = NfTable{.rules = canonical(spec), .maps = {}, .sets = {}};
  if (after == before + 1) generation_ = after;  // else somebody else was at it too
  return {};
}

base::Result<> TableView::change(const std::vector<ElementChange>& changes) {
  if (changes.empty()) return {};
  const auto before = std::exchange(generation_, 0);
  TRY(socket_.change(changes));
  for (const auto& change : changes) {
    if (change.value.empty()) {
      auto& set = table_.sets[change.map];
      std::erase(set, change.key);
      if (change.add) set.push_back(change.key);
    } else if (change.add) {
      table_.maps[change.map][change.key] = change.value;
    } else {
      table_.maps[change.map].erase(change.key);
    }
  }
  ASSIGN_OR_RETURN(const auto after, socket_.generation());
  if (before != 0 && after == before + 1) generation_ = after;
  return {};
}

HostNetwork::HostNetwork(std::unique_ptr<State> state) : state_(std::move(state)) {}

base::Result<std::unique_ptr<HostNetwork>> HostNetwork::open(const Pools& pools) {
  ASSIGN_OR_RETURN(auto wanted, host_table(pools));
  ASSIGN_OR_RETURN(auto rules, NfSocket::open());
  ASSIGN_OR_RETURN(auto socket, netlink::Socket::open());
  return std::unique_ptr<HostNetwork>(
      new HostNetwork(std::make_unique<State>(pools, std::move(wanted), std::move(rules), std::move(socket))));
}

namespace {

bool is_uplink(const netlink::Link& link) { return uplink_address(link.name).has_value(); }

bool any_uplink(const std::vector<netlink::Link>& links) { return std::any_of(links.begin(), links.end(), is_uplink); }

/// Interfaces through which packets for our networks may come in: all that carry routes, but loopback and uplinks.
std::set<std::string> outward_interfaces(const std::vector<netlink::Link>& links,
                                         const std::vector<netlink::RouteEntry>& routes, bool v6) {
  std::set<std::string> out;
  for (const auto& route : routes) {
    if (route.v6 != v6 || route.table != RT_TABLE_MAIN) continue;
    for (const auto& link : links)
      if (link.index == route.interface && link.name != "lo" && !is_uplink(link)) out.insert(link.name);
  }
  return out;
}

std::vector<ElementChange> set_changes(bool add, const std::string& set, const std::set<std::string>& names) {
  std::vector<ElementChange> out;
  for (const auto& name : names) out.push_back({add, set, name, {}});
  return out;
}

}  // namespace

base::Result<> HostNetwork::ensure() {
  const std::lock_guard guard(state_->mutex);
  ASSIGN_OR_RETURN(const auto lock, HostLock::take());
  return state_->ensure_locked();
}

base::Result<> HostNetwork::State::ensure_rules_locked() {
  ASSIGN_OR_RETURN(const bool known, view.fresh());
  if (known) return {};
  return ensure_locked();
}

base::Result<> HostNetwork::State::ensure_locked() {
  ASSIGN_OR_RETURN(const auto links, socket.links());
  if (!any_uplink(links)) return {};
  ASSIGN_OR_RETURN(const bool known, view.fresh());
  if (!known) TRY(ensure_table());
  TRY(drop_stale(links));
  ASSIGN_OR_RETURN(const auto* table, view.table());
  TRY(view.change(entry_changes(table->maps, entries)));
  ASSIGN_OR_RETURN(const auto routes, socket.routes());
  TRY(open_forwarding(links, routes));
  TRY(open_forwarding6(links, routes));
  TRY(route_subnets(links, routes));
  if (!known) TRY(accept_in_foreign_chains(view.socket()));
  // What was just added may have changed the ruleset: learn it now, so that the next call finds it fresh.
  TRY(view.table());
  return {};
}

base::Result<> HostNetwork::State::ensure_table() {
  ASSIGN_OR_RETURN(const auto* table, view.reread());
  const bool missing = table->rules.empty();
  bool forgotten = missing;
  if (table->rules != good_rules) {
    auto applied = missing ? view.make(wanted) : view.socket().replace(wanted);
    // Another version of ours declared its maps otherwise, or somebody took all chains out; whoever published ports puts his
    // entries back when he notices.
    if (!applied) {
      applied = view.socket().recreate(wanted);
      forgotten = true;
    }
    if (!applied) return applied;
    if (!missing) {
      ASSIGN_OR_RETURN(table, view.reread());
      good_rules = table->rules;
    }
  }
  if (forgotten) {
    // The table no longer knows which interfaces we opened; we do.
    TRY(view.change(set_changes(true, "opened4", opened4)));
    return view.change(set_changes(true, "opened6", opened6));
  }
  const auto names = [&](const char* set) {
    const auto found = table->sets.find(set);
    return found == table->sets.end() ? std::set<std::string>() : std::set<std::string>(found->second.begin(), found->second.end());
  };
  opened4 = names("opened4");
  opened6 = names("opened6");
  return {};
}

base::Result<> HostNetwork::State::drop_stale(const std::vector<netlink::Link>& links) {
  ASSIGN_OR_RETURN(const auto* table, view.table());
  std::set<std::string> alive;
  for (const auto& link : links)
    if (const auto address = uplink_address(link.name)) alive.insert(address->text());
  std::vector<ElementChange> changes;
  for (const char* map : {"ports4", "ports4_at"}) {
    const auto found = table->maps.find(map);
    if (found == table->maps.end()) continue;
    for (const auto& [key, value] : found->second)
      if (!alive.contains(value.substr(0, value.find(' ')))) changes.push_back({false, map, key, value});
  }
  return view.change(changes);
}

base::Result<> HostNetwork::State::open_forwarding(const std::vector<netlink::Link>& links,
                                                   const std::vector<netlink::RouteEntry>& routes) {
  const auto knob = [](const std::string& name) { return "net/ipv4/conf/" + name + "/forwarding"; };
  for (const auto& link : links)
    if (is_uplink(link)) TRY(open_door(knob(link.name)));
  if (read_sysctl("net/ipv4/ip_forward") == "1") {
    // Somebody made this host a router; what he forwards is not ours to stop.
    TRY(view.change(set_changes(false, "opened4", opened4)));
    opened4.clear();
    return {};
  }
  for (const auto& name : outward_interfaces(links, routes, false)) {
    if (read_sysctl(knob(name)) != "0") continue;
    // First the guard, then the door.
    if (opened4.insert(name).second) TRY(view.change(set_changes(true, "opened4", {name})));
    TRY(write_sysctl(knob(name), "1"));
  }
  return {};
}

base::Result<> HostNetwork::State::open_forwarding6(const std::vector<netlink::Link>& links,
                                                    const std::vector<netlink::RouteEntry>& routes) {
  if (std::none_of(networks.begin(), networks.end(), [](const auto& entry) { return entry.second.v6; })) return {};
  // Linux 6.17 has a switch for each interface; before, only the machine-wide one counts (ip6_forward()).
  const bool each = !read_sysctl("net/ipv6/conf/lo/force_forwarding").empty();
  if (read_sysctl("net/ipv6/conf/all/forwarding") == "1" && (each || opened6.empty())) {
    TRY(view.change(set_changes(false, "opened6", opened6)));
    opened6.clear();
    return {};
  }
  const auto outward = outward_interfaces(links, routes, true);
  if (each) {
    for (const auto& link : links)
      if (is_uplink(link)) TRY(open_door("net/ipv6/conf/" + link.name + "/force_forwarding"));
    for (const auto& name : outward) {
      const auto knob = "net/ipv6/conf/" + name + "/force_forwarding";
      if (read_sysctl(knob) != "0") continue;
      if (opened6.insert(name).second) TRY(view.change(set_changes(true, "opened6", {name})));
      TRY(write_sysctl(knob, "1"));
    }
    return {};
  }
  for (const auto& name : outward) {
    // A router ignores router advertisements unless told 2: the host would lose its own default route.
    if (read_sysctl("net/ipv6/conf/" + name + "/accept_ra") == "1")
      TRY(write_sysctl("net/ipv6/conf/" + name + "/accept_ra", "2"));
    if (opened6.insert(name).second) TRY(view.change(set_changes(true, "opened6", {name})));
  }
  return write_sysctl("net/ipv6/conf/all/forwarding", "1");
}

base::Result<> HostNetwork::State::route_subnets(const std::vector<netlink::Link>& links,
                                                 const std::vector<netlink::RouteEntry>& routes) {
  netlink::Batch batch;
  for (const auto& [interface, known] : networks) {
    const auto link = std::find_if(links.begin(), links.end(), [&](const auto& each) { return each.name == interface; });
    const auto address = uplink_address(interface);
    if (link == links.end() || !address) continue;
    for (const auto& subnet : known.subnets) {
      if (subnet.is_v6()) continue;
      bool present = false, taken = false;
      for (const auto& route : routes) {
        if (!route.destination || route.table != RT_TABLE_MAIN || !route.destination->overlaps(subnet)) continue;
        (route.interface == link->index ? present : taken) = true;
      }
      const netlink::RouteSpec route{.destination = subnet, .gateway = *address, .interface = link->index};
      if (taken && present) batch.remove_route(route);
      if (!taken && !present) batch.add_route(route);
    }
  }
  return socket.run(batch);
}

base::Result<> HostNetwork::release_if_unused() {
  const std::lock_guard guard(state_->mutex);
  ASSIGN_OR_RETURN(const auto lock, HostLock::take());
  ASSIGN_OR_RETURN(const auto links, state_->socket.links());
  if (any_uplink(links)) return {};
  ASSIGN_OR_RETURN(auto table, state_->view.socket().read(NFPROTO_INET, table_name));
  if (table.rules.empty()) return {};
  base::Result<> first;
  const auto keep = [&first](base::Result<> result) {
    if (!result && result.error().kind != base::ErrorKind::not_found && first) first = std::move(result);
  };
  // The door, then the guard. An interface that is gone needs no closing.
  const auto close = [&](const std::string& knob) {
    if (!read_sysctl(knob).empty()) keep(write_sysctl(knob, "0"));
  };
  for (const auto& name : table.sets["opened4"]) close("net/ipv4/conf/" + name + "/forwarding");
  const bool each = !read_sysctl("net/ipv6/conf/lo/force_forwarding").empty();
  if (!each && !table.sets["opened6"].empty()) close("net/ipv6/conf/all/forwarding");
  for (const auto& name : table.sets["opened6"])
    if (each) close("net/ipv6/conf/" + name + "/force_forwarding");
  keep(leave_foreign_chains(state_->view.socket()));
  auto deleted = state_->view.socket().remove(NFPROTO_INET, table_name);
  if (!deleted) keep(std::move(deleted).error());
  state_->opened4.clear();
  state_->opened6.clear();
  state_->entries.clear();
  return first;
}

base::Result<std::vector<std::string>> HostNetwork::routes() {
  ASSIGN_OR_RETURN(auto socket, netlink::Socket::open());
  ASSIGN_OR_RETURN(const auto routes, socket.routes());
  std::set<std::string> out;
  for (const auto& route : routes) {
    // The local table repeats the main one's addresses; link-local, multicast and loopback prefixes are in nobody's pool.
    if (!route.destination || route.table == RT_TABLE_LOCAL || route.type != RTN_UNICAST) continue;
    out.insert(route.destination->text());
  }
  return std::vector<std::string>(out.begin(), out.end());
}

base::Result<int> HostNetwork::mtu() {
  ASSIGN_OR_RETURN(auto socket, netlink::Socket::open());
  ASSIGN_OR_RETURN(const auto routes, socket.routes());
  const netlink::RouteEntry* best = nullptr;
  for (const auto& route : routes) {
    if (route.destination || route.table != RT_TABLE_MAIN || route.interface == 0) continue;
    if (!best || (best->v6 && !route.v6) || (best->v6 == route.v6 && route.metric < best->metric)) best = &route;
  }
  if (!best) return 1500;
  if (best->mtu > 0) return best->mtu;
  ASSIGN_OR_RETURN(const auto links, socket.links());
  for (const auto& link : links)
    if (link.index == best->interface) return link.mtu;
  return 1500;
}

base::Result<std::vector<std::string>> HostNetwork::changes() {
  const std::lock_guard guard(state_->mutex);
  std::vector<std::string> out;
  ASSIGN_OR_RETURN(const auto links, state_->socket.links());
  for (const auto& link : links)
    if (is_uplink(link)) out.push_back("interface " + link.name);
  ASSIGN_OR_RETURN(auto table, state_->view.socket().read(NFPROTO_INET, table_name));
  if (!table.rules.empty()) out.emplace_back("nftables table inet compose");
  for (const auto& name : table.sets["opened4"]) out.push_back("IPv4 forwarding on " + name);
  for (const auto& name : table.sets["opened6"]) out.push_back("IPv6 forwarding on " + name);
  ASSIGN_OR_RETURN(const auto chains, foreign_chains_with_our_rules(state_->view.socket()));
  for (const auto& chain : chains) out.push_back("accept rules in chain " + chain);
  return out;
}

}  // namespace network
