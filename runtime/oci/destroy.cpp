#include "runtime/oci/destroy.h"

#include <poll.h>
#include <unistd.h>

#include <csignal>

#include "base/log.h"
#include "base/sys.h"
#include "runtime/linux/cgroup.h"
#include "runtime/linux/hooks.h"

namespace runtime::oci {

using base::ErrorKind;
using base::Result;
namespace sys = base::sys;

namespace {

/// Kills what is left and waits until init is gone, so that its cgroups are empty.
Result<> kill_all(const ContainerRecord& record) {
  auto pidfd = sys::pidfd_open(record.pid);
  const bool alive = process_start_time(record.pid) == record.start_time && record.start_time != 0;
  if (pidfd && alive) (void)sys::pidfd_send_signal(pidfd->borrow(), SIGKILL).has_value();
  // Without a pid namespace of its own init's end leaves the rest running.
  auto rest = signal_cgroup(record.cgroup_paths, SIGKILL);
  if (pidfd && alive) {
    pollfd wait{.fd = pidfd->number(), .events = POLLIN, .revents = 0};
    while (::poll(&wait, 1, 10000) < 0 && errno == EINTR) {
    }
  }
  return rest;
}

/// A container whose creation was cut off has no record: its cgroups are found from the configuration.
std::vector<std::string> planned_cgroups(const StateDir& dir, const std::string& id) {
  const auto config = dir.load_config();
  const auto host = cgroup_host();
  if (!config || !host) return {};
  const auto path = cgroup_path(config->linux_.cgroups_path, id);
  if (!path) return {};
  std::vector<std::string> out;
  for (const Hierarchy& hierarchy : host->hierarchies) out.push_back(hierarchy.mount_point + *path);
  return out;
}

}  // namespace

Result<> destroy(const std::string& root, const std::string& id, Force force) {
  ASSIGN_OR_RETURN(const auto dir, StateDir::open(root, id));
  auto record = dir.load();
  if (!record) {
    if (force == Force::no)
      return base::make_error(ErrorKind::invalid, "container \"" + id + "\" was not created completely: use delete --force");
    const auto paths = planned_cgroups(dir, id);
    (void)signal_cgroup(paths, SIGKILL).has_value();
    auto gone = remove_cgroup(paths);
    TRY(dir.remove());
    return gone;
  }
  const Status status = current_status(dir, *record);
  if (status != Status::stopped && status != Status::created && force == Force::no)
    return base::make_error(ErrorKind::invalid,
                            "cannot delete container \"" + id + "\" that is not stopped: " + std::string(to_string(status)));
  const auto config = dir.load_config();
  const bool own_pid_namespace = std::ranges::find(record->namespaces, "pid") != record->namespaces.end();
  Result<> first;
  if (status != Status::stopped || !own_pid_namespace) first = kill_all(*record);
  auto gone = remove_cgroup(record->cgroup_paths);
  if (first && !gone) first = std::move(gone);
  auto removed = dir.remove();
  if (first && !removed) first = std::move(removed);
  // config.md: a failing poststop hook is worth a warning.
  if (config && !config->hooks.poststop.empty())
    if (auto done = run_hooks(config->hooks.poststop, state_json(*record, Status::stopped, 0), "poststop"); !done)
      base::log::warning("runtime", done.error().text());
  return first;
}

}  // namespace runtime::oci
