#include "network/dns/policy.h"

#include <algorithm>
#include <atomic>
#include <sstream>

namespace network {
namespace {

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return text;
}

}  // namespace

struct DnsZone::Slot {
  std::atomic<std::shared_ptr<const Table>> table;
};

DnsZone::DnsZone(std::string network) : network_(std::move(network)), slot_(std::make_unique<Slot>()) { update({}); }
DnsZone::~DnsZone() = default;

void DnsZone::update(const std::vector<DnsHost>& hosts) {
  auto table = std::make_shared<Table>();
  table->network = lower(network_);
  for (const auto& host : hosts) {
    std::vector<Address> addresses;
    for (const auto& text : host.addresses)
      if (auto prefix = Prefix::parse(text)) addresses.push_back(prefix->address());
    std::vector<std::string> names = host.aliases;
    names.push_back(host.name);
    for (auto& name : names) name = lower(std::move(name));
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    for (const auto& name : names) {
      if (name.empty()) continue;
      auto& list = table->names[name];
      list.insert(list.end(), addresses.begin(), addresses.end());
    }
    for (const auto& address : addresses) table->reverse[address] = host.name + "." + network_;
  }
  slot_->table.store(std::move(table));
}

std::shared_ptr<const DnsZone::Table> DnsZone::table() const { return slot_->table.load(); }

namespace dns {
namespace {

const std::vector<Address>* find(const DnsZone::Table& table, const std::string& name) {
  if (const auto found = table.names.find(name); found != table.names.end()) return &found->second;
  // "db.demo_default": the network's name may follow, as in Docker.
  const auto& network = table.network;
  if (name.size() > network.size() + 1 && name.ends_with(network) && name[name.size() - network.size() - 1] == '.')
    if (const auto found = table.names.find(name.substr(0, name.size() - network.size() - 1)); found != table.names.end())
      return &found->second;
  return nullptr;
}

std::optional<Answer> reverse(const Query& query, const Tables& tables) {
  const auto address = reverse_address(query.name);
  if (!address) return std::nullopt;
  for (const auto& table : tables)
    if (const auto found = table->reverse.find(*address); found != table->reverse.end()) {
      Answer out;
      out.names.push_back(found->second);
      return out;
    }
  return std::nullopt;
}

}  // namespace

std::optional<Answer> decide(const Query& query, const Tables& tables, std::minstd_rand& random) {
  if (query.opcode != 0) return Answer{.code = Code::not_implemented};
  constexpr std::uint16_t internet = 1, any_class = 255;
  if (!query.plain_name || (query.class_ != internet && query.class_ != any_class)) return std::nullopt;
  const auto type = static_cast<Type>(query.type);
  if (type == Type::ptr) return reverse(query, tables);
  for (const auto& table : tables) {
    const auto* addresses = find(*table, query.name);
    if (!addresses) continue;
    // The name exists, so other types have no data; "no such name" would make clients give the A records up too.
    Answer out;
    for (const auto& address : *addresses)
      if (type == Type::any || type == (address.is_v6() ? Type::aaaa : Type::a)) out.addresses.push_back(address);
    std::shuffle(out.addresses.begin(), out.addresses.end(), random);
    return out;
  }
  return std::nullopt;
}

std::vector<std::string> nameservers(std::string_view resolv_conf) {
  std::vector<std::string> out;
  std::istringstream lines{std::string(resolv_conf)};
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string key, value;
    if (words >> key >> value && key == "nameserver") out.push_back(value);
  }
  return out;
}

}  // namespace dns

std::string container_resolv_conf(const ResolvConfRequest& request) {
  auto search = request.search;
  auto options = request.options;
  std::istringstream lines(request.host_resolv_conf);
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string key, value;
    words >> key;
    const bool take_search = request.search.empty() && (key == "search" || key == "domain");
    if (take_search) search.clear();  // the last line counts: resolv.conf(5)
    while (words >> value) {
      if (take_search) search.push_back(value);
      if (key == "options" && request.options.empty()) options.push_back(value);
    }
  }
  // `dns_search: .` asks for no search list.
  if (search.size() == 1 && search.front() == ".") search.clear();
  std::string out = "nameserver 127.0.0.11\n";
  if (!search.empty()) {
    out += "search";
    for (const auto& domain : search) out += " " + domain;
    out += "\n";
  }
  if (std::none_of(options.begin(), options.end(), [](const auto& option) { return option.starts_with("ndots:"); }))
    options.emplace_back("ndots:0");
  out += "options";
  for (const auto& option : options) out += " " + option;
  return out + "\n";
}

}  // namespace network
