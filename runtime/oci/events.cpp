// events: what runc's verb of that name prints, a JSON object a line.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "base/sys.h"
#include "runtime/linux/text.h"
#include "runtime/oci/print.h"
#include "runtime/oci/state.h"
#include "runtime/oci/verbs.h"
#include "runtime/spec/json_writer.h"

namespace runtime::oci {

using base::ErrorKind;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

std::optional<std::uint64_t> number_in(const std::vector<std::string>& paths, const char* file) {
  for (const auto& path : paths)
    if (const auto text = sys::read_file(path + "/" + file))
      if (!text->empty() && text->front() >= '0' && text->front() <= '9') return std::strtoull(text->c_str(), nullptr, 10);
  return std::nullopt;
}

/// The value behind `key` in a "key value" file of any of the folders.
std::optional<std::uint64_t> keyed(const std::vector<std::string>& paths, const char* file, std::string_view key) {
  std::optional<std::uint64_t> out;
  for (const auto& path : paths)
    if (const auto text = sys::read_file(path + "/" + file))
      for_each_word(*text, '\n', [&](std::string_view line) {
        if (nth_word(line, 0) == key && !out) out = std::strtoull(std::string(nth_word(line, 1)).c_str(), nullptr, 10);
      });
  return out;
}

std::optional<std::uint64_t> either(std::optional<std::uint64_t> first, std::optional<std::uint64_t> second) {
  return first ? first : second;
}

/// runc's event format, the numbers containerd and people read.
std::string stats_line(const ContainerRecord& record) {
  const auto& paths = record.cgroup_paths;
  spec::JsonWriter out;
  out.object("", [&] {
    out.text("type", "stats").text("id", record.id);
    out.object("data", [&] {
      out.object("cpu", [&] {
        out.object("usage", [&] {
          auto total = number_in(paths, "cpuacct.usage");
          if (const auto micro = keyed(paths, "cpu.stat", "usage_usec"); !total && micro) total = *micro * 1000;
          out.member("total", total);
        });
        out.object("throttling", [&] {
          out.member("periods", keyed(paths, "cpu.stat", "nr_periods"));
          out.member("throttledPeriods", keyed(paths, "cpu.stat", "nr_throttled"));
        });
      });
      out.object("memory", [&] {
        out.member("cache", either(keyed(paths, "memory.stat", "cache"), keyed(paths, "memory.stat", "file")));
        out.object("usage", [&] {
          out.member("limit", either(number_in(paths, "memory.limit_in_bytes"), number_in(paths, "memory.max")));
          out.member("usage", either(number_in(paths, "memory.usage_in_bytes"), number_in(paths, "memory.current")));
          out.member("max", either(number_in(paths, "memory.max_usage_in_bytes"), number_in(paths, "memory.peak")));
          out.member("failcnt", number_in(paths, "memory.failcnt"));
        });
      });
      out.object("pids", [&] {
        out.member("current", number_in(paths, "pids.current")).member("limit", number_in(paths, "pids.max"));
      });
    });
  });
  return out.take() + "\n";
}

/// "5s", "500ms", "1m"; plain numbers are seconds.
Result<int> interval_ms(const std::string& text) {
  if (text.empty()) return 5000;
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  const std::string_view unit = end;
  const double factor = unit.empty() || unit == "s" ? 1000 : unit == "ms" ? 1 : unit == "m" ? 60000 : 0;
  if (factor == 0 || number <= 0 || number * factor > 1e9)
    return base::make_error(ErrorKind::invalid, "--interval: '" + text + "' is not a duration");
  return static_cast<int>(number * factor);
}

/// Tells when the kernel had to kill for want of memory in the container's cgroup.
class OomWatch {
 public:
  /// Without a memory controller, or without the right to ask, nothing is ever told: the numbers still are.
  static OomWatch of(const std::vector<std::string>& paths) {
    OomWatch out;
    for (const auto& path : paths) {
      if (::access((path + "/memory.oom_control").c_str(), F_OK) == 0) out.watch_v1(path);
      if (::access((path + "/memory.events").c_str(), F_OK) == 0) out.watch_v2(path);
    }
    return out;
  }
  [[nodiscard]] base::Fd fd() const { return fd_.borrow(); }

  /// To be called when fd() is readable.
  bool happened() {
    char bytes[4096];
    if (::read(fd_.number(), bytes, sizeof bytes) <= 0) return false;
    // cgroup-v1/memory.rst: the removal of the cgroup is told the same way.
    if (!unified_) return ::access((path_ + "/memory.oom_control").c_str(), F_OK) == 0;
    const std::uint64_t now = keyed({path_}, "memory.events", "oom_kill").value_or(0);
    return now > std::exchange(kills_, now);
  }

 private:
  void watch_v1(const std::string& path) {
    UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    const auto control = sys::open(path + "/memory.oom_control", O_RDONLY);
    if (!event.valid() || !control) return;
    const std::string words = std::to_string(event.number()) + " " + std::to_string(control->number());
    if (!sys::write_file(path + "/cgroup.event_control", words)) return;
    fd_ = std::move(event);
    path_ = path;
  }
  void watch_v2(const std::string& path) {
    UniqueFd event(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!event.valid() || ::inotify_add_watch(event.number(), (path + "/memory.events").c_str(), IN_MODIFY) < 0) return;
    fd_ = std::move(event);
    path_ = path;
    unified_ = true;
    kills_ = keyed({path_}, "memory.events", "oom_kill").value_or(0);
  }

  UniqueFd fd_;
  std::string path_;
  bool unified_ = false;
  std::uint64_t kills_ = 0;
};

std::string oom_line(const ContainerRecord& record) {
  spec::JsonWriter out;
  out.object("", [&] { out.text("type", "oom").text("id", record.id); });
  return out.take() + "\n";
}

}  // namespace

Result<int> verb_events(const Global& global, const Arguments& arguments) {
  using Clock = std::chrono::steady_clock;
  ASSIGN_OR_RETURN(const auto dir, StateDir::open(global.root, arguments.positional.front()));
  ASSIGN_OR_RETURN(const auto record, dir.load());
  ASSIGN_OR_RETURN(const int pause_ms, interval_ms(arguments.value("interval")));
  if (current_status(dir, record) == Status::stopped)
    return base::make_error(ErrorKind::invalid, "container \"" + record.id + "\" is not running");
  auto oom = OomWatch::of(record.cgroup_paths);
  TRY(print(stats_line(record)));
  if (arguments.has("stats")) return 0;
  ASSIGN_OR_RETURN(const auto init, sys::pidfd_open(record.pid));
  auto next = Clock::now() + std::chrono::milliseconds(pause_ms);
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    pollfd waits[2] = {{.fd = init.number(), .events = POLLIN, .revents = 0}, {.fd = oom.fd().number(), .events = POLLIN, .revents = 0}};
    const int ready = left > 0 ? ::poll(waits, 2, static_cast<int>(left)) : 0;
    if (ready < 0 && errno != EINTR) return base::errno_error(errno, "poll");
    if (waits[1].revents && oom.happened()) TRY(print(oom_line(record)));
    if (waits[0].revents) return 0;
    if (ready != 0) continue;
    TRY(print(stats_line(record)));
    next = Clock::now() + std::chrono::milliseconds(pause_ms);
  }
}

}  // namespace runtime::oci
