#include "runtime/linux/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>

#include "base/sys.h"
#include "runtime/linux/device_bpf.h"
#include "runtime/linux/kernel.h"
#include "runtime/linux/text.h"

namespace runtime {

using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

Result<CgroupHost> cgroup_host() {
  ASSIGN_OR_RETURN(const auto mountinfo, sys::read_file("/proc/self/mountinfo"));
  CgroupHost host = parse_cgroup_mounts(mountinfo);
  for (Hierarchy& hierarchy : host.hierarchies) {
    if (!hierarchy.unified) continue;
    const auto names = sys::read_file(hierarchy.mount_point + "/cgroup.controllers");
    if (!names) continue;
    for_each_word(std::string_view(*names).substr(0, names->find('\n')), ' ',
                  [&](std::string_view name) { hierarchy.controllers.emplace_back(name); });
  }
  return host;
}

namespace {

/// A new v1 cpuset is empty and takes no process: it starts with its parent's cpus and memory nodes. `mems` is written last, so
/// that where it is set nothing is left to do: so in a folder whose parent clones (share_cpuset()).
Result<> inherit_cpuset(const std::string& folder, std::size_t mount_point_size, bool just_made = false) {
  const auto empty = [](const std::string& text) { return text.find_first_not_of(" \n") == std::string::npos; };
  ASSIGN_OR_RETURN(const auto mems, sys::read_file(folder + "/cpuset.mems"));
  if (!empty(mems)) return {};
  const std::string above = folder.substr(0, folder.rfind('/'));
  // Whoever made the one above need not have filled it.
  if (above.size() > mount_point_size) TRY(inherit_cpuset(above, mount_point_size));
  std::string cpus;
  if (!just_made) {
    ASSIGN_OR_RETURN(cpus, sys::read_file(folder + "/cpuset.cpus"));
  }
  if (empty(cpus)) {
    ASSIGN_OR_RETURN(const auto parent, sys::read_file(above + "/cpuset.cpus"));
    TRY(sys::write_file(folder + "/cpuset.cpus", parent));
  }
  ASSIGN_OR_RETURN(const auto parent, sys::read_file(above + "/cpuset.mems"));
  return sys::write_file(folder + "/cpuset.mems", parent);
}

/// Lets the kernel copy cpus and memory nodes into folders made below. Source: cgroup-v1/cgroups.rst, clone_children.
void share_cpuset(const std::string& folder) {
  (void)!sys::write_file(folder + "/cgroup.clone_children", "1").has_value();
}

bool is_v1(const Hierarchy& hierarchy, std::string_view controller) {
  return !hierarchy.unified &&
         std::ranges::find(hierarchy.controllers, controller) != hierarchy.controllers.end();
}

/// Makes one folder and, when they are missing, those above it. `made` gets each new one, outermost first.
Result<> make_folder(const CgroupFolder& folder, std::vector<std::string>& made) {
  const std::string& path = folder.path;
  const std::size_t start = folder.hierarchy->mount_point.size();
  const bool cpuset = is_v1(*folder.hierarchy, "cpuset");
  int attempts = 0;
  // The usual case: another container of the project has made those above.
  if (::mkdir(path.c_str(), 0755) == 0) {
    made.push_back(path);
    return cpuset ? inherit_cpuset(path, start, true) : Result<>();
  }
  for (std::size_t end = path.find('/', start + 1);;) {
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), 0755) == 0) {
      made.push_back(part);
    } else if (errno == ENOENT && ++attempts < 100) {
      // The folder above has just been removed by whoever used it last: begin again at the top.
      end = path.find('/', start + 1);
      continue;
    } else if (errno != EEXIST) {
      return base::errno_error(errno, "mkdir " + part);
    }
    // Also in a folder that was there: who made it may not have got this far.
    if (cpuset) {
      TRY(inherit_cpuset(part, start));
      if (end != std::string::npos) share_cpuset(part);
    }
    if (end == std::string::npos) return {};
    end = path.find('/', end + 1);
  }
}

/// cgroup v2 hands a controller down only where the parent lists it in cgroup.subtree_control.
void enable_controllers(const CgroupFolder& folder) {
  const Hierarchy& hierarchy = *folder.hierarchy;
  std::string all;
  for (const auto& name : hierarchy.controllers) all += (all.empty() ? "+" : " +") + name;
  if (all.empty()) return;
  for (std::size_t end = hierarchy.mount_point.size(); end != std::string::npos;
       end = folder.path.find('/', end + 1)) {
    const std::string parent = folder.path.substr(0, end);
    if (parent.size() == folder.path.size()) break;
    if (sys::write_file(parent + "/cgroup.subtree_control", all)) continue;
    // One that can't be had (realtime tasks block "cpu") must not cost the others. What is needed fails at its write.
    for (const auto& name : hierarchy.controllers)
      (void)!sys::write_file(parent + "/cgroup.subtree_control", "+" + name).has_value();
  }
}

/// The file written last: a list of device rules goes to one file, a write a rule.
struct OpenLimit {
  std::string name;  ///< as CgroupWrite::file has it
  UniqueFd file;
};

/// Device rules as a whole ("a") are refused while the cgroup has children, and one that was just removed counts until the kernel is
/// through with it, some 10 ms (devcgroup_update_access(), css_has_online_children()). Real children make the refusal stay.
Result<> write_value(base::Fd file, const std::string& name, const std::string& value) {
  auto done = kernel::write_once(file, value);
  if (value != "a" || !name.starts_with("devices.")) return done;
  constexpr timespec pause{.tv_sec = 0, .tv_nsec = 1'000'000};
  for (int left = 2000; !done && done.error().number == EINVAL && left > 0; --left) {
    (void)::nanosleep(&pause, nullptr);
    done = kernel::write_once(file, value);
  }
  return done;
}

/// `file` may start with "?" (skipped when absent) and may list alternatives "a|b", the first that exists; `value` then may have one each.
Result<> write_limit(const std::string& folder, const CgroupWrite& write, OpenLimit& open) {
  if (open.file.valid() && open.name == write.file)
    return kernel::write_once(open.file.borrow(), write.value).with("cgroup " + write.file + " = " + write.value);
  std::string_view names = write.file;
  const bool optional = names.starts_with('?');
  if (optional) names.remove_prefix(1);
  std::string last;
  std::string_view values = write.value;
  base::Error error;
  while (!names.empty()) {
    const std::size_t bar = names.find('|');
    last = names.substr(0, bar);
    names.remove_prefix(bar == std::string_view::npos ? names.size() : bar + 1);
    const std::string value(values.substr(0, values.find('|')));
    if (const auto next = values.find('|'); next != std::string_view::npos) values.remove_prefix(next + 1);
    auto file = sys::open(folder + "/" + last, O_WRONLY);
    if (file) {
      auto done = write_value(file->borrow(), last, value);
      if (done && !optional && write.file.find('|') == std::string::npos) open = {write.file, *std::move(file)};
      if (done || optional) return {};
      return std::move(done).with("cgroup " + last + " = " + value);
    }
    error = std::move(file).error();
    if (error.number != ENOENT) break;
  }
  if (optional && error.number == ENOENT) return {};
  if (error.number == ENOENT)
    return base::make_error(base::ErrorKind::unsupported, "cgroup " + last + " = " + write.value +
                                                              ": this kernel has no such setting");
  return error;
}

Result<> write_limits_of(const CgroupFolder& folder) {
  OpenLimit open;
  for (const CgroupWrite& write : folder.writes) TRY(write_limit(folder.path, write, open));
  return {};
}

/// Whether a process may be outside of this folder without anybody missing something.
bool dispensable(const CgroupFolder& folder) { return folder.writes.empty(); }

}  // namespace

ScopedCgroup::~ScopedCgroup() {
  // Folders above the container's own may hold others' by now: those go only while they are empty.
  for (auto at = made_.rbegin(); at != made_.rend(); ++at)
    if (std::ranges::find(paths_, *at) == paths_.end())
      (void)::rmdir(at->c_str());
    else
      (void)!remove_cgroup({*at}).has_value();
}

namespace {

/// A folder that was there already must hold no process, which would share limits and the end of this container, and must not be
/// frozen, where the new process would wait for ever.
Result<> check_free(const CgroupFolder& folder) {
  const auto processes = cgroup_processes({folder.path});
  if (!processes.empty())
    return base::make_error(base::ErrorKind::exists, "container's cgroup is not empty: " +
                                                         std::to_string(processes.size()) + " process(es) found in " + folder.path);
  if (cgroup_frozen({folder.path}))
    return base::make_error(base::ErrorKind::exists, "container's cgroup unexpectedly frozen: " + folder.path);
  return {};
}

}  // namespace

Result<ScopedCgroup> ScopedCgroup::make(const CgroupPlan& plan, const spec::Resources& resources) {
  ScopedCgroup out;
  for (const CgroupFolder& folder : plan.folders) {
    out.paths_.push_back(folder.path);
    if (auto done = make_folder(folder, out.made_); !done) {
      const int number = done.error().number;
      if (dispensable(folder) && (number == EACCES || number == EPERM || number == EROFS)) {
        out.paths_.pop_back();
        continue;
      }
      return std::move(done).error();
    }
    if (out.made_.empty() || out.made_.back() != folder.path) TRY(check_free(folder));
    if (folder.hierarchy->unified && (plan.folders.size() == 1 || !folder.writes.empty())) enable_controllers(folder);
    TRY(write_limits_of(folder));
    if (folder.hierarchy->unified) {
      ASSIGN_OR_RETURN(out.unified_, sys::open(folder.path, O_RDONLY | O_DIRECTORY));
    } else {
      ASSIGN_OR_RETURN(auto tasks, sys::open(folder.path + "/tasks", O_WRONLY));
      out.tasks_.push_back(std::move(tasks));
    }
  }
  TRY(out.limit_devices(plan, resources));
  return out;
}

Result<ScopedCgroup> ScopedCgroup::adopt(const CgroupPlan& plan, const spec::Resources& resources, pid_t pid) {
  ScopedCgroup out;
  const std::string number = std::to_string(pid);
  for (const CgroupFolder& folder : plan.folders) {
    if (auto done = make_folder(folder, out.made_); !done) {
      if (dispensable(folder)) continue;
      return std::move(done).error();
    }
    out.paths_.push_back(folder.path);
    TRY(write_limits_of(folder));
    const auto members = cgroup_processes({folder.path});
    if (std::ranges::find(members, pid) == members.end())
      TRY(sys::write_file(folder.path + "/cgroup.procs", number));
    if (folder.hierarchy->unified) {
      ASSIGN_OR_RETURN(out.unified_, sys::open(folder.path, O_RDONLY | O_DIRECTORY));
    }
  }
  TRY(out.limit_devices(plan, resources));
  return out;
}

Result<> ScopedCgroup::limit_devices(const CgroupPlan& plan, const spec::Resources& resources) const {
  const bool v1_devices = std::ranges::any_of(plan.folders, [](const CgroupFolder& folder) {
    return is_v1(*folder.hierarchy, "devices");
  });
  if (resources.devices.empty() || v1_devices || !unified_.valid()) return {};
  return attach_device_program(unified_.borrow(), effective_device_rules(resources.devices));
}

Result<> enter_tasks(const std::vector<UniqueFd>& tasks) {
  for (const UniqueFd& file : tasks) TRY(kernel::write_once(file.borrow(), "0"));
  return {};
}

Result<CgroupEntry> open_cgroup(const std::vector<std::string>& paths) {
  CgroupEntry entry;
  for (const std::string& path : paths) {
    auto tasks = sys::open(path + "/tasks", O_WRONLY);
    if (tasks) {
      entry.tasks.push_back(*std::move(tasks));
    } else if (tasks.error().number == ENOENT) {  // cgroup2 has no such file
      ASSIGN_OR_RETURN(entry.unified, sys::open(path, O_RDONLY | O_DIRECTORY));
    } else {
      return std::move(tasks).error();
    }
  }
  return entry;
}

Result<> write_limits(const CgroupPlan& plan) {
  for (const CgroupFolder& folder : plan.folders) TRY(write_limits_of(folder));
  return {};
}

}  // namespace runtime
