#include "engine/registry/settings.h"

#include <arpa/inet.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/sys.h"

namespace engine::registry {

using base::ErrorKind;

namespace {

/// "host:port" → "host"; "[::1]:5000" → "::1".
std::string bare_host(const std::string& host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

/// The part of `name` after `prefix` when it matches at a component border; absent otherwise.
std::optional<std::string> after_prefix(const std::string& name, const std::string& prefix) {
  if (prefix.starts_with("*.")) {
    const auto slash = name.find('/');
    const auto host = name.substr(0, slash);
    if (!bare_host(host).ends_with(prefix.substr(1))) return std::nullopt;
    return name.substr(slash);
  }
  if (!name.starts_with(prefix)) return std::nullopt;
  auto rest = name.substr(prefix.size());
  if (!rest.empty() && rest.front() != '/') return std::nullopt;
  return rest;
}

bool in_network(const std::string& host, const std::string& network) {
  const auto slash = network.find('/');
  if (slash == std::string::npos) return false;
  in_addr address{}, base{};
  if (inet_pton(AF_INET, host.c_str(), &address) != 1 || inet_pton(AF_INET, network.substr(0, slash).c_str(), &base) != 1) return false;
  const int bits = std::atoi(network.c_str() + slash + 1);
  if (bits < 0 || bits > 32) return false;
  const std::uint32_t mask = bits == 0 ? 0 : ~std::uint32_t{0} << static_cast<unsigned>(32 - bits);
  return (ntohl(address.s_addr) & mask) == (ntohl(base.s_addr) & mask);
}

/// "host/path" split where the registry's API begins.
Endpoint endpoint_at(const std::string& location) {
  Endpoint endpoint;
  const auto slash = location.find('/');
  endpoint.host = location.substr(0, slash);
  endpoint.repository = slash == std::string::npos ? "" : location.substr(slash + 1);
  endpoint.credentials_key = endpoint.host;
  if (endpoint.host == "docker.io") endpoint.host = "registry-1.docker.io";
  return endpoint;
}

Result<> read_daemon_json(const std::filesystem::path& path, std::vector<std::string>& mirrors, std::vector<std::string>& insecure) {
  auto text = base::sys::read_file(path, 1 << 20);
  if (!text) return {};
  const auto root = nlohmann::json::parse(*text, nullptr, false);
  if (!root.is_object()) return base::make_error(ErrorKind::invalid, path.string() + ": not a JSON object");
  const auto read = [&](const char* key, std::vector<std::string>& into) {
    const auto found = root.find(key);
    if (found == root.end() || !found->is_array()) return;
    for (const auto& one : *found)
      if (one.is_string()) into.push_back(one.get<std::string>());
  };
  read("registry-mirrors", mirrors);
  read("insecure-registries", insecure);
  return {};
}

Result<> read_conf(const std::filesystem::path& path, std::vector<RegistryRule>& rules) {
  auto text = base::sys::read_file(path, 1 << 20);
  if (!text) return {};
  auto parsed = parse_registries_conf(*text);
  if (!parsed) return std::move(parsed).with(path.string()).error();
  rules.insert(rules.end(), parsed->begin(), parsed->end());
  return {};
}

}  // namespace

bool is_loopback(const std::string& host) {
  const auto bare = bare_host(host);
  return bare == "localhost" || bare == "::1" || in_network(bare, "127.0.0.0/8");
}

Result<Settings> Settings::load(const std::filesystem::path& etc) {
  Settings settings;
  settings.etc_ = etc;
  TRY(read_daemon_json(etc / "docker/daemon.json", settings.docker_mirrors_, settings.insecure_));
  if (const char* named = std::getenv("CONTAINERS_REGISTRIES_CONF"); named != nullptr && *named != 0) {
    TRY(read_conf(named, settings.rules_));
    return settings;
  }
  TRY(read_conf(etc / "containers/registries.conf", settings.rules_));
  std::vector<std::filesystem::path> more;
  std::error_code ignored;
  for (std::filesystem::directory_iterator it(etc / "containers/registries.conf.d", ignored), end; !ignored && it != end; it.increment(ignored))
    if (it->path().extension() == ".conf") more.push_back(it->path());
  std::sort(more.begin(), more.end());
  for (const auto& path : more) TRY(read_conf(path, settings.rules_));
  return settings;
}

bool Settings::is_insecure(const std::string& host) const {
  const auto bare = bare_host(host);
  return is_loopback(host) || std::any_of(insecure_.begin(), insecure_.end(), [&](const std::string& one) {
           return one == host || one == bare || in_network(bare, one);
         });
}

Result<std::vector<Endpoint>> Settings::endpoints(const images::Reference& reference) const {
  const auto name = reference.name();
  std::vector<Endpoint> all;
  auto origin = endpoint_at(name);
  origin.insecure = is_insecure(origin.host);
  const RegistryRule* best = nullptr;
  for (const auto& rule : rules_)
    if (after_prefix(name, rule.prefix) && (best == nullptr || rule.prefix.size() > best->prefix.size())) best = &rule;
  if (best != nullptr) {
    if (best->blocked) return base::make_error(ErrorKind::permission, "registry " + best->prefix + " is blocked in registries.conf");
    const auto rest = *after_prefix(name, best->prefix);
    for (const auto& mirror : best->mirrors) {
      if (mirror.tag_only && !reference.digest.empty()) continue;
      auto endpoint = endpoint_at(mirror.location + rest);
      endpoint.insecure = mirror.insecure || is_insecure(endpoint.host);
      endpoint.mirror = true;
      endpoint.digest_only = mirror.digest_only;
      all.push_back(std::move(endpoint));
    }
    if (!best->location.empty() && best->location != best->prefix) origin = endpoint_at(best->location + rest);
    origin.insecure = best->insecure || is_insecure(origin.host);
  } else if (reference.domain == "docker.io") {
    for (std::string url : docker_mirrors_) {
      const bool plain = url.starts_with("http://");
      if (const auto scheme = url.find("://"); scheme != std::string::npos) url = url.substr(scheme + 3);
      while (url.ends_with('/')) url.pop_back();
      auto endpoint = endpoint_at(url + "/" + reference.path);
      endpoint.insecure = is_insecure(endpoint.host);
      endpoint.plain_http = plain;
      endpoint.mirror = true;
      all.push_back(std::move(endpoint));
    }
  }
  all.push_back(std::move(origin));
  return all;
}

TlsOptions Settings::tls(const Endpoint& endpoint) const {
  TlsOptions tls;
  tls.verify = !endpoint.insecure;
  tls.folder = etc_ / "docker/certs.d" / endpoint.credentials_key;
  for (const char* folder : {"docker/certs.d", "containers/certs.d"}) {
    std::error_code ignored;
    for (std::filesystem::directory_iterator it(etc_ / folder / endpoint.credentials_key, ignored), end; !ignored && it != end; it.increment(ignored)) {
      const auto& path = it->path();
      if (path.extension() == ".crt") {
        if (auto pem = base::sys::read_file(path, 1 << 20); pem) tls.extra_ca_pem += *pem + "\n";
      } else if (path.extension() == ".cert") {
        auto key = path;
        tls.client_certificate = path;
        tls.client_key = key.replace_extension(".key");
      }
    }
  }
  return tls;
}

}  // namespace engine::registry
