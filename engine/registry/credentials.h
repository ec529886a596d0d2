#pragma once
// Who we are to a registry. Private to the room.
#include <map>
#include <string>

#include "base/result.h"

namespace engine::registry {

using base::Result;

struct Credentials {
  std::string user, password;
  std::string identity_token;   ///< OAuth2 refresh token: exchanged at the realm
  std::string registry_token;   ///< sent as it is
  [[nodiscard]] bool empty() const { return user.empty() && identity_token.empty() && registry_token.empty(); }
};

/// Of `key` ("docker.io", "host:port") for `repository`. Looks at $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json or
/// ~/.docker/config.json (credHelpers, credsStore, auths), $XDG_RUNTIME_DIR/containers/auth.json and
/// /run/containers/UID/auth.json. Empty when nobody knows. Errors: invalid (a file), unavailable (a helper that fails).
Result<Credentials> find_credentials(const std::string& key, const std::string& repository);

/// "proxies"."default" of Docker's config.json, as the arguments Docker gives to every build: HTTP_PROXY, HTTPS_PROXY, NO_PROXY, FTP_PROXY,
/// ALL_PROXY. Empty when there is none. Error invalid: the file. Source: docs.docker.com/engine/cli/proxy.
Result<std::map<std::string, std::string>> docker_proxies();

/// Runs docker-credential-HELPER VERB with `input` on its stdin; returns its stdout. Errors: unavailable (not in PATH, or what
/// it said when it failed), invalid (no name).
Result<std::string> run_helper(const std::string& helper, const std::string& verb, const std::string& input);

}  // namespace engine::registry
