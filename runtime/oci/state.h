#pragma once
// The state folder: ROOT/ID/ with state.json (who runs), config.json (a copy: the bundle may go away) and, between create and
// start, start.sock. Everything that changes is asked of the kernel, never believed from the record.
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/spec/spec.h"

namespace runtime::oci {

enum class Status : std::uint8_t { creating, created, running, paused, stopped };
std::string_view to_string(Status status);

/// state.json, format 1.
struct ContainerRecord {
  std::string id, bundle, rootfs, created, oci_version;
  pid_t pid = 0;
  std::uint64_t start_time = 0;              ///< of /proc/PID/stat: tells a recycled pid apart
  std::vector<std::string> cgroup_paths;
  std::string cgroup_path;                   ///< below each hierarchy
  std::string unit;                          ///< systemd's scope; "" = the folders are ours
  std::vector<std::string> namespaces;       ///< types a further process joins
  std::map<std::string, std::string> annotations;
  std::uint32_t owner = 0;
  bool no_pivot = false;                     ///< its root is a chroot: `exec` must enter it too
  std::uint64_t root_mount = 0;              ///< id of its root's mount in the host's mount namespace; 0 = it has its own
};

/// The specification's state object, as `state` prints it and hooks get it.
std::string state_json(const ContainerRecord& record, Status status, pid_t pid);
/// What the agent at linux.seccomp.listenerPath gets beside the descriptor: config-linux.md "ContainerProcessState".
std::string seccomp_state_json(const ContainerRecord& record, Status status, pid_t pid, const std::string& metadata);
std::string to_json(const ContainerRecord& record);
base::Result<ContainerRecord> parse_record(std::string_view text);

/// Clock ticks since boot at which `pid` started; 0 when it is gone or a zombie.
std::uint64_t process_start_time(pid_t pid);

class StateDir {
 public:
  /// Makes ROOT/ID. Error exists when the id is taken. Removed again by the destructor unless commit() is called.
  static base::Result<StateDir> create(const std::string& root, const std::string& id);
  /// The ids below ROOT, sorted, those being created included.
  static std::vector<std::string> all(const std::string& root);
  /// Error not_found: container "ID" does not exist.
  static base::Result<StateDir> open(const std::string& root, const std::string& id);
  StateDir() = default;
  StateDir(StateDir&& other) noexcept : path_(std::move(other.path_)), owned_(std::exchange(other.owned_, false)) {}
  StateDir& operator=(StateDir&& other) noexcept;
  StateDir(const StateDir&) = delete;
  StateDir& operator=(const StateDir&) = delete;
  ~StateDir();

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string start_socket() const { return path_ + "/start.sock"; }
  base::Result<> save(const ContainerRecord& record) const;
  base::Result<> save_config(std::string_view text) const;
  /// Error not_found while the container is still being created, or when its creation was cut off.
  base::Result<ContainerRecord> load() const;
  base::Result<spec::Config> load_config() const;
  base::Result<> remove() const;
  void commit() { owned_ = false; }

 private:
  explicit StateDir(std::string path) : path_(std::move(path)) {}
  std::string path_;
  bool owned_ = false;
};

/// All processes of a container: those in its cgroups; where it has none (no right to make any), those in its pid namespace.
std::vector<pid_t> container_processes(const ContainerRecord& record);

Status current_status(const StateDir& dir, const ContainerRecord& record);

/// Ids become folder names: letters, digits and _ + - . only. Error invalid.
base::Result<> check_id(const std::string& id);

/// "2026-11-22T14:20:39.402172Z"
std::string now_text();

}  // namespace runtime::oci
