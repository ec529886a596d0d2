// What can be known without a supervisor.
#include <time.h>
#include <unistd.h>

#include <charconv>

#include "base/process.h"
#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/api/types_json.h"
#include "engine/client/client.h"
#include "engine/client/reads.h"
#include "engine/containers/containers.h"
#include "engine/store/info.h"

namespace engine::client {
namespace {

using base::ErrorKind;
using base::Result;

/// The row as it is now: what is recorded as running but is not there any more has ended unseen, unless a supervisor is about to say how.
/// Nothing outlives a reboot, whether or not the supervisor has come round to writing that down.
Result<ContainerInfo> look(const store::ContainerRecord& row) {
  ASSIGN_OR_RETURN(auto info, store::to_info(row));
  const bool alive = info.state == ContainerState::running || info.state == ContainerState::paused;
  const bool rebooted = row.run.boot_id != store::boot_id();
  if (alive && (rebooted || (!store::process_runs(row.run) && !supervisor_runs(row.project)))) {
    info.state = ContainerState::exited;
    info.pid = 0;
    info.exit_code.reset();
    info.health = HealthState::none;
  }
  return info;
}

Result<Snapshot> take(const std::optional<std::string>& project, const std::vector<std::string>& also) {
  Snapshot snapshot;
  ASSIGN_OR_RETURN(auto opened, store_to_read());
  if (!opened) return snapshot;
  store::Store& store = *opened;
  ASSIGN_OR_RETURN(const auto containers, store.containers(project));
  ASSIGN_OR_RETURN(auto networks, store.networks(project));
  ASSIGN_OR_RETURN(auto volumes, store.volumes(project));
  if (project) {
    for (const auto& name : also) {
      ASSIGN_OR_RETURN(auto network, store.network(name));
      if (network && network->project != *project) networks.push_back(*std::move(network));
      ASSIGN_OR_RETURN(auto volume, store.volume(name));
      if (volume && volume->project != *project) volumes.push_back(*std::move(volume));
    }
  }
  for (const auto& row : containers) {
    ASSIGN_OR_RETURN(auto info, look(row));
    snapshot.containers.push_back(std::move(info));
  }
  for (const auto& row : networks) {
    ASSIGN_OR_RETURN(auto info, store::to_info(row));
    snapshot.networks.push_back(std::move(info));
  }
  for (const auto& row : volumes) {
    ASSIGN_OR_RETURN(auto info, store::to_info(row));
    snapshot.volumes.push_back(std::move(info));
  }
  return snapshot;
}

Result<ContainerInfo> running(const std::string& name_or_id) {
  ASSIGN_OR_RETURN(auto info, container(name_or_id));
  if (info.state == ContainerState::paused)
    return base::make_error(ErrorKind::unavailable, "container " + info.spec.name + " is paused, unpause the container before exec");
  if (info.state != ContainerState::running || info.pid <= 0)
    return base::make_error(ErrorKind::unavailable, "container " + info.spec.name + " is not running");
  return info;
}

/// The cgroup folder the container's processes are in: of a v1 hierarchy with one folder a container, else of the unified one.
Result<std::filesystem::path> cgroup_folder(pid_t pid) {
  ASSIGN_OR_RETURN(const auto text, base::sys::read_file("/proc/" + std::to_string(pid) + "/cgroup", 65536));
  std::filesystem::path unified;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string relative = line.substr(std::min(second + 2, line.size()));
    if (controllers == "pids" || controllers == "devices") return std::filesystem::path("/sys/fs/cgroup") / controllers / relative;
    if (controllers.empty()) unified = relative;
  }
  const std::filesystem::path root = ::access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
  return root / unified;
}

}  // namespace

Result<store::Store*> store_to_read() {
  // A store that no process has open is recovered from its log by the first who opens it: once a command is enough.
  thread_local std::optional<store::Store> opened;
  if (::access(paths::database().c_str(), F_OK) != 0) {
    opened.reset();
  } else if (!opened) {
    ASSIGN_OR_RETURN(opened, store::Store::open());
  }
  return opened ? &*opened : nullptr;
}

Result<Snapshot> snapshot(const std::string& project, const std::vector<std::string>& also) { return take(project, also); }
Result<Snapshot> snapshot_all() { return take(std::nullopt, {}); }

Result<ContainerInfo> container(const std::string& name_or_id) {
  ASSIGN_OR_RETURN(auto store, store_to_read());
  if (!store) return base::make_error(ErrorKind::not_found, "no such container: " + name_or_id);
  ASSIGN_OR_RETURN(const auto row, store->find_container(name_or_id));
  return look(row);
}

Result<std::vector<Generation>> generations(const std::string& project) {
  std::vector<Generation> out;
  ASSIGN_OR_RETURN(auto store, store_to_read());
  if (!store) return out;
  ASSIGN_OR_RETURN(auto rows, store->generations(project));
  for (auto& row : rows) out.push_back({row.number, row.created, std::move(row.json)});
  return out;
}

Result<ExecCommand> exec_command(const std::string& name_or_id, const ExecOptions& options) {
  ASSIGN_OR_RETURN(const auto info, running(name_or_id));
  ExecCommand command;
  ASSIGN_OR_RETURN(const auto program, base::find_program("compose-runtime"));
  command.program = program.string();
  command.id = info.id;
  ASSIGN_OR_RETURN(auto root, base::sys::open("/proc/" + std::to_string(info.pid) + "/root", O_PATH | O_DIRECTORY));
  containers::ExecOptions wanted;
  wanted.command = options.command;
  wanted.user = options.user;
  wanted.working_dir = options.working_dir;
  wanted.env = options.env;
  wanted.tty = options.tty;
  wanted.privileged = options.privileged;
  wanted.rows = options.rows;
  wanted.columns = options.columns;
  ASSIGN_OR_RETURN(const auto json, containers::exec_process(info.id, root.borrow(), wanted));
  ASSIGN_OR_RETURN(command.process, base::sys::memfd_create("process.json", 0));
  TRY(base::sys::write_all(command.process.borrow(), json));
  const std::string root_dir = paths::runtime_root().string();
  command.arguments = {"compose-runtime", "--root", root_dir, "--command-codes", "exec", "--process",
                       "/proc/self/fd/" + std::to_string(command.process_number)};
  if (options.detach) command.arguments.emplace_back("--detach");
  command.arguments.push_back(info.id);
  return command;
}

Result<std::vector<pid_t>> processes(const ContainerInfo& info) {
  if (info.pid <= 0) return base::make_error(ErrorKind::unavailable, "container " + info.spec.name + " is not running");
  ASSIGN_OR_RETURN(const auto folder, cgroup_folder(info.pid));
  std::vector<pid_t> pids{info.pid};
  const auto add = [&](const std::filesystem::path& file) -> Result<> {
    ASSIGN_OR_RETURN(const auto text, base::sys::read_file(file));
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at < end) {
      pid_t pid = 0;
      const auto [next, wrong] = std::from_chars(at, end, pid);
      if (wrong == std::errc() && pid != info.pid) pids.push_back(pid);
      at = next + 1;
    }
    return {};
  };
  TRY(add(folder / "cgroup.procs"));
  // A container with its own cgroup namespace may have made groups of its own below.
  std::error_code failed;
  for (auto it = std::filesystem::recursive_directory_iterator(folder, failed);
       !failed && it != std::filesystem::recursive_directory_iterator(); it.increment(failed))
    if (it->is_directory(failed)) (void)!add(it->path() / "cgroup.procs").has_value();
  return pids;
}

WallNs now() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<WallNs>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

}  // namespace engine::client
