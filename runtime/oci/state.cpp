#include "runtime/oci/state.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <chrono>

#include "base/sys.h"
#include "runtime/linux/cgroup.h"
#include "runtime/linux/text.h"
#include "runtime/spec/json.h"
#include "runtime/spec/json_writer.h"

namespace runtime::oci {

using base::ErrorKind;
using base::Result;
namespace sys = base::sys;

std::string_view to_string(Status status) {
  static constexpr std::string_view words[] = {"creating", "created", "running", "paused", "stopped"};
  return words[static_cast<std::size_t>(status)];
}

namespace {

void write_state(spec::JsonWriter& out, const ContainerRecord& record, Status status, pid_t pid) {
  out.member("ociVersion", record.oci_version).member("id", record.id).member("pid", pid);
  out.text("status", to_string(status)).member("bundle", record.bundle).member("rootfs", record.rootfs).member("created", record.created);
  out.text("owner", record.owner == 0 ? "root" : std::to_string(record.owner)).member("annotations", record.annotations);
}

}  // namespace

std::string state_json(const ContainerRecord& record, Status status, pid_t pid) {
  spec::JsonWriter out;
  out.object("", [&] { write_state(out, record, status, pid); });
  return out.take();
}

std::string seccomp_state_json(const ContainerRecord& record, Status status, pid_t pid, const std::string& metadata) {
  spec::JsonWriter out;
  out.object("", [&] {
    out.member("ociVersion", record.oci_version).strings("fds", {"seccompFd"}).member("pid", pid);
    out.member("metadata", metadata).object("state", [&] { write_state(out, record, status, pid); });
  });
  return out.take();
}

std::string to_json(const ContainerRecord& record) {
  spec::JsonWriter out;
  out.object("", [&] {
    out.member("format", 1).member("id", record.id).member("ociVersion", record.oci_version).member("pid", record.pid);
    out.member("startTime", record.start_time).member("bundle", record.bundle).member("rootfs", record.rootfs);
    out.member("created", record.created).member("cgroupPath", record.cgroup_path);
    out.member("cgroupPaths", record.cgroup_paths).member("namespaces", record.namespaces);
    out.member("annotations", record.annotations).member("owner", record.owner);
    out.member("noPivot", record.no_pivot).member("rootMount", record.root_mount).member("unit", record.unit);
  });
  return out.take();
}

std::uint64_t process_start_time(pid_t pid) {
  if (pid <= 0) return 0;
  const auto text = sys::read_file("/proc/" + std::to_string(pid) + "/stat");
  if (!text) return 0;
  // proc_pid_stat(5): the name, field 2, may hold blanks and brackets; field 3 is the state and 22 the start time.
  const std::size_t end = text->rfind(')');
  if (end == std::string::npos || end + 2 >= text->size()) return 0;
  const std::string_view rest = std::string_view(*text).substr(end + 2);
  if (rest[0] == 'Z' || rest[0] == 'X') return 0;
  return std::strtoull(std::string(nth_word(rest, 19)).c_str(), nullptr, 10);
}

Result<> check_id(const std::string& id) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '+' || c == '-' || c == '.';
  };
  // A dot at the start is for folders that are no container's.
  if (id.empty() || id.size() > 1024 || id.starts_with('.') || !std::ranges::all_of(id, fits))
    return base::make_error(ErrorKind::invalid, "invalid container ID '" + id + "': invalid character or length; letters, digits, _ + - . only, no dot first");
  return {};
}

std::string now_text() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  // Not gmtime_r(3): it reads the local time zone's file, which says nothing about UTC.
  const std::chrono::sys_seconds moment{std::chrono::seconds(now.tv_sec)};
  const auto day = std::chrono::floor<std::chrono::days>(moment);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(moment - day);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%06ldZ", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                static_cast<int>(time.seconds().count()), now.tv_nsec / 1000);
  return text;
}

Result<StateDir> StateDir::create(const std::string& root, const std::string& id) {
  TRY(check_id(id));
  StateDir dir(root + "/" + id);
  if (::mkdir(dir.path_.c_str(), 0711) != 0) {
    if (errno == ENOENT) {
      TRY(sys::make_directories(root, 0711));
      if (::mkdir(dir.path_.c_str(), 0711) == 0) errno = 0;
    }
    if (errno == EEXIST) return base::make_error(ErrorKind::exists, "container with id exists: " + id);
    if (errno != 0) return base::errno_error(errno, "mkdir " + dir.path_);
  }
  dir.owned_ = true;
  return dir;
}

std::vector<std::string> StateDir::all(const std::string& root) {
  std::vector<std::string> out;
  DIR* folder = ::opendir(root.c_str());
  if (!folder) return out;
  while (const dirent* entry = ::readdir(folder))
    if (entry->d_name[0] != '.') out.emplace_back(entry->d_name);
  ::closedir(folder);
  std::ranges::sort(out);
  return out;
}

Result<StateDir> StateDir::open(const std::string& root, const std::string& id) {
  TRY(check_id(id));
  StateDir dir(root + "/" + id);
  if (::access(dir.path_.c_str(), F_OK) != 0) {
    if (errno == ENOENT) return base::make_error(ErrorKind::not_found, "container \"" + id + "\" does not exist");
    return base::errno_error(errno, dir.path_);
  }
  return dir;
}

StateDir& StateDir::operator=(StateDir&& other) noexcept {
  if (this != &other) {
    if (owned_) (void)!remove().has_value();
    path_ = std::move(other.path_);
    owned_ = std::exchange(other.owned_, false);
  }
  return *this;
}

StateDir::~StateDir() {
  if (owned_) (void)!remove().has_value();
}

Result<> StateDir::save(const ContainerRecord& record) const {
  return sys::replace_file(path_ + "/state.json", to_json(record), 0600);
}

Result<> StateDir::save_config(std::string_view text) const { return sys::write_file(path_ + "/config.json", text, 0600); }

Result<ContainerRecord> StateDir::load() const {
  const std::string file = path_ + "/state.json";
  auto text = sys::read_file(file, 16 << 20);
  if (!text) return std::move(text).error();
  return parse_record(*text).with(file);
}

Result<spec::Config> StateDir::load_config() const {
  const std::string file = path_ + "/config.json";
  ASSIGN_OR_RETURN(const auto text, sys::read_file(file, 64 << 20));
  return spec::parse_config(text).with(file);
}

Result<> StateDir::remove() const {
  // The few names we make; anything else is not ours and keeps the folder.
  for (const char* name : {"/start.sock", "/state.json", "/config.json"})
    if (::unlink((path_ + name).c_str()) != 0 && errno != ENOENT) return base::errno_error(errno, path_ + name);
  if (::rmdir(path_.c_str()) == 0 || errno == ENOENT) return {};
  return sys::remove_tree(path_);  // a temporary file of a writer that was killed
}

std::vector<pid_t> container_processes(const ContainerRecord& record) {
  if (!record.cgroup_paths.empty()) return cgroup_processes(record.cgroup_paths);
  std::vector<pid_t> out;
  if (process_start_time(record.pid) != record.start_time || record.start_time == 0) return out;
  const auto space_of = [](const std::string& pid) {
    std::error_code none;
    return std::filesystem::read_symlink("/proc/" + pid + "/ns/pid", none).string();
  };
  const bool own_pid_namespace = std::ranges::find(record.namespaces, "pid") != record.namespaces.end();
  const std::string space = space_of(std::to_string(record.pid));
  if (!own_pid_namespace || space.empty()) return {record.pid};
  DIR* folder = ::opendir("/proc");
  if (!folder) return {record.pid};
  while (const dirent* entry = ::readdir(folder))
    if (const pid_t pid = std::atoi(entry->d_name); pid > 0 && space_of(entry->d_name) == space) out.push_back(pid);
  ::closedir(folder);
  return out;
}

Status current_status(const StateDir& dir, const ContainerRecord& record) {
  const std::uint64_t start = process_start_time(record.pid);
  if (start == 0 || start != record.start_time) return Status::stopped;
  if (::access(dir.start_socket().c_str(), F_OK) == 0) return Status::created;
  return cgroup_frozen(record.cgroup_paths) ? Status::paused : Status::running;
}

}  // namespace runtime::oci
