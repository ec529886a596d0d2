#include "engine/api/docker_config.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/sys.h"

namespace engine {

std::optional<std::filesystem::path> docker_config_file() {
  if (const char* folder = std::getenv("DOCKER_CONFIG"); folder != nullptr && *folder != 0) return std::filesystem::path(folder) / "config.json";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != 0) return std::filesystem::path(home) / ".docker/config.json";
  return std::nullopt;
}

namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// One object of the file; empty when there is none.
base::Result<nlohmann::json> section(const char* name) {
  const auto path = docker_config_file();
  const auto bytes = path ? base::sys::read_file(*path, 4 << 20) : base::Result<std::string>(std::string());
  if (!bytes || bytes->empty()) return nlohmann::json::object();
  const auto root = nlohmann::json::parse(*bytes, nullptr, false);
  if (!root.is_object()) return base::make_error(base::ErrorKind::invalid, path->string() + ": not a JSON object");
  const auto found = root.find(name);
  return found == root.end() || !found->is_object() ? nlohmann::json::object() : *found;
}

}  // namespace

base::Result<std::map<std::string, std::string>> docker_proxies() {
  constexpr std::pair<const char*, const char*> names[] = {{"httpProxy", "HTTP_PROXY"}, {"httpsProxy", "HTTPS_PROXY"}, {"noProxy", "NO_PROXY"},
                                                           {"ftpProxy", "FTP_PROXY"}, {"allProxy", "ALL_PROXY"}};
  std::map<std::string, std::string> found;
  ASSIGN_OR_RETURN(const auto proxies, section("proxies"));
  // An entry for one daemon wins over the default. There is no daemon here; what is meant for this machine's is meant for us.
  auto all = proxies.find("unix:///var/run/docker.sock");
  if (all == proxies.end() || !all->is_object()) all = proxies.find("default");
  if (all == proxies.end() || !all->is_object()) return found;
  for (const auto& [key, name] : names) {
    const auto value = all->find(key);
    if (value == all->end() || !value->is_string() || value->get_ref<const std::string&>().empty()) continue;
    found[name] = found[lower(name)] = value->get<std::string>();
  }
  return found;
}

base::Result<std::map<std::string, std::string>> docker_build_proxies() {
  ASSIGN_OR_RETURN(auto proxies, docker_proxies());
  std::erase_if(proxies, [](const auto& proxy) { return proxy.first == lower(proxy.first) || proxy.first == "ALL_PROXY"; });
  return proxies;
}

base::Result<std::vector<std::string>> docker_registry_headers() {
  std::vector<std::string> lines;
  ASSIGN_OR_RETURN(const auto headers, section("HttpHeaders"));
  for (const auto& [name, value] : headers.items()) {
    if (!lower(name).starts_with("x-meta-") || !value.is_string()) continue;
    const auto line = name + ": " + value.get<std::string>();
    if (line.find_first_of("\r\n") == std::string::npos) lines.push_back(line);
  }
  return lines;
}

}  // namespace engine
