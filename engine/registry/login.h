#pragma once
// compose login and logout: credentials where Docker keeps them.
#include <string>

#include "engine/registry/credentials.h"

namespace engine::registry {

struct LoginRequest {
  std::string server;          ///< "" = docker.io
  std::string user, password;
};

/// Asks the registry whether it takes them, then stores them: in the credential helper that $DOCKER_CONFIG/config.json
/// (else ~/.docker/config.json) names for the server, else in its "auths". Everything else in the file stays.
/// Errors: permission (refused), unavailable (registry, helper), invalid (server, file). Returns where they are now.
Result<std::string> log_in(const LoginRequest& request);
/// Takes them away again. False: there were none.
Result<bool> log_out(const std::string& server);

}  // namespace engine::registry
