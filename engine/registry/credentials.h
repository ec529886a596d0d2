#pragma once
// Who we are to a registry. Private to the room.
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

/// Runs docker-credential-HELPER VERB with `input` on its stdin; returns its stdout. Errors: unavailable (not in PATH, or what
/// it said when it failed), invalid (no name).
Result<std::string> run_helper(const std::string& helper, const std::string& verb, const std::string& input);

}  // namespace engine::registry
