#include "engine/build/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <unistd.h>

#include "base/sys.h"

namespace engine::build {
namespace {

constexpr std::size_t entries_max = 5'000'000;
constexpr int depth_max = 800;  // one descriptor a level
constexpr std::uint64_t resolve_inside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

base::Error not_found(const std::string& path, bool hidden = false) {
  return base::make_error(base::ErrorKind::not_found, "\"/" + path + "\": not found" + (hidden ? " (excluded by .dockerignore)" : ""));
}

std::string join(const std::string& folder, std::string_view name) {
  return folder.empty() ? std::string(name) : folder + "/" + std::string(name);
}

/// Names in a folder, sorted, without the dots.
Result<std::vector<std::string>> names_in(Fd folder) {
  ASSIGN_OR_RETURN(UniqueFd copy, base::sys::openat(folder, ".", O_RDONLY | O_DIRECTORY));
  DIR* stream = ::fdopendir(copy.number());
  if (stream == nullptr) return base::errno_error(errno, "fdopendir");
  (void)copy.release();
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  const int failed = errno;
  ::closedir(stream);
  if (failed != 0) return base::errno_error(failed, "readdir");
  std::sort(names.begin(), names.end());
  return names;
}

bool is_ignored(const Tree& tree, const std::string& path) { return tree.ignore != nullptr && tree.ignore->ignored(path); }

class Lister {
 public:
  Lister(const Tree& tree, const IgnoreRules& exclude, Item& item) : tree_(tree), exclude_(exclude), item_(item) {}

  /// True when something was listed below `path`.
  Result<bool> folder(Fd fd, const std::string& path, const std::string& tree_path, int depth) {
    if (depth > depth_max) return base::make_error(base::ErrorKind::exhausted, "/" + tree_path + ": folders are nested too deeply");
    bool any = false;
    ASSIGN_OR_RETURN(const auto names, names_in(fd));
    for (const auto& name : names) {
      ASSIGN_OR_RETURN(const bool listed, one(fd, name, join(path, name), join(tree_path, name), depth));
      any = any || listed;
    }
    return any;
  }

 private:
  Result<bool> one(Fd folder_fd, const std::string& name, const std::string& path, const std::string& tree_path, int depth) {
    const bool left_out = is_ignored(tree_, tree_path) || (!exclude_.empty() && exclude_.ignored(path));
    const bool exceptions = (tree_.ignore != nullptr && tree_.ignore->has_exceptions()) || exclude_.has_exceptions();
    if (left_out && !exceptions) return false;
    Entry entry{.path = path, .info = {}};
    TRY(base::sys::wrap("stat " + tree_path, ::fstatat(folder_fd.number(), name.c_str(), &entry.info, AT_SYMLINK_NOFOLLOW)));
    const bool is_folder = S_ISDIR(entry.info.st_mode);
    if ((left_out && !is_folder) || S_ISSOCK(entry.info.st_mode)) return false;
    if (item_.entries.size() == entries_max) return base::make_error(base::ErrorKind::exhausted, "too many files");
    const std::size_t at = item_.entries.size();
    item_.entries.push_back(std::move(entry));
    if (!is_folder) return true;
    ASSIGN_OR_RETURN(const UniqueFd inner, base::sys::openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    ASSIGN_OR_RETURN(const bool any, folder(inner.borrow(), path, tree_path, depth + 1));
    if (left_out && !any) item_.entries.resize(at);  // an ignored folder counts only for what is taken back below it
    return !left_out || any;
  }

  const Tree& tree_;
  const IgnoreRules& exclude_;
  Item& item_;
};

/// Matches a pattern component by component, so that only folders that can match are read.
Result<> match_below(const Tree& tree, Fd folder, const std::string& path, std::string_view pattern,
                     std::vector<std::string>& found) {
  const std::size_t slash = pattern.find('/');
  const std::string part(pattern.substr(0, slash));
  ASSIGN_OR_RETURN(const auto names, names_in(folder));
  for (const auto& name : names) {
    if (!glob_match(part, name)) continue;
    const std::string child = join(path, name);
    if (slash == std::string_view::npos) {
      const bool hidden = is_ignored(tree, child);
      if (!hidden || tree.ignore->has_exceptions()) {
        if (hidden) {  // shown only when something below is taken back
          const auto item = list_item(tree, child);
          if (!item) continue;
        }
        found.push_back(child);
      }
      continue;
    }
    auto inner = open_in_root(tree.root, child, O_RDONLY | O_DIRECTORY);
    if (inner) TRY(match_below(tree, inner->borrow(), child, pattern.substr(slash + 1), found));
  }
  return {};
}

/// COPY --parents: patterns may hold "**", so everything below is looked at.
Result<std::vector<std::string>> find_deep(const Tree& tree, const std::string& pattern) {
  ASSIGN_OR_RETURN(const IgnoreRules wanted, IgnoreRules::from_patterns({pattern}));
  ASSIGN_OR_RETURN(const Item all, list_item(tree, ""));
  std::vector<std::string> found;
  for (const auto& entry : all.entries) {
    if (entry.path.empty() || !wanted.ignored(entry.path)) continue;
    const bool inside = !found.empty() && entry.path.starts_with(found.back() + "/");
    if (!inside) found.push_back(entry.path);
  }
  return found;
}

}  // namespace

Result<UniqueFd> open_in_root(Fd root, const std::string& path, int flags) {
  return base::sys::openat2(root, path.empty() ? "." : path, flags, resolve_inside);
}

Result<std::vector<std::string>> find_sources(const Tree& tree, const std::string& source, bool deep) {
  std::string path = clean_path("/" + source).substr(1);
  if (!has_glob(path)) {
    std::string plain;  // a backslash escapes what would be a pattern
    for (std::size_t i = 0; i < path.size(); ++i) plain += path[i] == '\\' && i + 1 < path.size() ? path[++i] : path[i];
    return std::vector{plain};
  }
  TRY(check_glob(path));
  if (deep && path.find("**") != std::string::npos) return find_deep(tree, path);
  std::string fixed;  // folders before the first pattern are opened directly
  while (true) {
    const std::size_t slash = path.find('/');
    if (slash == std::string::npos || has_glob(path.substr(0, slash))) break;
    fixed = join(fixed, path.substr(0, slash));
    path.erase(0, slash + 1);
  }
  std::vector<std::string> found;
  auto folder = open_in_root(tree.root, fixed, O_RDONLY | O_DIRECTORY);
  if (folder) TRY(match_below(tree, folder->borrow(), fixed, path, found));
  return found;
}

Result<Item> list_item(const Tree& tree, const std::string& path, const IgnoreRules& exclude) {
  Item item;
  item.path = path;
  const bool hidden = !path.empty() && is_ignored(tree, path);
  if (hidden && !tree.ignore->has_exceptions()) return not_found(path, true);
  auto opened = open_in_root(tree.root, path, O_PATH);
  if (!opened) {
    if (opened.error().kind == base::ErrorKind::not_found || opened.error().number == ENOTDIR || opened.error().number == ELOOP)
      return not_found(path);
    return std::move(opened).error();
  }
  Entry self;
  TRY(base::sys::wrap("stat /" + path, ::fstat(opened->number(), &self.info)));
  item.entries.push_back(self);
  if (S_ISDIR(self.info.st_mode)) {
    ASSIGN_OR_RETURN(item.fd, open_in_root(tree.root, path, O_RDONLY | O_DIRECTORY));
    Lister lister(tree, exclude, item);
    ASSIGN_OR_RETURN(const bool any, lister.folder(item.fd.borrow(), "", path, 0));
    if (hidden && !any) return not_found(path, true);
  } else {
    if (hidden) return not_found(path, true);
    item.fd = std::move(*opened);
  }
  return item;
}

Result<Fd> FolderStack::folder_of(const std::string& path, std::string& name) {
  const std::size_t slash = path.rfind('/');
  name = slash == std::string::npos ? path : path.substr(slash + 1);
  const std::string wanted = slash == std::string::npos ? "" : path.substr(0, slash);
  while (!open_.empty() && wanted != open_.back().first && !wanted.starts_with(open_.back().first + "/")) open_.pop_back();
  while (true) {
    const Fd current = open_.empty() ? root_ : open_.back().second.borrow();
    const std::string have = open_.empty() ? "" : open_.back().first;
    if (have == wanted) return current;
    const std::size_t start = have.empty() ? 0 : have.size() + 1;
    const std::size_t end = wanted.find('/', start);
    const std::string next = wanted.substr(start, end == std::string::npos ? end : end - start);
    ASSIGN_OR_RETURN(UniqueFd fd, base::sys::openat(current, next, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    open_.emplace_back(join(have, next), std::move(fd));
  }
}

namespace {

struct Walk {
  Fd root;
  const FolderRights* rights;  ///< null: nothing is made
  std::vector<std::string>* made;
};

std::vector<std::string> components(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const auto part = path.substr(0, slash);
    if (!part.empty() && part != ".") parts.emplace_back(part);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  }
  return parts;
}

Result<std::string> read_link(Fd folder, const std::string& name) {
  char target[4096];
  const ssize_t length = ::readlinkat(folder.number(), name.c_str(), target, sizeof target);
  if (length < 0) return base::errno_error(errno, "readlink " + name);
  return std::string(target, static_cast<std::size_t>(length));
}

Result<> make_one(const Walk& walk, Fd parent, const std::string& name, const std::string& path) {
  TRY(base::sys::wrap("mkdir /" + path, ::mkdirat(parent.number(), name.c_str(), walk.rights->mode)));
  ASSIGN_OR_RETURN(const UniqueFd made, base::sys::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(base::sys::wrap("chown /" + path, ::fchown(made.number(), walk.rights->uid, walk.rights->gid)));
  TRY(base::sys::wrap("chmod /" + path, ::fchmod(made.number(), walk.rights->mode)));
  if (walk.made != nullptr) walk.made->push_back(path);
  return {};
}

/// Follows `path` component by component; returns the real path. Missing folders are made, or, without rights, taken as they
/// are written; then a file may be the last component, too.
Result<std::string> follow(const Walk& walk, const std::string& path) {
  std::vector<std::string> todo = components(clean_path("/" + path));
  std::string real;  // resolved so far
  int links = 0;
  bool missing = false;
  for (std::size_t next = 0; next < todo.size(); ++next) {
    const std::string name = todo[next];
    if (name == "..") {
      const std::size_t slash = real.rfind('/');
      real = slash == std::string::npos ? "" : real.substr(0, slash);
      continue;
    }
    if (missing) {
      real = join(real, name);
      continue;
    }
    ASSIGN_OR_RETURN(const UniqueFd parent, open_in_root(walk.root, real, O_RDONLY | O_DIRECTORY));
    struct stat info {};
    if (::fstatat(parent.number(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) return base::errno_error(errno, "stat /" + join(real, name));
      if (walk.rights != nullptr) TRY(make_one(walk, parent.borrow(), name, join(real, name)));
      else missing = true;
    } else if (S_ISLNK(info.st_mode)) {
      if (++links > 40) return base::errno_error(ELOOP, "/" + path);
      ASSIGN_OR_RETURN(const std::string target, read_link(parent.borrow(), name));
      if (target.starts_with('/')) real.clear();
      std::vector<std::string> rest = components(target);
      rest.insert(rest.end(), todo.begin() + static_cast<std::ptrdiff_t>(next) + 1, todo.end());
      todo = std::move(rest);
      next = static_cast<std::size_t>(-1);
      continue;
    } else if (!S_ISDIR(info.st_mode) && (walk.rights != nullptr || next + 1 < todo.size())) {
      return base::errno_error(ENOTDIR, "/" + join(real, name));
    }
    real = join(real, name);
  }
  return real;
}

}  // namespace

Result<std::string> real_path_in_root(Fd root, const std::string& path) {
  return follow({.root = root, .rights = nullptr, .made = nullptr}, path);
}

Result<UniqueFd> make_in_root(Fd root, const std::string& path, const FolderRights& rights, std::vector<std::string>* made) {
  ASSIGN_OR_RETURN(const std::string real, follow({.root = root, .rights = &rights, .made = made}, path));
  return open_in_root(root, real, O_RDONLY | O_DIRECTORY);
}

}  // namespace engine::build
