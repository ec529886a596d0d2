// state, kill, delete, pause, resume.
#include <poll.h>
#include <regex.h>
#include <unistd.h>

#include <csignal>

#include "base/sys.h"
#include "runtime/linux/cgroup.h"
#include "runtime/oci/destroy.h"
#include "runtime/oci/print.h"
#include "runtime/oci/signals.h"
#include "runtime/oci/verbs.h"

namespace runtime::oci {

using base::ErrorKind;
using base::Result;
namespace sys = base::sys;

Result<int> verb_state(const Global& global, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto dir, StateDir::open(global.root, arguments.positional.front()));
  auto record = dir.load();
  // The record is written within milliseconds of the folder: only a creation that was cut off never gets one.
  for (int round = 0; round < 50 && !record && record.error().number == ENOENT; ++round) {
    (void)::poll(nullptr, 0, 2);
    record = dir.load();
  }
  if (!record && record.error().number == ENOENT) {
    ContainerRecord empty;
    empty.id = arguments.positional.front();
    TRY(print(state_json(empty, Status::creating, 0) + "\n"));
    return 0;
  }
  if (!record) return std::move(record).error();
  const Status status = current_status(dir, *record);
  TRY(print(state_json(*record, status, status == Status::stopped ? 0 : record->pid) + "\n"));
  return 0;
}

namespace {

/// The ids on the command line, or with --regex those of the containers that match.
Result<std::vector<std::string>> chosen_ids(const Global& global, const Arguments& arguments, std::vector<std::string> words) {
  if (!arguments.has("regex")) return words;
  std::vector<std::string> out;
  for (const auto& word : words) {
    regex_t pattern{};
    if (::regcomp(&pattern, word.c_str(), REG_EXTENDED | REG_NOSUB) != 0)
      return base::make_error(ErrorKind::invalid, "--regex: '" + word + "' is not a regular expression");
    for (auto& id : StateDir::all(global.root))
      if (::regexec(&pattern, id.c_str(), 0, nullptr, 0) == 0) out.push_back(std::move(id));
    ::regfree(&pattern);
  }
  return out;
}

Result<> kill_one(const Global& global, const Arguments& arguments, const std::string& id, std::optional<int> number) {
  ASSIGN_OR_RETURN(const auto dir, StateDir::open(global.root, id));
  ASSIGN_OR_RETURN(const auto record, dir.load());
  const Status status = current_status(dir, record);
  if (arguments.has("all") && !record.cgroup_paths.empty()) return signal_cgroup(record.cgroup_paths, *number);
  if (arguments.has("all")) {
    for (const pid_t pid : container_processes(record)) (void)::kill(pid, *number);
    return {};
  }
  const bool own_pid_namespace = std::ranges::find(record.namespaces, "pid") != record.namespaces.end();
  // Without a pid namespace of its own a container outlives its init (runc ends it as well).
  if (status == Status::stopped && *number == SIGKILL && !own_pid_namespace && !cgroup_processes(record.cgroup_paths).empty())
    return signal_cgroup(record.cgroup_paths, SIGKILL);
  if (status == Status::stopped)
    return base::make_error(ErrorKind::invalid, "cannot kill container \"" + id + "\": container not running");
  // The pidfd first, then the check that the pid is still init's: no other process can be hit.
  ASSIGN_OR_RETURN(const auto pidfd, sys::pidfd_open(record.pid));
  if (process_start_time(record.pid) != record.start_time)
    return base::make_error(ErrorKind::invalid, "cannot kill container \"" + id + "\": container not running");
  // Without a pid namespace of its own the rest of the container would survive its init (runc does the same).
  if (*number == SIGKILL && !own_pid_namespace) TRY(signal_cgroup(record.cgroup_paths, SIGKILL));
  auto sent = sys::pidfd_send_signal(pidfd.borrow(), *number);
  if (!sent && sent.error().number != ESRCH) return std::move(sent).error();
  return {};
}

}  // namespace

Result<int> verb_kill(const Global& global, const Arguments& arguments) {
  const std::string name = arguments.positional.size() > 1 ? arguments.positional[1] : "SIGTERM";
  const auto number = signal_number(name);
  if (!number) return base::make_error(ErrorKind::invalid, "unknown signal '" + name + "'");
  ASSIGN_OR_RETURN(const auto ids, chosen_ids(global, arguments, {arguments.positional.front()}));
  for (const auto& id : ids) TRY(kill_one(global, arguments, id, number));
  return 0;
}

Result<int> verb_delete(const Global& global, const Arguments& arguments) {
  const bool force = arguments.has("force");
  ASSIGN_OR_RETURN(const auto ids, chosen_ids(global, arguments, arguments.positional));
  for (const auto& id : ids) {
    auto done = destroy(global.root, id, force ? Force::yes : Force::no);
    // runc: forcing away what is not there is success.
    if (!done && !(force && done.error().kind == ErrorKind::not_found)) return std::move(done).error();
  }
  return 0;
}

namespace {

Result<int> freeze(const Global& global, const Arguments& arguments, bool frozen) {
  const std::string& id = arguments.positional.front();
  ASSIGN_OR_RETURN(const auto dir, StateDir::open(global.root, id));
  ASSIGN_OR_RETURN(const auto record, dir.load());
  const Status status = current_status(dir, record);
  const bool fits = frozen ? status == Status::running || status == Status::created : status == Status::paused;
  if (!fits)
    return base::make_error(ErrorKind::invalid, "cannot " + std::string(frozen ? "pause" : "resume") + " container \"" + id +
                                                    "\" that is " + std::string(to_string(status)));
  TRY(freeze_cgroup(record.cgroup_paths, frozen));
  return 0;
}

}  // namespace

Result<int> verb_pause(const Global& global, const Arguments& arguments) { return freeze(global, arguments, true); }
Result<int> verb_resume(const Global& global, const Arguments& arguments) { return freeze(global, arguments, false); }

}  // namespace runtime::oci
