// list, ps, spec, features, init, refused verbs.
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/process.h"
#include "base/sys.h"
#include "runtime/linux/cgroup.h"
#include "runtime/linux/mount_plan.h"
#include "runtime/linux/process.h"
#include "runtime/linux/text.h"
#include "runtime/oci/print.h"
#include "runtime/oci/state.h"
#include "runtime/oci/verbs.h"
#include "runtime/spec/docker_defaults.h"
#include "runtime/spec/json.h"
#include "runtime/spec/json_writer.h"

namespace runtime::oci {

using base::ErrorKind;
using base::Result;
namespace sys = base::sys;

namespace {

struct Listed {
  ContainerRecord record;
  Status status = Status::stopped;
};

std::vector<Listed> all_containers(const std::string& root) {
  std::vector<Listed> out;
  for (const auto& id : StateDir::all(root)) {
    auto dir = StateDir::open(root, id);
    if (!dir) continue;
    auto record = dir->load();
    if (!record) continue;  // being created
    const Status status = current_status(*dir, *record);
    out.push_back({*std::move(record), status});
  }
  return out;
}

std::string owner_name(std::uint32_t uid) { return uid == 0 ? "root" : "#" + std::to_string(uid); }

/// Rows of text as columns, each as wide as its widest cell, three blanks between.
std::string columns(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows)
    for (std::size_t at = 0; at < row.size(); ++at) {
      if (widths.size() <= at) widths.push_back(0);
      widths[at] = std::max(widths[at], row[at].size() + 3);
    }
  std::string out;
  for (const auto& row : rows) {
    for (std::size_t at = 0; at < row.size(); ++at) {
      out += row[at];
      if (at + 1 < row.size()) out.append(widths[at] - row[at].size(), ' ');
    }
    out += "\n";
  }
  return out;
}

Result<std::string> format_of(const Arguments& arguments) {
  const std::string format = arguments.has("format") ? arguments.value("format") : "table";
  if (format != "table" && format != "json")
    return base::make_error(ErrorKind::invalid, "--format: '" + format + "' is not table or json");
  return format;
}

}  // namespace

Result<int> verb_list(const Global& global, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto format, format_of(arguments));
  if (global.root_given && ::access(global.root.c_str(), F_OK) != 0) return base::errno_error(errno, "--root " + global.root);
  const auto all = all_containers(global.root);
  std::string out;
  if (arguments.has("quiet")) {
    for (const auto& item : all) out += item.record.id + "\n";
  } else if (format == "json") {
    for (const auto& item : all)
      out += (out.empty() ? "" : ",") + state_json(item.record, item.status, item.status == Status::stopped ? 0 : item.record.pid);
    out = "[" + out + "]\n";
  } else {
    std::vector<std::vector<std::string>> rows{{"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"}};
    for (const auto& item : all)
      rows.push_back({item.record.id, std::to_string(item.status == Status::stopped ? 0 : item.record.pid),
                      std::string(to_string(item.status)), item.record.bundle, item.record.created, owner_name(item.record.owner)});
    out = columns(rows);
  }
  TRY(print(out));
  return 0;
}

namespace {

/// One line of the ps table, read from /proc.
std::vector<std::string> process_row(pid_t pid) {
  const std::string proc = "/proc/" + std::to_string(pid);
  std::string uid = "?", ppid = "?", command;
  if (const auto status = sys::read_file(proc + "/status"))
    for_each_word(*status, '\n', [&](std::string_view line) {
      const auto rest = line.substr(std::min(line.find('\t') + 1, line.size()));
      if (line.starts_with("Uid:\t")) uid = rest.substr(0, rest.find('\t'));
      if (line.starts_with("PPid:\t")) ppid = rest;
      if (line.starts_with("Name:\t")) command = "[" + std::string(rest) + "]";
    });
  if (auto line = sys::read_file(proc + "/cmdline"); line && !line->empty()) {
    command = *line;
    std::ranges::replace(command, '\0', ' ');
    while (!command.empty() && command.back() == ' ') command.pop_back();
  }
  return {uid, std::to_string(pid), ppid, command};
}

/// What the machine's ps(1) prints with these options (-ef without any), less the lines of other processes. Nothing without it.
std::optional<std::string> rows_of_ps(std::vector<std::string> options, const std::vector<pid_t>& pids) {
  if (options.empty()) options = {"-ef"};
  const char* program = ::access("/usr/bin/ps", X_OK) == 0 ? "/usr/bin/ps" : "/bin/ps";
  if (::access(program, X_OK) != 0) return std::nullopt;
  auto output = sys::memfd_create("ps", 0);
  if (!output) return std::nullopt;
  base::SpawnOptions spawn;
  spawn.program = program;
  spawn.arguments = {"ps"};
  spawn.arguments.insert(spawn.arguments.end(), options.begin(), options.end());
  spawn.fds = {{output->borrow(), 1}, {base::Fd(2), 2}};
  auto child = base::ChildProcess::spawn(spawn);
  if (!child) return std::nullopt;
  const auto status = child->wait(std::chrono::seconds(30));
  if (!status || status->code != 0) return std::nullopt;
  const auto text = sys::read_file("/proc/self/fd/" + std::to_string(output->number()), 64 << 20);
  if (!text) return std::nullopt;
  std::string out;
  std::size_t column = std::string::npos;
  for_each_word(*text, '\n', [&](std::string_view line) {
    std::size_t at = 0;
    bool ours = false, title = out.empty();
    for_each_word(line, ' ', [&](std::string_view word) {
      if (title && word == "PID" && column == std::string::npos) column = at;
      if (!title && at == column) ours = std::ranges::find(pids, std::atoi(std::string(word).c_str())) != pids.end();
      ++at;
    });
    if (title || ours) out.append(line) += '\n';
  });
  if (column == std::string::npos) return std::nullopt;
  return out;
}

}  // namespace

Result<int> verb_ps(const Global& global, const Arguments& arguments) {
  Arguments given = arguments;
  const std::string id = arguments.positional.front();
  ASSIGN_OR_RETURN(const auto dir, StateDir::open(global.root, id));
  ASSIGN_OR_RETURN(const auto record, dir.load());
  ASSIGN_OR_RETURN(const auto format, format_of(arguments));
  const auto pids = container_processes(record);
  std::string out;
  if (format == "json") {
    for (const pid_t pid : pids) out += (out.empty() ? "" : ",") + std::to_string(pid);
    TRY(print("[" + out + "]\n"));
    return 0;
  }
  if (auto listed = rows_of_ps({given.positional.begin() + 1, given.positional.end()}, pids)) {
    TRY(print(*listed));
    return 0;
  }
  if (given.positional.size() > 1) return base::make_error(ErrorKind::not_found, "ps: the machine's own ps program is not there or failed");
  std::vector<std::vector<std::string>> rows{{"UID", "PID", "PPID", "CMD"}};
  for (const pid_t pid : pids) rows.push_back(process_row(pid));
  TRY(print(columns(rows)));
  return 0;
}

Result<int> verb_spec(const Global&, const Arguments& arguments) {
  const std::string folder = arguments.has("bundle") ? arguments.value("bundle") + "/" : "";
  const std::string file = arguments.has("config") ? arguments.value("config") : folder + "config.json";
  if (::access(file.c_str(), F_OK) == 0) return base::make_error(ErrorKind::exists, file + " exists already");
  spec::Config config = spec::docker::config();
  config.root = {.path = "rootfs", .readonly = true};
  config.hostname = "compose-runtime";
  auto& process = *config.process;
  process.terminal = true;
  process.args = {"sh"};
  process.env.emplace_back("TERM=xterm");
  process.no_new_privileges = true;
  process.oom_score_adj.reset();
  process.user.additional_gids.clear();
  process.capabilities.emplace();
  for (auto* set : {&process.capabilities->bounding, &process.capabilities->effective, &process.capabilities->permitted})
    *set = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
  process.rlimits = {{.type = "RLIMIT_NOFILE", .soft = 1024, .hard = 1024}};
  auto& linux_object = config.linux_;
  // As runc: a v1 machine's cgroup mount shows the container's own folder without one.
  const auto host = cgroup_host();
  linux_object.namespaces = spec::docker::namespaces(host && host->unified_only());
  linux_object.seccomp.reset();
  linux_object.sysctl.clear();
  if (arguments.has("rootless")) {
    linux_object.namespaces.push_back({.type = "user", .path = ""});
    std::erase_if(linux_object.namespaces, [](const auto& space) { return space.type == "network"; });
    linux_object.uid_mappings = {{.container_id = 0, .host_id = ::geteuid(), .size = 1}};
    linux_object.gid_mappings = {{.container_id = 0, .host_id = ::getegid(), .size = 1}};
    linux_object.resources.reset();
    for (auto& mount : config.mounts) {
      if (mount.destination == "/sys") mount = {.destination = "/sys", .type = "none", .source = "/sys",
                                                .options = {"rbind", "nosuid", "noexec", "nodev", "ro"}, .uid_mappings = {}, .gid_mappings = {}};
      std::erase(mount.options, "gid=5");
    }
    std::erase_if(config.mounts, [](const auto& mount) { return mount.destination == "/sys/fs/cgroup"; });
  }
  TRY(sys::write_file(file, to_json(config) + "\n"));
  return 0;
}

Result<int> verb_refused(const Global&, const Arguments&) {
  return base::make_error(ErrorKind::unsupported, "checkpoint and restore are not supported");
}

Result<int> verb_init(const Global&, const Arguments& arguments) {
  spec::Process process;
  process.args = arguments.positional;
  process.cwd = "/";
  for (char** variable = environ; *variable; ++variable) process.env.emplace_back(*variable);
  ASSIGN_OR_RETURN(const auto program, find_executable(process));
  const pid_t child = ::fork();
  if (child < 0) return base::errno_error(errno, "fork");
  if (child > 0) serve_as_init(child);
  (void)::setpgid(0, 0);
  return execute(program, process, process.env);
}

}  // namespace runtime::oci
