#include "engine/store/info.h"

#include <charconv>

#include "base/sys.h"
#include "engine/api/types_json.h"

namespace engine::store {

Result<ContainerInfo> to_info(const ContainerRecord& record) {
  ContainerInfo info;
  info.id = record.id;
  ASSIGN_OR_RETURN(info.spec, from_json<ContainerSpec>(record.spec_json));
  const RunState& run = record.run;
  info.state = run.state;
  info.pid = run.pid;
  info.exit_code = run.exit_code;
  info.oom_killed = run.oom_killed;
  info.stopped_by_user = run.stopped_by_user;
  info.error = run.error;
  info.created = record.created;
  info.started = run.started;
  info.finished = run.finished;
  info.restart_count = run.restart_count;
  info.health = run.health;
  ASSIGN_OR_RETURN(info.health_log, from_json<std::vector<HealthProbe>>(run.health_log_json));
  ASSIGN_OR_RETURN(info.endpoints, from_json<std::vector<Endpoint>>(run.endpoints_json));
  ASSIGN_OR_RETURN(info.ports, from_json<std::vector<PortBinding>>(run.ports_json));
  ASSIGN_OR_RETURN(info.command, from_json<std::vector<std::string>>(run.command_json));
  using Map = std::map<std::string, std::string>;
  ASSIGN_OR_RETURN(info.volumes, from_json<Map>(record.volumes_json));
  info.log_path = record.log_path;
  return info;
}

Result<NetworkInfo> to_info(const NetworkRecord& record) {
  NetworkInfo info;
  info.id = record.id;
  ASSIGN_OR_RETURN(info.spec, from_json<NetworkSpec>(record.spec_json));
  ASSIGN_OR_RETURN(info.subnets, from_json<std::vector<SubnetSpec>>(record.subnets_json));
  info.created = record.created;
  return info;
}

Result<VolumeInfo> to_info(const VolumeRecord& record) {
  VolumeInfo info;
  ASSIGN_OR_RETURN(info.spec, from_json<VolumeSpec>(record.spec_json));
  info.mountpoint = record.mountpoint;
  info.created = record.created;
  return info;
}

std::uint64_t process_start(pid_t pid) {
  const auto stat = base::sys::read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!stat) return 0;
  // The second field, the name, may hold spaces and brackets: count from the last ')'. proc(5)
  std::size_t at = stat->rfind(')');
  if (at == std::string::npos || at + 2 >= stat->size()) return 0;
  if (const char state = (*stat)[at + 2]; state == 'Z' || state == 'X') return 0;
  for (int field = 2; field < 22; ++field) {
    at = stat->find(' ', at + 1);
    if (at == std::string::npos) return 0;
  }
  std::uint64_t ticks = 0;
  std::from_chars(stat->data() + at + 1, stat->data() + stat->size(), ticks);
  return ticks;
}

bool process_runs(const RunState& run) {
  return run.pid > 0 && run.boot_id == boot_id() && run.pid_start != 0 && process_start(run.pid) == run.pid_start;
}

}  // namespace engine::store
