// Device nodes and links below /dev: runtime-spec config-linux.md "Default Devices" and "Devices".
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/sys.h"
#include "runtime/linux/kernel.h"
#include "runtime/linux/rootfs.h"

namespace runtime {

using base::Fd;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

struct DefaultDevice {
  const char* path;
  unsigned major, minor;
};
constexpr DefaultDevice default_devices[] = {{"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
                                             {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};

mode_t type_bits(const std::string& type) { return type == "b" ? S_IFBLK : type == "p" ? S_IFIFO : S_IFCHR; }

std::pair<std::string, std::string> split(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return {path.substr(0, std::max<std::size_t>(slash, 1)), path.substr(slash + 1)};
}

Result<> make_node(Fd folder, const std::string& name, const spec::Device& device) {
  const mode_t mode = device.file_mode.value_or(0666) & 07777;
  const dev_t number = device.type == "p" ? 0 : makedev(static_cast<unsigned>(device.major), static_cast<unsigned>(device.minor));
  const auto made = sys::wrap("mknod", ::mknodat(folder.number(), name.c_str(), type_bits(device.type) | mode, number));
  if (!made) {
    if (made.error().number != EEXIST) return made.error();
    struct stat about {};
    const bool same = ::fstatat(folder.number(), name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0 &&
                      (about.st_mode & S_IFMT) == type_bits(device.type) && about.st_rdev == number;
    if (!same) return base::make_error(base::ErrorKind::exists, "something else is there already");
  }
  // The umask is 0 while we set up, so the mode is right; the owner is root's unless told otherwise.
  if (device.uid.value_or(0) != 0 || device.gid.value_or(0) != 0)
    TRY(sys::wrap("chown", ::fchownat(folder.number(), name.c_str(), device.uid.value_or(0), device.gid.value_or(0),
                                      AT_SYMLINK_NOFOLLOW)));
  return {};
}

/// Clones the host's node onto an empty file: what a user namespace allows instead of mknod.
Result<> bind_node(Fd root, const spec::Device& device) {
  ASSIGN_OR_RETURN(const auto tree, kernel::open_tree(Fd(AT_FDCWD), device.path.c_str(), OPEN_TREE_CLONE));
  ASSIGN_OR_RETURN(const auto target, open_target(root, device.path, {.kind = TargetKind::file, .nofollow = false}));
  return kernel::move_mount(tree.borrow(), target.borrow());
}

Result<> make_links(Fd dev) {
  static constexpr std::pair<const char*, const char*> links[] = {
      {"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"}};
  for (const auto& [target, name] : links)
    if (::symlinkat(target, dev.number(), name) != 0 && errno != EEXIST)
      return base::errno_error(errno, std::string("/dev/") + name);
  if (::faccessat(AT_FDCWD, "/proc/kcore", F_OK, 0) == 0) {
    [[maybe_unused]] const int optional = ::symlinkat("/proc/kcore", dev.number(), "core");
  }
  // The container's own instance of devpts; a node made by mknod would be the host's.
  struct stat about {};
  if (::fstatat(dev.number(), "ptmx", &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(about.st_mode)) return {};
  if (::unlinkat(dev.number(), "ptmx", 0) != 0 && errno != ENOENT) return base::errno_error(errno, "/dev/ptmx");
  if (::symlinkat("pts/ptmx", dev.number(), "ptmx") != 0) return base::errno_error(errno, "/dev/ptmx");
  return {};
}

}  // namespace

Result<> make_devices(Fd root, const spec::Config& config, const DeviceChoice& choice) {
  if (choice.own_dev) {
    ASSIGN_OR_RETURN(const auto dev, kernel::open_in_root(root, "/dev", O_PATH | O_DIRECTORY));
    for (const auto& [path, major, minor] : default_devices) {
      const bool overridden =
          std::ranges::any_of(config.linux_.devices, [&](const spec::Device& device) { return device.path == path; });
      if (overridden) continue;
      const spec::Device device{.type = "c", .path = path, .major = major, .minor = minor,
                                .file_mode = {}, .uid = {}, .gid = {}};
      auto made = choice.bind ? bind_node(root, device) : make_node(dev.borrow(), path + sizeof "/dev", device);
      TRY(std::move(made).with(path));
    }
    TRY(make_links(dev.borrow()));
  }
  for (const spec::Device& device : config.linux_.devices) {
    const auto [folder_path, name] = split(device.path);
    if (name.empty() || !device.path.starts_with('/'))
      return base::make_error(base::ErrorKind::invalid, "linux.devices: '" + device.path + "' is not an absolute path");
    if (choice.bind && device.type != "p") {
      TRY(bind_node(root, device).with("device " + device.path));
      continue;
    }
    ASSIGN_OR_RETURN(const auto folder, open_target(root, folder_path, {}));
    TRY(make_node(folder.borrow(), name, device).with("device " + device.path));
  }
  return {};
}

}  // namespace runtime
