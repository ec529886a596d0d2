// What is done to cgroups that are there already: count, signal, freeze, remove.
#include <dirent.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <set>

#include "base/sys.h"
#include "runtime/linux/cgroup.h"
#include "runtime/linux/text.h"

namespace runtime {

using base::Result;
namespace sys = base::sys;

namespace {

/// The folders directly below `path`; empty when it is gone.
std::vector<std::string> subfolders(const std::string& path) {
  std::vector<std::string> out;
  DIR* dir = ::opendir(path.c_str());
  if (!dir) return out;
  while (const dirent* entry = ::readdir(dir))
    if (entry->d_type == DT_DIR && std::string_view(entry->d_name) != "." && std::string_view(entry->d_name) != "..")
      out.push_back(path + "/" + entry->d_name);
  ::closedir(dir);
  return out;
}

void collect_processes(const std::string& path, std::set<pid_t>& out) {
  if (const auto text = sys::read_file(path + "/cgroup.procs"))
    for_each_word(*text, '\n', [&](std::string_view line) {
      if (const pid_t pid = static_cast<pid_t>(std::atol(std::string(line).c_str())); pid > 0) out.insert(pid);
    });
  for (const auto& below : subfolders(path)) collect_processes(below, out);
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

/// The folder with a freezer: the v1 freezer's, else the unified one.
std::string freezer_of(const std::vector<std::string>& paths) {
  for (const auto& path : paths)
    if (exists(path + "/freezer.state")) return path;
  for (const auto& path : paths)
    if (exists(path + "/cgroup.freeze")) return path;
  return {};
}

std::string state_of(const std::string& freezer) {
  if (const auto text = sys::read_file(freezer + "/freezer.state")) return *text;
  const auto events = sys::read_file(freezer + "/cgroup.events");
  return events && events->find("frozen 1") != std::string::npos ? "FROZEN\n" : "THAWED\n";
}

/// rmdir(2) of the folder and all below it, innermost first. EBUSY while a process is on its way out.
int remove_tree(const std::string& path) {
  if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return 0;
  if (errno != EBUSY && errno != ENOTEMPTY) return errno;
  for (const auto& below : subfolders(path))
    if (const int number = remove_tree(below)) return number;
  return ::rmdir(path.c_str()) == 0 || errno == ENOENT ? 0 : errno;
}

}  // namespace

std::vector<pid_t> cgroup_processes(const std::vector<std::string>& paths) {
  std::set<pid_t> all;
  for (const auto& path : paths) {
    collect_processes(path, all);
    if (!all.empty()) break;  // the same processes are in every hierarchy
  }
  return {all.begin(), all.end()};
}

Result<> signal_cgroup(const std::vector<std::string>& paths, int signal) {
  if (signal == SIGKILL)
    for (const auto& path : paths)
      if (exists(path + "/cgroup.kill")) {
        if (!sys::write_file(path + "/cgroup.kill", "1")) break;
        // It wakes what the v2 freezer holds, not what a v1 freezer does.
        return cgroup_frozen(paths) ? freeze_cgroup(paths, false) : Result<>{};
      }
  const std::string freezer = freezer_of(paths);
  const bool freeze = signal == SIGKILL && !freezer.empty() && freeze_cgroup(paths, true).has_value();
  for (const pid_t pid : cgroup_processes(paths)) (void)::kill(pid, signal);
  if (freeze) TRY(freeze_cgroup(paths, false));
  return {};
}

Result<> freeze_cgroup(const std::vector<std::string>& paths, bool frozen) {
  const std::string freezer = freezer_of(paths);
  if (freezer.empty()) return base::make_error(base::ErrorKind::unsupported, "no cgroup freezer is available here");
  const bool v1 = exists(freezer + "/freezer.state");
  const std::string wanted = frozen ? "FROZEN\n" : "THAWED\n";
  // v1 may stay FREEZING when tasks appear meanwhile: writing again helps (freezer-subsystem.rst).
  for (int round = 0; round < 1000; ++round) {
    TRY(v1 ? sys::write_file(freezer + "/freezer.state", frozen ? "FROZEN" : "THAWED")
           : sys::write_file(freezer + "/cgroup.freeze", frozen ? "1" : "0"));
    if (state_of(freezer) == wanted) return {};
    (void)::poll(nullptr, 0, 1 + round / 100);
  }
  (void)!sys::write_file(freezer + (v1 ? "/freezer.state" : "/cgroup.freeze"), v1 ? "THAWED" : "0").has_value();
  return base::make_error(base::ErrorKind::timeout, "the cgroup could not be frozen");
}

bool cgroup_frozen(const std::vector<std::string>& paths) {
  const std::string freezer = freezer_of(paths);
  return !freezer.empty() && state_of(freezer) != "THAWED\n";
}

Result<> remove_cgroup(const std::vector<std::string>& paths, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  Result<> first;
  for (const auto& path : paths) {
    int number = remove_tree(path);
    for (int pause_ms = 1; number == EBUSY && std::chrono::steady_clock::now() < deadline;
         pause_ms = std::min(pause_ms * 2, 20)) {
      (void)::poll(nullptr, 0, pause_ms);
      number = remove_tree(path);
    }
    if (number != 0 && first) first = base::errno_error(number, "rmdir " + path);
  }
  return first;
}

}  // namespace runtime
