#include "engine/api/paths.h"

#include <unistd.h>

#include <cstdlib>

namespace engine::paths {
namespace {
std::filesystem::path root(const char* variable, const char* system, const char* xdg,
                           const std::string& fallback) {
  if (const char* set = std::getenv(variable); set && *set) return set;
  if (::geteuid() == 0) return system;
  if (const char* base = std::getenv(xdg); base && *base)
    return std::filesystem::path(base) / "compose";
  return fallback;
}
std::string home() {
  const char* set = std::getenv("HOME");
  return set ? set : "/";
}
}  // namespace

std::filesystem::path state_dir() {
  return root("COMPOSE_STATE_DIR", "/var/lib/compose", "XDG_DATA_HOME",
              home() + "/.local/share/compose");
}
std::filesystem::path run_dir() {
  return root("COMPOSE_RUN_DIR", "/run/compose", "XDG_RUNTIME_DIR",
              "/tmp/compose-" + std::to_string(::geteuid()));
}
std::filesystem::path database() { return state_dir() / "state.db"; }
std::filesystem::path images() { return state_dir() / "images"; }
std::filesystem::path layers() { return state_dir() / "layers"; }
std::filesystem::path build_cache() { return state_dir() / "build"; }
std::filesystem::path volume(const std::string& name) {
  return state_dir() / "volumes" / name / "_data";
}
std::filesystem::path container(const std::string& id) { return state_dir() / "containers" / id; }
std::filesystem::path container_log(const std::string& id) {
  return container(id) / "container.log";
}
std::filesystem::path project_run(const std::string& project) {
  return run_dir() / "projects" / project;
}
std::filesystem::path api_socket(const std::string& project) {
  return project_run(project) / "api.sock";
}
std::filesystem::path container_run(const std::string& project, const std::string& id) {
  return project_run(project) / id;
}
std::filesystem::path runtime_root() { return run_dir() / "runtime"; }
std::filesystem::path network_run(const std::string& network) {
  return run_dir() / "networks" / network;
}
std::vector<std::filesystem::path> engine_cgroups(const std::string& project) {
  const std::filesystem::path root = "/sys/fs/cgroup", group = "compose/" + project + "/_engine";
  const auto exists = [](const std::filesystem::path& path) { return ::access(path.c_str(), F_OK) == 0; };
  if (!exists("/run/systemd/system")) return {};  // nobody ends a cgroup, and two more cost each start 10 ms
  if (exists(root / "cgroup.procs")) return {root / group};
  std::vector<std::filesystem::path> out;
  if (exists(root / "unified/cgroup.procs")) out.push_back(root / "unified" / group);
  if (exists(root / "systemd/cgroup.procs")) out.push_back(root / "systemd" / group);
  return out;
}
}  // namespace engine::paths
