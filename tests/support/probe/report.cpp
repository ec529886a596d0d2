// "key=value" lines about the process itself, one fact a line; lists are joined with blanks.
#include <dirent.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <string>

#include "probe.h"

namespace probe {
namespace {

void line(const std::string& key, const std::string& value) { std::printf("%s=%s\n", key.c_str(), value.c_str()); }
void line(const std::string& key, long value) { line(key, std::to_string(value)); }

std::string field(const std::string& text, const std::string& name) {
  const std::size_t at = text.find(name + ":");
  if (at == std::string::npos) return "";
  const std::size_t start = text.find_first_not_of(" \t", at + name.size() + 1);
  return text.substr(start, text.find('\n', start) - start);
}

void report_ids() {
  line("pid", ::getpid());
  line("uid", ::getuid());
  line("gid", ::getgid());
  gid_t groups[64];
  const int count = ::getgroups(64, groups);
  std::string list;
  for (int at = 0; at < count; ++at) list += (at ? " " : "") + std::to_string(groups[at]);
  line("groups", list);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  char text[8];
  std::snprintf(text, sizeof text, "%04o", mask);
  line("umask", text);
  char cwd[4096];
  line("cwd", ::getcwd(cwd, sizeof cwd) ? cwd : "?");
  line("sid", ::getsid(0));
}

void report_status() {
  const std::string status = read_text("/proc/self/status");
  for (const char* name : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "SigIgn", "SigBlk"})
    line(name, field(status, name));
  line("cpus", field(status, "Cpus_allowed_list"));
  std::string oom = read_text("/proc/self/oom_score_adj");
  line("oom_score_adj", oom.substr(0, oom.find('\n')));
  line("dumpable", ::prctl(PR_GET_DUMPABLE));
  line("personality", ::personality(0xffffffff));
  line("scheduler", ::sched_getscheduler(0));
  line("nice", ::getpriority(PRIO_PROCESS, 0));
  line("ioprio", ::syscall(SYS_ioprio_get, 1, 0));
}

void report_limits() {
  static constexpr struct {
    const char* name;
    int number;
  } limits[] = {{"nofile", RLIMIT_NOFILE}, {"core", RLIMIT_CORE}, {"nproc", RLIMIT_NPROC}, {"stack", RLIMIT_STACK}};
  for (const auto& entry : limits) {
    rlimit limit{};
    ::getrlimit(static_cast<__rlimit_resource_t>(entry.number), &limit);
    line(std::string("rlimit_") + entry.name, std::to_string(limit.rlim_cur) + ":" + std::to_string(limit.rlim_max));
  }
}

void report_descriptors() {
  std::string list;
  for (int fd = 0; fd < 1024; ++fd) {
    struct stat about {};
    if (::fstat(fd, &about) != 0) continue;
    char target[512];
    const ssize_t length = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    line("fd" + std::to_string(fd), target);
    list += (list.empty() ? "" : " ") + std::to_string(fd);
  }
  line("fds", list);
  line("tty", ::isatty(0) ? ::ttyname(0) ? ::ttyname(0) : "unnamed" : "no");
  winsize window{};
  if (::ioctl(0, TIOCGWINSZ, &window) == 0)
    line("window", std::to_string(window.ws_row) + "x" + std::to_string(window.ws_col));
}

void report_namespaces() {
  for (const char* name : {"pid", "net", "ipc", "uts", "user", "mnt", "cgroup", "time"}) {
    char target[128];
    const ssize_t length = ::readlink((std::string("/proc/self/ns/") + name).c_str(), target, sizeof target - 1);
    target[length > 0 ? length : 0] = '\0';
    line(std::string("ns_") + name, target);
  }
  utsname names{};
  ::uname(&names);
  line("hostname", names.nodename);
  line("domainname", names.domainname);
  line("machine", names.machine);
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  line("boottime", now.tv_sec);
}

void each_line(const std::string& key, const std::string& path) {
  const std::string text = read_text(path);
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    line(key, text.substr(at, end - at));
    at = end + 1;
  }
}

}  // namespace

void report() {
  report_ids();
  report_status();
  report_limits();
  report_descriptors();
  report_namespaces();
  each_line("mount", "/proc/self/mountinfo");
  each_line("cgroup", "/proc/self/cgroup");
  for (char** at = environ; *at; ++at) line("env", *at);
}

}  // namespace probe
