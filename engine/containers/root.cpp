#include "engine/containers/root.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <set>
#include <thread>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "volumes/mount_api.h"

namespace engine::containers {
namespace {

using volumes::NewFilesystem;

constexpr std::size_t layers_max = 500;         // OVL_MAX_STACK
constexpr std::size_t config_string_max = 255;  // fsconfig(2) copies 256 bytes with the NUL

/// Folder descriptors that stay open while an overlay is put together.
struct Folders {
  std::vector<base::UniqueFd> lower;  ///< top → bottom
  base::UniqueFd upper, work;
};

base::Result<base::UniqueFd> open_folder(const std::filesystem::path& path) {
  return base::sys::open(path, O_PATH | O_DIRECTORY);
}

base::Result<Folders> open_folders(const std::vector<std::filesystem::path>& layers, const WritableLayer& writable) {
  Folders folders;
  if (layers.size() > layers_max)
    return base::make_error(base::ErrorKind::invalid, "the image has " + std::to_string(layers.size()) + " layers, more than " + std::to_string(layers_max));
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    ASSIGN_OR_RETURN(auto folder, open_folder(*layer).with("image layer"));
    folders.lower.push_back(std::move(folder));
  }
  if (writable.upper.empty()) return folders;
  TRY(base::sys::make_directories(writable.upper, 0755));
  TRY(base::sys::make_directories(writable.work, 0700));
  ASSIGN_OR_RETURN(folders.upper, open_folder(writable.upper));
  ASSIGN_OR_RETURN(folders.work, open_folder(writable.work));
  if (folders.lower.empty()) {  // FROM scratch: overlay wants something below
    const auto nothing = writable.upper.parent_path() / "lower";
    TRY(base::sys::make_directories(nothing, 0755));
    ASSIGN_OR_RETURN(auto folder, open_folder(nothing));
    folders.lower.push_back(std::move(folder));
  }
  return folders;
}

/// In a user namespace overlay keeps its marks in user.* attributes.
bool in_user_namespace() {
  const auto map = base::sys::read_file("/proc/self/uid_map");
  return map && map->find("4294967295") == std::string::npos;
}

/// A path for fsconfig: as it is, or through /proc when it is too long (the kernel resolves it at once).
std::string for_config(const std::filesystem::path& path, const base::UniqueFd& fd) {
  if (path.string().size() <= config_string_max) return path.string();
  return "/proc/self/fd/" + std::to_string(fd.number());
}

/// Before Linux 6.5 overlay is not made for fsconfig(2): whatever it is told is collected and refused as a whole at the end.
bool configurable_by_parts() {
  static const bool answer = [] {
    utsname host{};
    int major = 0, minor = 0;
    if (::uname(&host) != 0 || std::sscanf(host.release, "%d.%d", &major, &minor) != 2) return true;
    return major > 6 || (major == 6 && minor >= 5);
  }();
  return answer;
}

/// index: off, since layers are shared by many overlays. redirect_dir, metacopy: off, so that the writable layer holds whole files and
/// can be packed as an image layer.
constexpr std::pair<const char*, const char*> fixed_options[] = {{"index", "off"}, {"redirect_dir", "off"}, {"metacopy", "off"}};

base::Result<base::UniqueFd> mount_modern(const std::vector<std::filesystem::path>& layers, const WritableLayer& writable,
                                          const Folders& folders, bool& too_old) {
  ASSIGN_OR_RETURN(auto fs, NewFilesystem::open("overlay"));
  TRY(fs.set("source", "overlay"));
  for (std::size_t i = 0; i < folders.lower.size(); ++i) {
    const auto path = layers.empty() ? writable.upper.parent_path() / "lower" : layers[layers.size() - 1 - i];
    auto added = fs.set("lowerdir+", for_config(path, folders.lower[i]));
    too_old = !added && i == 0 && added.error().number == EINVAL;
    if (!added) return std::move(added).error();
  }
  if (folders.upper.valid()) {
    TRY(fs.set("upperdir", for_config(writable.upper, folders.upper)));
    TRY(fs.set("workdir", for_config(writable.work, folders.work)));
  }
  for (const auto& [key, value] : fixed_options) TRY(fs.set(key, value));
  if (writable.no_sync) TRY(fs.set_flag("volatile"));
  if (in_user_namespace()) TRY(fs.set_flag("userxattr"));
  return fs.mount(folders.upper.valid() ? 0 : MOUNT_ATTR_RDONLY);
}

/// In a mount namespace of this thread's own: mount(2) there, clone it, leave. Every layer is named by its descriptor's number relative
/// to /proc/self/fd, so that even 500 fit into the page mount(2) takes.
base::Result<base::UniqueFd> mount_in_scratch(const std::vector<std::filesystem::path>& layers, const WritableLayer& writable) {
  const auto failed = [](const char* what) { return base::errno_error(errno, what); };
  if (::unshare(CLONE_FS | CLONE_NEWNS) != 0) return failed("unshare the mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return failed("make mounts private");
  ASSIGN_OR_RETURN(const auto folders, open_folders(layers, writable));
  if (::chdir("/proc/self/fd") != 0) return failed("chdir /proc/self/fd");
  std::string options = "lowerdir=";
  for (const auto& lower : folders.lower) options += (options.back() == '=' ? "" : ":") + std::to_string(lower.number());
  if (folders.upper.valid())
    options += ",upperdir=" + std::to_string(folders.upper.number()) + ",workdir=" + std::to_string(folders.work.number());
  for (const auto& [key, value] : fixed_options) options += std::string(",") + key + "=" + value;
  if (writable.no_sync) options += ",volatile";
  if (in_user_namespace()) options += ",userxattr";
  const unsigned long flags = folders.upper.valid() ? 0 : MS_RDONLY;
  const auto where = writable.upper.empty() ? layers.back() : writable.upper.parent_path();
  if (::mount("overlay", where.c_str(), "overlay", flags, options.c_str()) != 0) return failed("mount overlay");
  return volumes::clone_tree({}, where, false);
}

}  // namespace

WritableLayer writable_layer(const std::string& id) {
  const auto folder = paths::container(id);
  return {folder / "upper", folder / "work"};
}

base::Result<base::UniqueFd> mount_root_legacy(const std::vector<std::filesystem::path>& layers, const WritableLayer& writable) {
  base::Result<base::UniqueFd> mounted = base::make_error(base::ErrorKind::internal, "not run");
  std::thread([&] { mounted = mount_in_scratch(layers, writable); }).join();
  return mounted;
}

base::Result<base::UniqueFd> mount_root(const std::vector<std::filesystem::path>& layers, const WritableLayer& writable) {
  if (writable.upper.empty() && layers.size() == 1) {  // overlay refuses a single layer alone
    ASSIGN_OR_RETURN(auto tree, volumes::clone_tree({}, layers.front(), false));
    TRY(volumes::set_attributes(tree.borrow(), {.set = MOUNT_ATTR_RDONLY, .propagation = MS_PRIVATE}, false));
    return tree;
  }
  if (writable.upper.empty() && layers.empty())
    return base::make_error(base::ErrorKind::invalid, "the image has no layers");
  if (!configurable_by_parts()) return mount_root_legacy(layers, writable);
  ASSIGN_OR_RETURN(const auto folders, open_folders(layers, writable));
  bool too_old = false;  // "lowerdir+" came with 6.7
  auto mounted = mount_modern(layers, writable, folders, too_old);
  if (!mounted && too_old) return mount_root_legacy(layers, writable);
  return mounted;
}

base::Result<base::UniqueFd> open_stopped_root(const std::string& id, const std::vector<std::filesystem::path>& layers) {
  return mount_root(layers, writable_layer(id));
}

base::Result<> remove_files(const std::string& id) { return base::sys::remove_tree(paths::container(id)); }

void sweep_files(const std::set<std::string>& recorded, std::chrono::seconds young) {
  std::error_code failed;
  const auto now = std::filesystem::file_time_type::clock::now();
  std::vector<std::filesystem::path> left;
  for (auto it = std::filesystem::directory_iterator(paths::container(""), failed); !failed && it != std::filesystem::directory_iterator();
       it.increment(failed)) {
    std::error_code gone;
    const auto changed = it->last_write_time(gone);
    if (!gone && now - changed > young && !recorded.contains(it->path().filename().string())) left.push_back(it->path());
  }
  for (const auto& folder : left) (void)base::sys::remove_tree(folder).has_value();
}

namespace {

/// Compares the writable layer with what lies below it.
class Differ {
 public:
  explicit Differ(base::UniqueFd below) : below_(std::move(below)) {}

  base::Result<> folder(const std::filesystem::path& dir, const std::string& prefix) {
    std::error_code failed;
    std::vector<std::filesystem::path> children;
    for (auto it = std::filesystem::directory_iterator(dir, failed); !failed && it != std::filesystem::directory_iterator(); it.increment(failed))
      children.push_back(it->path());
    if (failed) return base::errno_error(failed.value(), "read " + dir.string());
    std::sort(children.begin(), children.end());
    for (const auto& child : children) {
      const auto path = prefix + "/" + child.filename().string();
      struct stat status{};
      TRY(base::sys::wrap("stat " + child.string(), ::lstat(child.c_str(), &status)));
      if (S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0)) {  // a whiteout
        changes.push_back({ChangeKind::deleted, path});
        continue;
      }
      changes.push_back({exists_below(path) ? ChangeKind::changed : ChangeKind::added, path});
      if (S_ISDIR(status.st_mode)) TRY(folder(child, path));
    }
    return {};
  }

  std::vector<Change> changes;

 private:
  bool exists_below(const std::string& path) const {
    if (!below_.valid()) return false;
    return base::sys::openat2(below_.borrow(), path.substr(1), O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH).has_value();
  }
  base::UniqueFd below_;
};

}  // namespace

base::Result<std::vector<Change>> changes(const std::string& id, const std::vector<std::filesystem::path>& layers) {
  base::UniqueFd below;
  if (!layers.empty()) {
    ASSIGN_OR_RETURN(below, mount_root(layers, {}));
  }
  const auto upper = writable_layer(id).upper;
  if (::access(upper.c_str(), F_OK) != 0) return std::vector<Change>{};  // never started
  Differ differ(std::move(below));
  TRY(differ.folder(upper, ""));
  return std::move(differ.changes);
}

base::Result<std::int64_t> size_of_changes(const std::string& id) {
  std::int64_t bytes = 0;
  std::set<ino_t> counted;
  std::error_code failed;
  const auto upper = writable_layer(id).upper;
  for (auto it = std::filesystem::recursive_directory_iterator(upper, failed); !failed && it != std::filesystem::recursive_directory_iterator(); it.increment(failed)) {
    struct stat status{};
    if (::lstat(it->path().c_str(), &status) == 0 && S_ISREG(status.st_mode) && counted.insert(status.st_ino).second)
      bytes += status.st_size;
  }
  if (failed && failed.value() != ENOENT) return base::errno_error(failed.value(), "read " + upper.string());
  return bytes;
}

}  // namespace engine::containers
