// Events: a file of JSON lines that the supervisor appends to and renames to events.1 when it is long (engine/supervisor/events.h).
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/api/types_json.h"
#include "engine/client/client.h"

namespace engine::client {
namespace {

using base::Result;
using base::UniqueFd;

/// Reads whole lines from an open file, as it grows.
class Tail {
 public:
  explicit Tail(UniqueFd file) : file_(std::move(file)) {}
  /// False when the reader wants no more.
  Result<bool> read(const std::function<bool(const Event&)>& on_event) {
    std::array<char, 65536> buffer;
    while (true) {
      ASSIGN_OR_RETURN(const auto count, base::sys::read(file_.borrow(), buffer));
      if (count == 0) return true;
      rest_.append(buffer.data(), count);
      std::size_t start = 0, end;
      while ((end = rest_.find('\n', start)) != std::string::npos) {
        // A line damaged by a full disk is nobody's event.
        auto event = from_json<Event>(std::string_view(rest_).substr(start, end - start));
        start = end + 1;
        if (event && !on_event(*event)) return false;
      }
      rest_.erase(0, start);
    }
  }
  [[nodiscard]] ino_t inode() const {
    struct stat info {};
    return ::fstat(file_.number(), &info) == 0 ? info.st_ino : 0;
  }

 private:
  UniqueFd file_;
  std::string rest_;
};

std::optional<Tail> open_tail(const std::filesystem::path& path) {
  auto file = base::sys::open(path, O_RDONLY);
  if (!file) return std::nullopt;
  return Tail(*std::move(file));
}

ino_t inode_of(const std::filesystem::path& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

/// Waits for a change in the folder of the project (or for the folder). False: interrupted, or `until` passed.
Result<bool> wait_for_change(base::Fd watcher, base::Fd interrupt, WallNs until) {
  pollfd ready[2] = {{watcher.number(), POLLIN, 0}, {interrupt.number(), POLLIN, 0}};
  int timeout_ms = -1;
  if (until) {
    const WallNs left = (until - now()) / 1'000'000 + 1;
    if (left <= 0) return false;
    timeout_ms = static_cast<int>(std::min<WallNs>(left, 1 << 30));
  }
  const int count = ::poll(ready, 2, timeout_ms);
  if (count < 0 && errno != EINTR) return base::errno_error(errno, "poll");
  if (count == 0 && until && now() >= until) return false;
  if (count > 0 && (ready[1].revents & POLLIN)) return false;
  std::array<char, 4096> ignored;
  while (::read(watcher.number(), ignored.data(), ignored.size()) > 0) {
  }
  return true;
}

/// Watches the folder of all projects and, as soon as it is there, the project's.
Result<> watch(base::Fd watcher, const std::string& project) {
  const auto folder = paths::project_run(project);
  TRY(base::sys::make_directories(folder.parent_path(), 0711));
  TRY(base::sys::wrap("inotify_add_watch", ::inotify_add_watch(watcher.number(), folder.parent_path().c_str(), IN_CREATE | IN_MOVED_TO)));
  const int own = ::inotify_add_watch(watcher.number(), folder.c_str(), IN_CREATE | IN_MOVED_TO | IN_MODIFY);
  if (own < 0 && errno != ENOENT) return base::errno_error(errno, "inotify_add_watch");
  return {};
}

}  // namespace

Result<> events(const std::string& project, const EventsOptions& options, const std::function<bool(const Event&)>& on_event) {
  const auto path = paths::project_run(project) / "events";
  const WallNs since = options.since ? options.since : (options.follow ? now() : 0);
  const auto wanted = [&](const Event& event) {
    if (options.until && event.time_ns > options.until) return false;
    return event.time_ns < since || on_event(event);
  };
  ASSIGN_OR_RETURN(const long number, base::sys::wrap("inotify_init1", ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)));
  const UniqueFd watcher(static_cast<int>(number));
  if (options.follow) TRY(watch(watcher.borrow(), project));
  if (auto older = open_tail(path.string() + ".1")) {
    ASSIGN_OR_RETURN(const bool more, older->read(wanted));
    if (!more) return {};
  }
  auto current = open_tail(path);
  while (true) {
    if (current) {
      ASSIGN_OR_RETURN(const bool more, current->read(wanted));
      if (!more) return {};
    }
    // Renamed, or deleted with the project's folder: all of the old file has been read, the new one follows.
    if (const ino_t there = inode_of(path); there && (!current || current->inode() != there)) {
      if (current) {
        ASSIGN_OR_RETURN(const bool more, current->read(wanted));
        if (!more) return {};
      }
      current = open_tail(path);
      continue;
    }
    if (!options.follow) return {};
    ASSIGN_OR_RETURN(const bool more, wait_for_change(watcher.borrow(), options.interrupt, options.until));
    if (!more) return {};
    TRY(watch(watcher.borrow(), project));
  }
}

}  // namespace engine::client
