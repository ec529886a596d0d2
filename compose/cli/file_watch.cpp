#include "compose/cli/file_watch.h"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace compose::cli {

namespace fs = std::filesystem;
using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

constexpr std::uint32_t events = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR | IN_DONT_FOLLOW;

bool is_folder(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

}  // namespace

bool is_below(const std::string& path, const std::string& folder) {
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/' || folder == "/");
}

Result<FileWatch> FileWatch::open(Skip skip) {
  base::UniqueFd inotify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid()) return base::errno_error(errno, "inotify_init1");
  return FileWatch(std::move(inotify), std::move(skip));
}

Result<> FileWatch::watch_folder(const std::string& path) {
  const int number = ::inotify_add_watch(inotify_.number(), path.c_str(), events);
  if (number < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return {};  // gone meanwhile, which its parent tells
    if (errno == ENOSPC) return make_error(ErrorKind::exhausted, "too many folders to watch at " + path + ": ignore some, or raise fs.inotify.max_user_watches");
    return base::errno_error(errno, "watch " + path);
  }
  folders_[number] = path;
  return {};
}

Result<> FileWatch::watch_tree(const std::string& path, std::set<std::string>* found) {
  if (skip_ && skip_(path)) return {};
  TRY(watch_folder(path));  // first: what is made from here on is told
  std::error_code failed;
  for (auto it = fs::directory_iterator(path, failed); !failed && it != fs::directory_iterator(); it.increment(failed)) {
    const std::string child = it->path().string();
    if (found != nullptr) found->insert(child);
    if (is_folder(child)) TRY(watch_tree(child, found));
  }
  return {};
}

Result<> FileWatch::add(const std::string& root) {
  roots_.insert(root);
  if (is_folder(root)) return watch_tree(root, nullptr);
  // A file is told of by its folder, which survives that an editor replaces it; what is missing, by the nearest folder there is.
  fs::path there = fs::path(root).parent_path();
  while (there.has_relative_path() && !is_folder(there.string())) there = there.parent_path();
  return watch_folder(there.string());
}

Result<> FileWatch::on_new_folder(const std::string& path, std::set<std::string>& changed) {
  for (const auto& root : std::set<std::string>(roots_)) {
    if (is_below(path, root)) return watch_tree(path, &changed);
    if (!is_below(root, path)) continue;
    TRY(add(root));
    list(root, changed);
  }
  return {};
}

/// A folder that moves keeps its watches, which would tell of it under its old name.
void FileWatch::forget(const std::string& path) {
  std::erase_if(folders_, [&](const auto& folder) {
    if (!is_below(folder.second, path)) return false;
    (void)::inotify_rm_watch(inotify_.number(), folder.first);
    return true;
  });
}

void FileWatch::list(const std::string& path, std::set<std::string>& found) const {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return;
  if (!S_ISDIR(info.st_mode)) {
    found.insert(path);
    return;
  }
  if (skip_ && skip_(path)) return;
  std::error_code failed;
  for (auto it = fs::directory_iterator(path, failed); !failed && it != fs::directory_iterator(); it.increment(failed)) list(it->path().string(), found);
}

std::set<std::string> FileWatch::files() const {
  std::set<std::string> found;
  for (const auto& root : roots_) list(root, found);
  return found;
}

Result<std::set<std::string>> FileWatch::take() {
  std::set<std::string> changed;
  alignas(inotify_event) std::array<char, 64 * 1024> buffer;
  for (;;) {
    const auto count = ::read(inotify_.number(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return changed;
    if (count <= 0) return base::errno_error(errno, "read inotify events");
    for (const char* at = buffer.data(); at < buffer.data() + count;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof(inotify_event) + event->len;
      if ((event->mask & IN_Q_OVERFLOW) != 0) {
        for (const auto& root : std::set<std::string>(roots_)) TRY(add(root));
        changed.merge(files());
        continue;
      }
      const auto folder = folders_.find(event->wd);
      if (folder == folders_.end()) continue;
      if ((event->mask & IN_IGNORED) != 0) {
        folders_.erase(folder);
        continue;
      }
      if (event->len == 0) continue;  // the folder itself, which its parent tells of
      const std::string path = (folder->second == "/" ? "" : folder->second) + "/" + event->name;
      const bool made = (event->mask & (IN_CREATE | IN_MOVED_TO)) != 0;
      // A new file is told of again when its writer closes it; until then it is half.
      struct stat info {};
      if ((event->mask & IN_CREATE) != 0 && ::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 1) continue;
      changed.insert(path);
      if ((event->mask & IN_MOVED_FROM) != 0 && (event->mask & IN_ISDIR) != 0) forget(path);
      if (made && (event->mask & IN_ISDIR) != 0) TRY(on_new_folder(path, changed));
    }
  }
}

}  // namespace compose::cli
