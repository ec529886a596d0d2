#pragma once
// What the configuration of Docker's client says to more than one room. Blocks on one small file.
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace engine {

/// $DOCKER_CONFIG/config.json or ~/.docker/config.json; nothing when neither variable is set.
std::optional<std::filesystem::path> docker_config_file();

/// "proxies"."unix:///var/run/docker.sock" of that file, or else "default", as the variables Docker gives to every build and container,
/// each name in upper and in lower case: HTTP_PROXY, HTTPS_PROXY, NO_PROXY, FTP_PROXY, ALL_PROXY. Empty when there is none. Error invalid: the file.
/// Source: docs.docker.com/engine/cli/proxy.
base::Result<std::map<std::string, std::string>> docker_proxies();

/// Of those the ones that Docker's client gives to a build, in upper case only: ALL_PROXY is for containers alone.
base::Result<std::map<std::string, std::string>> docker_build_proxies();

/// The "HttpHeaders" of that file that Docker hands on to registries: those called X-Meta-…, as "Name: value". Error invalid: the file.
base::Result<std::vector<std::string>> docker_registry_headers();

}  // namespace engine
