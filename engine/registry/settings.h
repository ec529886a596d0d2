#pragma once
// What the machine's files say about registries: mirrors, insecure hosts, certificates. Private to the room.
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/images/reference.h"
#include "engine/registry/http.h"

namespace engine::registry {

using base::Result;

/// One place to ask for a repository.
struct Endpoint {
  std::string host;              ///< "registry-1.docker.io", "127.0.0.1:5000"
  std::string repository;        ///< "library/nginx"; a mirror may add a prefix
  std::string credentials_key;   ///< what login files call it: "docker.io", "127.0.0.1:5000"
  bool insecure = false;         ///< https without verification, then http
  bool plain_http = false;       ///< a mirror written as http://
  bool mirror = false;
  bool digest_only = false;      ///< a mirror not to be asked for tags
};

struct RegistryRule {            ///< [[registry]] of registries.conf
  struct Mirror {
    std::string location;
    bool insecure = false, digest_only = false, tag_only = false;
  };
  std::string prefix, location;
  bool insecure = false, blocked = false, mirrors_by_digest_only = false;
  std::vector<Mirror> mirrors;
};

class Settings {
 public:
  /// Reads `etc`/docker/daemon.json, $CONTAINERS_REGISTRIES_CONF or `etc`/containers/registries.conf and registries.conf.d.
  /// Missing files are fine. Error invalid: a file that cannot be understood, with its name.
  static Result<Settings> load(const std::filesystem::path& etc = "/etc");

  /// Mirrors first, the origin last. Error permission: the registry is blocked.
  Result<std::vector<Endpoint>> endpoints(const images::Reference& reference) const;
  /// Certificates of certs.d for "host:port"; verification per `insecure`.
  TlsOptions tls(const Endpoint& endpoint) const;

 private:
  [[nodiscard]] bool is_insecure(const std::string& host) const;
  std::filesystem::path etc_;
  std::vector<std::string> docker_mirrors_, insecure_;
  std::vector<RegistryRule> rules_;
};

/// 127.0.0.0/8, ::1 and localhost, with or without a port.
bool is_loopback(const std::string& host);
/// The rules of a registries.conf (the part of TOML it uses). Error invalid with a line number.
Result<std::vector<RegistryRule>> parse_registries_conf(std::string_view text);

}  // namespace engine::registry
