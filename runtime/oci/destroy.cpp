#include "runtime/oci/destroy.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "base/sys.h"
#include "runtime/linux/cgroup.h"
#include "runtime/linux/hooks.h"
#include "runtime/linux/systemd.h"
#include "runtime/oci/launch.h"
#include "runtime/oci/logging.h"

namespace runtime::oci {

using base::ErrorKind;
using base::Result;
namespace sys = base::sys;

namespace {

/// Somebody may have moved init into another, frozen v1 cgroup, where a SIGKILL waits for ever; ours is thawed.
void bring_home(const ContainerRecord& record) {
  for (const auto& path : record.cgroup_paths)
    if (::access((path + "/freezer.state").c_str(), F_OK) == 0)
      (void)!sys::write_file(path + "/cgroup.procs", std::to_string(record.pid)).has_value();
}

/// Kills what is left and waits until init is gone, so that its cgroups are empty.
Result<> kill_all(const ContainerRecord& record) {
  auto pidfd = sys::pidfd_open(record.pid);
  const bool alive = process_start_time(record.pid) == record.start_time && record.start_time != 0;
  if (pidfd && alive) {
    (void)sys::pidfd_send_signal(pidfd->borrow(), SIGKILL).has_value();
    bring_home(record);
  }
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

/// What destroy() and destroy_ended() share. `alive`: processes of it may be left.
Result<> take_away(const StateDir& dir, const ContainerRecord& record, const std::vector<spec::Hook>& poststop, bool alive) {
  const bool own_pid_namespace = std::ranges::find(record.namespaces, "pid") != record.namespaces.end();
  Result<> first;
  if (alive || !own_pid_namespace) first = kill_all(record);
  auto detached = detach_root(record);
  if (first && !detached) first = std::move(detached);
  if (!record.unit.empty())
    if (auto stopped = stop_unit(record.unit); first && !stopped) first = std::move(stopped);
  auto gone = remove_cgroup(record.cgroup_paths);
  // The record stays with what is left of the container: the next delete finds it.
  if (!gone) return first ? std::move(gone) : std::move(first);
  auto removed = dir.remove();
  if (first && !removed) first = std::move(removed);
  // config.md: a failing poststop hook is worth a warning, and the others run all the same.
  if (!poststop.empty())
    for (const auto& error : run_all_hooks(poststop, hook_run(record, Status::stopped), "poststop")) report_warning(error);
  return first;
}

}  // namespace

Result<std::uint64_t> mount_id(base::Fd file) {
  struct statx about {};
  if (::statx(file.number(), "", AT_EMPTY_PATH, STATX_MNT_ID, &about) != 0) return base::errno_error(errno, "statx");
  return about.stx_mnt_id;
}

Result<> detach_root(const ContainerRecord& record) {
  if (record.root_mount == 0) return {};
  const auto top = sys::open(record.rootfs, O_PATH | O_DIRECTORY);
  if (!top) return {};
  ASSIGN_OR_RETURN(const std::uint64_t found, mount_id(top->borrow()));
  if (found != record.root_mount) return {};  // never attached, or gone already
  TRY(sys::wrap("unmounting " + record.rootfs, ::umount2(record.rootfs.c_str(), MNT_DETACH)));
  return {};
}

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
  // Whether it runs is asked of procfs; should that have failed, its cgroups still know.
  const bool alive = status != Status::stopped || (force == Force::yes && !cgroup_processes(record->cgroup_paths).empty());
  return take_away(dir, *record, config ? config->hooks.poststop : std::vector<spec::Hook>{}, alive);
}

Result<> destroy_ended(const StateDir& dir, const ContainerRecord& record, const std::vector<spec::Hook>& poststop) {
  // Somebody else was faster, its poststop hooks included.
  if (::access(dir.path().c_str(), F_OK) != 0) return {};
  return take_away(dir, record, poststop, false);
}

}  // namespace runtime::oci
