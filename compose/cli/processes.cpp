#include "compose/cli/processes.h"

#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <ctime>
#include <sstream>
#include <vector>

#include "base/sys.h"

namespace compose::cli {
namespace {

std::string read(const std::filesystem::path& path) {
  auto text = base::sys::read_file(path, 1 << 20);
  return text ? *std::move(text) : std::string();
}

std::int64_t number(std::string_view text) {
  std::int64_t value = 0;
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// The fields of /proc/PID/stat behind the command's closing parenthesis; [0] is the state.
std::vector<std::string> stat_fields(pid_t pid) {
  const std::string text = read("/proc/" + std::to_string(pid) + "/stat");
  const auto close = text.rfind(')');
  std::vector<std::string> fields;
  if (close == std::string::npos) return fields;
  std::size_t at = close + 2;
  while (at < text.size()) {
    const auto end = std::min(text.find(' ', at), text.size());
    fields.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return fields;
}

/// Names by the host's passwd file, read here: getpwuid of a static program would load libnss.
std::string user_name(unsigned uid) {
  static const std::string passwd = read("/etc/passwd");
  std::size_t at = 0;
  while (at < passwd.size()) {
    const auto end = std::min(passwd.find('\n', at), passwd.size());
    const std::string_view line(passwd.data() + at, end - at);
    const auto first = line.find(':'), second = line.find(':', first + 1), third = line.find(':', second + 1);
    if (third != std::string_view::npos && line.substr(second + 1, third - second - 1) == std::to_string(uid)) return std::string(line.substr(0, first));
    at = end + 1;
  }
  return std::to_string(uid);
}

std::int64_t boot_time() {
  static const std::int64_t seconds = [] {
    const std::string text = read("/proc/stat");
    const auto at = text.find("btime ");
    return at == std::string::npos ? 0 : number(std::string_view(text).substr(at + 6));
  }();
  return seconds;
}

std::string clock_text(std::int64_t ticks) {
  const auto seconds = ticks / ::sysconf(_SC_CLK_TCK);
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%02lld:%02lld:%02lld", static_cast<long long>(seconds / 3600), static_cast<long long>(seconds / 60 % 60),
                static_cast<long long>(seconds % 60));
  return buffer;
}

/// The folder of `pid`'s group under `controller` (v1), or in the unified tree when the controller is not mounted by itself.
std::filesystem::path cgroup(pid_t pid, std::string_view controller) {
  const std::string text = read("/proc/" + std::to_string(pid) + "/cgroup");
  std::istringstream lines(text);
  std::string line, unified;
  while (std::getline(lines, line)) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    if (controllers.find("," + std::string(controller) + ",") != std::string::npos) {
      return "/sys/fs/cgroup/" + std::string(controller) + line.substr(second + 1);
    }
    if (controllers == ",,") unified = line.substr(second + 1);
  }
  return "/sys/fs/cgroup" + unified;
}

void add_network(const engine::ContainerInfo& info, Usage& usage) {
  if (info.spec.network_mode == "host") return;
  std::istringstream lines(read("/proc/" + std::to_string(info.pid) + "/net/dev"));
  std::string line;
  while (std::getline(lines, line)) {
    const auto colon = line.find(':');
    if (colon == std::string::npos || line.find("lo:") != std::string::npos) continue;
    std::istringstream fields(line.substr(colon + 1));
    std::int64_t value = 0;
    for (int i = 0; i < 9 && fields >> value; ++i) {
      if (i == 0) usage.received += value;
      if (i == 8) usage.sent += value;
    }
  }
}

void add_blocks(pid_t pid, Usage& usage) {
  std::istringstream v1(read(cgroup(pid, "blkio") / "blkio.throttle.io_service_bytes"));
  std::string device, kind;
  std::int64_t value = 0;
  while (v1 >> device >> kind >> value) {
    if (kind == "Read") usage.read += value;
    if (kind == "Write") usage.written += value;
  }
  std::istringstream v2(read(cgroup(pid, "io") / "io.stat"));
  std::string word;
  while (v2 >> word) {
    if (word.starts_with("rbytes=")) usage.read += number(std::string_view(word).substr(7));
    if (word.starts_with("wbytes=")) usage.written += number(std::string_view(word).substr(7));
  }
}

}  // namespace

std::optional<ProcessRow> process_row(pid_t pid) {
  const auto fields = stat_fields(pid);
  struct stat info {};
  const std::string folder = "/proc/" + std::to_string(pid);
  if (fields.size() < 20 || ::stat(folder.c_str(), &info) != 0) return std::nullopt;
  ProcessRow row;
  row.user = user_name(info.st_uid);
  row.pid = std::to_string(pid);
  row.parent = fields[1];
  const std::int64_t ticks = number(fields[11]) + number(fields[12]);
  const auto per_second = ::sysconf(_SC_CLK_TCK);
  const std::time_t begun = static_cast<std::time_t>(boot_time() + number(fields[19]) / per_second);
  const std::int64_t age = std::max<std::int64_t>(1, std::time(nullptr) - begun);
  row.cpu = std::to_string(ticks * 100 / per_second / age);
  std::tm local{};
  ::localtime_r(&begun, &local);
  char time[16];
  std::strftime(time, sizeof time, age < 86400 ? "%H:%M" : "%b%d", &local);
  row.started = time;
  const auto terminal = number(fields[4]);
  row.terminal = terminal == 0 ? "?" : "pts/" + std::to_string(terminal & 0xff);
  row.time = clock_text(ticks);
  row.command = read(folder + "/cmdline");
  while (!row.command.empty() && row.command.back() == '\0') row.command.pop_back();
  for (char& c : row.command) {
    if (c == '\0' || c == '\n') c = ' ';
  }
  if (row.command.empty()) {
    std::string name = read(folder + "/comm");
    while (!name.empty() && name.back() == '\n') name.pop_back();
    row.command = "[" + name + "]";
  }
  return row;
}

Usage usage_of(const engine::ContainerInfo& info) {
  Usage usage;
  if (info.pid <= 0) return usage;
  usage.cpu_ns = number(read(cgroup(info.pid, "cpuacct") / "cpuacct.usage"));
  if (usage.cpu_ns == 0) {
    const std::string text = read(cgroup(info.pid, "cpu") / "cpu.stat");
    if (const auto at = text.find("usage_usec "); at != std::string::npos) usage.cpu_ns = number(std::string_view(text).substr(at + 11)) * 1000;
  }
  const auto memory = cgroup(info.pid, "memory");
  const std::string v1 = read(memory / "memory.usage_in_bytes");
  usage.memory = number(v1.empty() ? read(memory / "memory.current") : v1);
  // Docker leaves out the page cache that would be given back first.
  const std::string stat = read(memory / "memory.stat");
  const std::string key = v1.empty() ? "inactive_file " : "total_inactive_file ";
  if (const auto at = stat.find(key); at != std::string::npos) usage.memory -= std::min(usage.memory, number(std::string_view(stat).substr(at + key.size())));
  struct sysinfo machine {};
  ::sysinfo(&machine);
  const auto total = static_cast<std::int64_t>(machine.totalram) * machine.mem_unit;
  const std::int64_t limit = number(v1.empty() ? read(memory / "memory.max") : read(memory / "memory.limit_in_bytes"));
  usage.memory_limit = limit > 0 && limit < total ? limit : total;
  usage.pids = number(read(cgroup(info.pid, "pids") / "pids.current"));
  add_network(info, usage);
  add_blocks(info.pid, usage);
  return usage;
}

}  // namespace compose::cli
