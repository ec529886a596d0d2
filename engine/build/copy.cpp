#include "engine/build/copy.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <thread>

#include "base/sys.h"

namespace engine::build {
namespace {

base::Error in_the_way(std::string message) { return base::make_error(base::ErrorKind::exists, std::move(message)); }

std::pair<std::string, std::string> split_path(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

std::string proc_path(Fd fd) { return "/proc/self/fd/" + std::to_string(fd.number()); }

bool is_folder(Fd root, const std::string& path) { return open_in_root(root, path, O_PATH | O_DIRECTORY).has_value(); }

/// Big files are copied inside the kernel where it can; for small ones read and write are cheaper.
Result<> copy_bytes(Fd from, Fd to, std::int64_t size, std::vector<char>& buffer) {
  bool in_kernel = size > static_cast<std::int64_t>(buffer.size());
  std::int64_t done = 0;
  while (true) {
    if (in_kernel) {
      const ssize_t moved = ::copy_file_range(from.number(), nullptr, to.number(), nullptr, std::size_t{1} << 30, 0);
      if (moved == 0) return {};
      if (moved > 0 || errno == EINTR) continue;
      if (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS && errno != EPERM)
        return base::errno_error(errno, "copy");
      in_kernel = false;
    }
    ASSIGN_OR_RETURN(const std::size_t got, base::sys::read(from, buffer));
    if (got == 0) return {};
    TRY(base::sys::write_all(to, std::string_view(buffer.data(), got)));
    done += static_cast<std::int64_t>(got);
    if (done == size && got < buffer.size()) return {};  // all that was listed: no read for the end of file alone
  }
}

/// File capabilities and user attributes; what only this machine understands (overlay marks, labels) stays behind.
Result<> copy_xattrs(Fd from, Fd to) {
  char names[8192];
  const ssize_t length = ::flistxattr(from.number(), names, sizeof names);
  if (length <= 0) return {};
  for (const char* name = names; name < names + length; name += std::strlen(name) + 1) {
    const std::string_view word = name;
    if (word != "security.capability" && !word.starts_with("user.")) continue;
    char value[65536];
    const ssize_t size = ::fgetxattr(from.number(), name, value, sizeof value);
    if (size < 0) continue;
    if (::fsetxattr(to.number(), name, value, static_cast<std::size_t>(size), 0) != 0 && errno != EOPNOTSUPP)
      return base::errno_error(errno, "setxattr " + std::string(word));
  }
  return {};
}

/// Entries from which on a second thread pays.
constexpr std::size_t entries_for_two = 500;

class Copier {
 public:
  Copier(const Tree& source, const Item& item, const CopyTarget& target) : source_(source), item_(item), target_(target) {}

  /// The contents of a directory item into `to`: folders first, then files by two threads, links to files last.
  Result<> contents(Fd to) {
    to_root_ = to;
    FolderStack into(to);
    for (std::size_t i = 1; i < item_.entries.size(); ++i) {
      if (!S_ISDIR(item_.entries[i].info.st_mode)) continue;
      std::string name;
      ASSIGN_OR_RETURN(const Fd to_folder, into.folder_of(item_.entries[i].path, name));
      TRY(folder(to_folder, name, item_.entries[i]));
    }
    const std::size_t end = item_.entries.size(), middle = end > entries_for_two ? end / 2 : end;
    Result<> second;
    {
      std::jthread other;
      if (middle < end) other = std::jthread([&] { second = files(middle, end, false); });
      TRY(files(1, middle, false));
    }
    TRY(std::move(second));
    if (std::any_of(item_.entries.begin(), item_.entries.end(), is_shared)) TRY(files(1, end, true));
    // Times of folders last: filling them changed them.
    for (const auto& [path, info] : new_folders_) {
      std::string name;
      ASSIGN_OR_RETURN(const Fd to_folder, into.folder_of(path, name));
      TRY(set_times(to_folder, name, info));
    }
    return {};
  }

  /// An item that is no directory, as `name` in `to`.
  Result<> single(Fd to, const std::string& name) {
    const Entry& entry = item_.entries.front();
    if (S_ISREG(entry.info.st_mode)) {
      ASSIGN_OR_RETURN(const UniqueFd from, base::sys::open(proc_path(item_.fd.borrow()), O_RDONLY | O_NONBLOCK));
      std::vector<char> buffer(buffer_bytes);
      return file(from.borrow(), to, name, entry, buffer);
    }
    return node(to, name, entry);
  }

 private:
  static constexpr std::size_t buffer_bytes = 256 * 1024;

  /// A file with several names.
  static bool is_shared(const Entry& entry) { return S_ISREG(entry.info.st_mode) && entry.info.st_nlink > 1; }

  /// What is no folder among entries [first, last): files with one name, or (`shared`) those with several.
  Result<> files(std::size_t first, std::size_t last, bool shared) {
    FolderStack from(item_.fd.borrow()), into(to_root_);
    std::vector<char> buffer(buffer_bytes);
    for (std::size_t i = first; i < last; ++i) {
      const Entry& entry = item_.entries[i];
      if (S_ISDIR(entry.info.st_mode) || is_shared(entry) != shared) continue;
      std::string name;
      ASSIGN_OR_RETURN(const Fd to_folder, into.folder_of(entry.path, name));
      ASSIGN_OR_RETURN(const Fd from_folder, from.folder_of(entry.path, name));
      TRY(other(from_folder, to_folder, name, entry, buffer));
    }
    return {};
  }

  [[nodiscard]] Owner owner_of(const struct stat& info) const {
    if (target_.owner) return *target_.owner;
    return source_.owners ? Owner{info.st_uid, info.st_gid, {}} : Owner{};
  }

  Result<> set_owner(Fd folder, const std::string& name, const struct stat& info) {
    const Owner owner = owner_of(info);
    TRY(base::sys::wrap("chown " + name, ::fchownat(folder.number(), name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW)));
    return {};
  }

  [[nodiscard]] mode_t mode_of(const struct stat& info) const {
    const mode_t mode = info.st_mode & 07777;
    return target_.chmod ? target_.chmod->apply(mode, S_ISDIR(info.st_mode)) : mode;
  }

  Result<> set_times(Fd folder, const std::string& name, const struct stat& info) {
    timespec times[2] = {info.st_mtim, info.st_mtim};
    if (target_.mtime_s) times[0] = times[1] = {.tv_sec = *target_.mtime_s, .tv_nsec = 0};
    TRY(base::sys::wrap("utimensat " + name, ::utimensat(folder.number(), name.c_str(), times, AT_SYMLINK_NOFOLLOW)));
    return {};
  }

  Result<> folder(Fd to, const std::string& name, const Entry& entry) {
    if (::mkdirat(to.number(), name.c_str(), 0700) != 0) {
      if (errno != EEXIST) return base::errno_error(errno, "mkdir " + entry.path);
      struct stat there {};
      TRY(base::sys::wrap("stat " + entry.path, ::fstatat(to.number(), name.c_str(), &there, AT_SYMLINK_NOFOLLOW)));
      if (!S_ISDIR(there.st_mode)) return in_the_way("cannot copy to non-directory: " + target_.path + "/" + entry.path);
      // It becomes the source's in everything but its name; only the target itself keeps owner and mode.
    }
    TRY(set_owner(to, name, entry.info));
    TRY(base::sys::wrap("chmod " + entry.path, ::fchmodat(to.number(), name.c_str(), mode_of(entry.info), 0)));
    new_folders_.emplace_back(entry.path, entry.info);
    return {};
  }

  Result<> other(Fd from, Fd to, const std::string& name, const Entry& entry, std::vector<char>& buffer) {
    if (S_ISLNK(entry.info.st_mode)) return link(from, to, name, entry);
    if (!S_ISREG(entry.info.st_mode)) return node(to, name, entry);
    if (is_shared(entry)) {
      ASSIGN_OR_RETURN(const bool done, hard_link(to, name, entry));
      if (done) return {};
    }
    ASSIGN_OR_RETURN(const UniqueFd fd, base::sys::openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    return file(fd.borrow(), to, name, entry, buffer);
  }

  /// A second name of a file copied before stays a second name.
  Result<bool> hard_link(Fd to, const std::string& name, const Entry& entry) {
    const auto [found, added] = linked_.try_emplace({entry.info.st_dev, entry.info.st_ino}, entry.path);
    if (added) return false;
    const auto first = base::sys::openat2(to_root_, found->second, O_PATH | O_NOFOLLOW, 0x08 | 0x04 /* BENEATH, NO_SYMLINKS */);
    if (!first) return false;
    TRY(clear(to, name));
    return ::linkat(AT_FDCWD, proc_path(first->borrow()).c_str(), to.number(), name.c_str(), AT_SYMLINK_FOLLOW) == 0;
  }

  /// Takes away a non-directory of that name.
  Result<> clear(Fd to, const std::string& name) {
    if (::unlinkat(to.number(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (errno == EISDIR) return in_the_way("cannot overwrite directory with non-directory: " + target_.path + " (" + name + ")");
    return base::errno_error(errno, "unlink " + name);
  }

  Result<> file(Fd from, Fd to, const std::string& name, const Entry& entry, std::vector<char>& buffer) {
    const mode_t mode = mode_of(entry.info);
    constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    auto created = base::sys::openat(to, name, flags, mode & 0777);
    if (!created && created.error().number == EEXIST) {
      TRY(clear(to, name));
      created = base::sys::openat(to, name, flags, mode & 0777);
    }
    if (!created) return std::move(created).error();
    const Fd fd = created->borrow();
    if (entry.info.st_size > 0) TRY(copy_bytes(from, fd, entry.info.st_size, buffer).with("copying " + name));
    const Owner owner = owner_of(entry.info);
    TRY(base::sys::wrap("chown " + name, ::fchown(fd.number(), owner.uid, owner.gid)));
    // With a umask of 0 the file has its mode already; set-id bits are lost to chown.
    if ((mode & 07000) != 0 || !target_.umask_is_zero) TRY(base::sys::wrap("chmod " + name, ::fchmod(fd.number(), mode)));
    if (source_.xattrs) TRY(copy_xattrs(from, fd));
    timespec times[2] = {entry.info.st_mtim, entry.info.st_mtim};
    if (target_.mtime_s) times[0] = times[1] = {.tv_sec = *target_.mtime_s, .tv_nsec = 0};
    TRY(base::sys::wrap("futimens " + name, ::futimens(fd.number(), times)));
    return {};
  }

  Result<> link(Fd from, Fd to, const std::string& name, const Entry& entry) {
    char text[4096];
    ASSIGN_OR_RETURN(const long length,
                     base::sys::wrap("readlink " + entry.path, ::readlinkat(from.number(), name.c_str(), text, sizeof text - 1)));
    text[length] = '\0';
    if (::symlinkat(text, to.number(), name.c_str()) != 0) {
      if (errno != EEXIST) return base::errno_error(errno, "symlink " + entry.path);
      TRY(clear(to, name));
      TRY(base::sys::wrap("symlink " + entry.path, ::symlinkat(text, to.number(), name.c_str())));
    }
    TRY(set_owner(to, name, entry.info));
    return set_times(to, name, entry.info);
  }

  /// FIFOs and devices. A 0:0 character device would be a whiteout.
  Result<> node(Fd to, const std::string& name, const Entry& entry) {
    const auto& info = entry.info;
    if (S_ISSOCK(info.st_mode)) return {};
    if (S_ISCHR(info.st_mode) && info.st_rdev == 0)
      return base::make_error(base::ErrorKind::invalid, name + ": a 0:0 device cannot be copied");
    TRY(clear(to, name));
    TRY(base::sys::wrap("mknod " + name, ::mknodat(to.number(), name.c_str(), (info.st_mode & S_IFMT) | 0600, info.st_rdev)));
    TRY(set_owner(to, name, info));
    TRY(base::sys::wrap("chmod " + name, ::fchmodat(to.number(), name.c_str(), mode_of(info), 0)));
    return set_times(to, name, info);
  }

  const Tree& source_;
  const Item& item_;
  const CopyTarget& target_;
  Fd to_root_;
  std::vector<std::pair<std::string, struct stat>> new_folders_;
  std::map<std::pair<dev_t, ino_t>, std::string> linked_;
};

/// Folders we make are as old as the build says.
Result<> stamp(const CopyTarget& target, const std::vector<std::string>& made) {
  if (!target.mtime_s) return {};
  const timespec times[2] = {{.tv_sec = *target.mtime_s, .tv_nsec = 0}, {.tv_sec = *target.mtime_s, .tv_nsec = 0}};
  for (auto path = made.rbegin(); path != made.rend(); ++path) {
    ASSIGN_OR_RETURN(const UniqueFd fd, open_in_root(target.root, *path, O_RDONLY | O_DIRECTORY));
    TRY(base::sys::wrap("futimens", ::futimens(fd.number(), times)));
  }
  return {};
}

}  // namespace

FolderRights made_rights(const CopyTarget& target) {
  // As Docker does: a symbolic mode changes what is copied, an octal one also what is made for it.
  const bool exact = target.chmod && target.chmod->is_absolute();
  const Owner owner = target.owner.value_or(Owner{});
  return {.uid = owner.uid, .gid = owner.gid, .mode = exact ? target.chmod->apply(0755, true) & 0777 : 0755};
}

Result<> copy_item(const Tree& source, const Item& item, const CopyTarget& target, const std::string& as) {
  Copier copier(source, item, target);
  std::vector<std::string> made;
  if (item.is_directory()) {
    auto into = make_in_root(target.root, target.path, made_rights(target), &made);
    if (!into && into.error().number == ENOTDIR) return in_the_way("cannot copy to non-directory: " + target.path);
    if (!into) return std::move(into).error();
    TRY(copier.contents(into->borrow()));
    TRY(stamp(target, made));
    // The target is as old as its source, made or not; a whole context or image has no age.
    if (item.path.empty()) return {};
    timespec times[2] = {item.entries.front().info.st_mtim, item.entries.front().info.st_mtim};
    if (target.mtime_s) times[0] = times[1] = {.tv_sec = *target.mtime_s, .tv_nsec = 0};
    TRY(base::sys::wrap("futimens", ::futimens(into->number(), times)));
    return {};
  }
  std::string folder = target.path, name = as.empty() ? split_path(item.path).second : as;
  if (!target.path.ends_with('/') && !is_folder(target.root, target.path)) {
    // A link in the target's place is followed inside the root, even to where nothing is yet.
    ASSIGN_OR_RETURN(const std::string real, real_path_in_root(target.root, target.path));
    std::tie(folder, name) = split_path(real);
  }
  ASSIGN_OR_RETURN(const UniqueFd into, make_in_root(target.root, folder, made_rights(target), &made));
  TRY(copier.single(into.borrow(), name));
  return stamp(target, made);
}

Result<> copy_with_parents(const Tree& source, const Item& item, const std::string& pattern, const CopyTarget& target) {
  // "a/./b/c": what stands before the pivot is left out; it counts in components since patterns match one by one.
  std::string kept = item.path;
  const std::size_t pivot = ("/" + pattern).find("/./");
  if (pivot != std::string::npos) {
    const std::string before = clean_path("/" + pattern.substr(0, pivot));
    auto parts = static_cast<std::size_t>(before == "/" ? 0 : std::count(before.begin(), before.end(), '/'));
    for (; parts > 0 && !kept.empty(); --parts) {
      const std::size_t slash = kept.find('/');
      kept = slash == std::string::npos ? "" : kept.substr(slash + 1);
    }
  }
  const std::string skipped = item.path.substr(0, item.path.size() - kept.size());
  // Folders on the way look like those of the source.
  std::string path;
  const std::string ways = item.is_directory() ? kept : split_path(kept).first;
  std::size_t start = 0;
  while (start < ways.size()) {
    std::size_t end = ways.find('/', start);
    if (end == std::string::npos) end = ways.size();
    path = ways.substr(0, end);
    start = end + 1;
    ASSIGN_OR_RETURN(const UniqueFd from, open_in_root(source.root, skipped + path, O_PATH | O_DIRECTORY));
    struct stat info {};
    TRY(base::sys::wrap("stat " + path, ::fstat(from.number(), &info)));
    const mode_t mode = target.chmod ? target.chmod->apply(info.st_mode & 07777, true) : info.st_mode & 07777;
    const Owner owner = target.owner ? *target.owner : source.owners ? Owner{info.st_uid, info.st_gid, {}} : Owner{};
    std::vector<std::string> made;
    ASSIGN_OR_RETURN(const UniqueFd into, make_in_root(target.root, target.path + "/" + path,
                                                       {.uid = owner.uid, .gid = owner.gid, .mode = mode}, &made));
    TRY(stamp(target, made));
  }
  CopyTarget inner = target;
  inner.path = target.path + "/" + (item.is_directory() ? kept : split_path(kept).first) + "/";
  return copy_item(source, item, inner);
}

Result<> write_into(const CopyTarget& target, const std::string& name, std::string_view content, std::uint32_t mode) {
  // Through an unlinked file, so that there is one way of putting a file in place.
  ASSIGN_OR_RETURN(const UniqueFd memory, base::sys::memfd_create("content", 0));
  TRY(base::sys::write_all(memory.borrow(), content));
  Item item;
  item.path = name;
  Entry entry;
  TRY(base::sys::wrap("stat", ::fstat(memory.number(), &entry.info)));
  entry.info.st_mode = S_IFREG | mode;
  item.entries.push_back(entry);
  item.fd = UniqueFd(::fcntl(memory.number(), F_DUPFD_CLOEXEC, 0));
  return copy_item({}, item, target, name);
}

Result<> clamp_times(Fd root, std::int64_t limit_s) {
  const Tree tree{.root = root, .ignore = nullptr, .xattrs = false};
  ASSIGN_OR_RETURN(const Item all, list_item(tree, ""));
  FolderStack folders(all.fd.borrow());
  for (auto entry = all.entries.rbegin(); entry != all.entries.rend(); ++entry) {
    if (entry->info.st_mtim.tv_sec < limit_s) continue;
    const timespec times[2] = {{.tv_sec = limit_s, .tv_nsec = 0}, {.tv_sec = limit_s, .tv_nsec = 0}};
    if (entry->path.empty()) {
      TRY(base::sys::wrap("futimens", ::futimens(all.fd.number(), times)));
      continue;
    }
    std::string name;
    ASSIGN_OR_RETURN(const Fd parent, folders.folder_of(entry->path, name));
    TRY(base::sys::wrap("utimensat " + name, ::utimensat(parent.number(), name.c_str(), times, AT_SYMLINK_NOFOLLOW)));
  }
  return {};
}

}  // namespace engine::build
