// Bind mounts as detached clones.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <thread>

#include "base/sys.h"
#include "volumes/mount_api.h"
#include "volumes/volumes.h"

namespace volumes {
namespace {

struct Propagation {
  std::uint64_t type = MS_PRIVATE;
  bool recursive = true;
};

base::Result<Propagation> parse_propagation(const std::string& word) {
  if (word.empty() || word == "rprivate") return Propagation{};
  if (word == "private") return Propagation{MS_PRIVATE, false};
  if (word == "rshared" || word == "shared") return Propagation{MS_SHARED, word == "rshared"};
  if (word == "rslave" || word == "slave") return Propagation{MS_SLAVE, word == "rslave"};
  return base::make_error(base::ErrorKind::invalid, "unknown mount propagation '" + word + "'");
}

/// Propagation wants a source mount that propagates; cloning another would look right and never do anything.
base::Result<> check_propagates(const std::filesystem::path& source, const Propagation& propagation) {
  if (propagation.type == MS_PRIVATE) return {};
  struct statx info{};
  TRY(base::sys::wrap("statx " + source.string(), ::statx(AT_FDCWD, source.c_str(), 0, STATX_MNT_ID, &info)));
  ASSIGN_OR_RETURN(const auto table, base::sys::read_file("/proc/self/mountinfo"));
  const auto id = std::to_string(info.stx_mnt_id) + " ";
  std::size_t at = 0;
  while (at < table.size()) {
    const auto end = std::min(table.find('\n', at), table.size());
    const auto line = std::string_view(table).substr(at, end - at);
    at = end + 1;
    if (!line.starts_with(id)) continue;
    const auto optional = line.substr(0, line.find(" - "));
    if (optional.find(" shared:") != std::string_view::npos) return {};
    if (propagation.type == MS_SLAVE && optional.find(" master:") != std::string_view::npos) return {};
  }
  return base::make_error(base::ErrorKind::invalid,
                          source.string() + " lies on a mount that is not shared" +
                              (propagation.type == MS_SLAVE ? " or slave" : ""));
}

/// Applies options to a clone.
base::Result<base::UniqueFd> finish(base::UniqueFd tree, const BindOptions& options, const Propagation& propagation) {
  TRY(set_attributes(tree.borrow(), {.propagation = propagation.type}, propagation.recursive && options.recursive));
  if (options.read_only == ReadOnly::no) return tree;
  const bool deep = options.read_only != ReadOnly::shallow && options.recursive;
  TRY(set_attributes(tree.borrow(), {.set = MOUNT_ATTR_RDONLY}, deep));
  return tree;
}

bool looks_like_file(const std::filesystem::path& path) {
  static const std::set<std::string> extensions{
      ".cert", ".cfg", ".cnf", ".conf", ".config", ".crt", ".css", ".csv", ".env", ".gz", ".html", ".ini", ".js", ".json",
      ".key", ".lua", ".md", ".pem", ".php", ".properties", ".pub", ".py", ".rb", ".rules", ".sh", ".sock", ".sql",
      ".sqlite", ".tar", ".tmpl", ".toml", ".ts", ".txt", ".xml", ".yaml", ".yml", ".zip"};
  const auto name = path.filename().string();
  return extensions.contains(path.extension().string()) || name == ".env" || name == "Dockerfile" || name == "Caddyfile";
}

base::Error missing_source(const std::filesystem::path& source) {
  return base::make_error(base::ErrorKind::not_found, "bind source path does not exist: " + source.string());
}

/// mkdir -p as the project's owner: what root makes in a user's folder the user could not delete.
base::Result<> make_source(const std::filesystem::path& source, const BindOptions& options) {
  auto owner = options.owner;
  std::vector<std::filesystem::path> missing;
  for (auto path = source; ; path = path.parent_path()) {
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0) {
      if (!owner) owner = {status.st_uid, status.st_gid};
      break;
    }
    if (errno != ENOENT) return base::errno_error(errno, "stat " + path.string());
    missing.push_back(path);
    if (path == path.parent_path()) break;
  }
  for (auto path = missing.rbegin(); path != missing.rend(); ++path) {
    if (::mkdir(path->c_str(), 0755) != 0) {
      if (errno == EEXIST) continue;
      return base::errno_error(errno, "mkdir " + path->string());
    }
    if (owner && ::chown(path->c_str(), owner->first, owner->second) != 0 && errno != EPERM)
      return base::errno_error(errno, "chown " + path->string());
  }
  return {};
}

}  // namespace

base::Result<base::UniqueFd> bind(const std::filesystem::path& source, const BindOptions& options) {
  ASSIGN_OR_RETURN(const auto propagation, parse_propagation(options.propagation));
  struct stat status{};
  if (::stat(source.c_str(), &status) != 0) {
    if (errno != ENOENT) return base::errno_error(errno, "bind source " + source.string());
    if (!options.create_directory) return missing_source(source);
    if (looks_like_file(source)) {
      auto error = missing_source(source);
      error.message += " (its name is that of a file, so no directory is made; create the file first)";
      return error;
    }
    TRY(make_source(source, options).with("creating bind source"));
  }
  TRY(check_propagates(source, propagation));
  ASSIGN_OR_RETURN(auto tree, clone_tree({}, source, options.recursive));
  return finish(std::move(tree), options, propagation);
}

base::Result<base::UniqueFd> bind_beneath(base::Fd root, const std::filesystem::path& subpath, const BindOptions& options) {
  ASSIGN_OR_RETURN(const auto propagation, parse_propagation(options.propagation));
  auto inside = base::sys::openat2(root, subpath.relative_path(), O_PATH, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
  if (!inside && inside.error().number == EXDEV)
    return base::make_error(base::ErrorKind::invalid, "subpath '" + subpath.string() + "' leaves the volume");
  if (!inside) return std::move(inside).error();
  ASSIGN_OR_RETURN(auto tree, clone_tree(inside->borrow(), {}, options.recursive));
  return finish(std::move(tree), options, propagation);
}

base::Result<base::UniqueFd> clone_from(pid_t pid, const std::filesystem::path& path, bool recursive) {
  ASSIGN_OR_RETURN(const auto ns, base::sys::open("/proc/" + std::to_string(pid) + "/ns/mnt", O_RDONLY));
  ASSIGN_OR_RETURN(const auto root, base::sys::open("/proc/" + std::to_string(pid) + "/root", O_PATH | O_DIRECTORY));
  base::Result<base::UniqueFd> cloned = base::make_error(base::ErrorKind::internal, "not run");
  // Only a mount of the caller's own namespace can be cloned, and only a task that shares its fs_struct with nobody may change
  // that: a thread of its own does both. Source: open_tree(2), setns(2).
  std::thread([&] {
    if (::unshare(CLONE_FS) != 0 || ::setns(ns.number(), CLONE_NEWNS) != 0) {
      cloned = base::errno_error(errno, "entering the mount namespace of process " + std::to_string(pid));
      return;
    }
    auto inside = base::sys::openat2(root.borrow(), path.has_relative_path() ? path.relative_path() : ".", O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    cloned = inside ? clone_tree(inside->borrow(), {}, recursive) : std::move(inside).error();
  }).join();
  return cloned;
}

}  // namespace volumes
