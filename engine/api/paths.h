#pragma once
// Where things are. COMPOSE_STATE_DIR and COMPOSE_RUN_DIR move the two roots, so independent engines run side by side.
#include <filesystem>
#include <string>
#include <vector>

namespace engine::paths {

std::filesystem::path state_dir();                 ///< /var/lib/compose; rootless: $XDG_DATA_HOME/compose
std::filesystem::path run_dir();                   ///< /run/compose; rootless: $XDG_RUNTIME_DIR/compose

std::filesystem::path database();                  ///< state/state.db
std::filesystem::path images();                    ///< state/images   OCI image layout: blobs/sha256/…, index.json
std::filesystem::path layers();                    ///< state/layers   <chain id without "sha256:">/ unpacked, immutable
std::filesystem::path build_cache();               ///< state/build
std::filesystem::path volume(const std::string& name);        ///< state/volumes/NAME/_data
std::filesystem::path container(const std::string& id);       ///< state/containers/ID: upper, work, config.json, log, hosts…
std::filesystem::path container_log(const std::string& id);   ///< state/containers/ID/container.log
std::filesystem::path project_run(const std::string& project);  ///< run/projects/PROJECT
std::filesystem::path api_socket(const std::string& project);   ///< run/projects/PROJECT/api.sock
std::filesystem::path container_run(const std::string& project, const std::string& id);  ///< run/projects/PROJECT/ID: FIFOs
std::filesystem::path runtime_root();              ///< run/runtime: --root of compose-runtime
std::filesystem::path network_run(const std::string& network);  ///< run/networks/NAME: pinned namespace

/// Where systemd runs, the cgroup of a project's keeper and supervisor in each hierarchy it watches: the unified one, which comes
/// first, and its own on cgroup v1. Else empty. Made by the keeper's start. Source: sd_booted(3).
std::vector<std::filesystem::path> engine_cgroups(const std::string& project);

}  // namespace engine::paths
