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

mount_attr node_attributes() {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
  return attributes;
}

/// Mounts a node onto an empty file: what a user namespace allows instead of mknod. `made` or else the host's own node.
Result<> bind_node(Fd root, const spec::Device& device, const UniqueFd* made) {
  UniqueFd clone;
  if (!made) {
    ASSIGN_OR_RETURN(clone, kernel::open_tree(Fd(AT_FDCWD), device.path.c_str(), OPEN_TREE_CLONE));
    TRY(kernel::mount_setattr(clone.borrow(), 0, node_attributes()));
  }
  ASSIGN_OR_RETURN(const auto target, open_target(root, device.path, {.kind = TargetKind::file, .nofollow = false}));
  return kernel::move_mount(made ? made->borrow() : clone.borrow(), target.borrow());
}

/// The defaults that config.json does not replace, then its own.
std::vector<spec::Device> all_devices(const spec::Config& config, bool defaults) {
  std::vector<spec::Device> out;
  for (const auto& [path, major, minor] : default_devices) {
    const auto replaces = [&](const spec::Device& device) { return device.path == path; };
    if (defaults && std::ranges::none_of(config.linux_.devices, replaces))
      out.push_back({.type = "c", .path = path, .major = major, .minor = minor, .file_mode = {}, .uid = {}, .gid = {}});
  }
  out.insert(out.end(), config.linux_.devices.begin(), config.linux_.devices.end());
  return out;
}

Result<std::uint32_t> host_id(const std::vector<spec::IdMap>& maps, std::uint32_t id, const char* property) {
  for (const auto& map : maps)
    if (id >= map.container_id && id - map.container_id < map.size) return map.host_id + (id - map.container_id);
  return base::make_error(base::ErrorKind::invalid, std::string(property) + ": " + std::to_string(id) + " is not mapped");
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

Result<std::vector<UniqueFd>> open_devices(const spec::Config& config) {
  ASSIGN_OR_RETURN(const auto context, kernel::fsopen("tmpfs"));
  auto folder = kernel::fsmount(context.borrow(), MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  if (!folder && folder.error().number == EPERM) return std::vector<UniqueFd>{};
  if (!folder) return std::move(folder).error();
  std::vector<UniqueFd> out;
  for (spec::Device device : all_devices(config, true)) {
    const std::string name = std::to_string(out.size());
    ASSIGN_OR_RETURN(device.uid, host_id(config.linux_.uid_mappings, device.uid.value_or(0), "linux.devices uid"));
    ASSIGN_OR_RETURN(device.gid, host_id(config.linux_.gid_mappings, device.gid.value_or(0), "linux.devices gid"));
    auto made = make_node(folder->borrow(), name, device);
    if (!made && made.error().number == EPERM) return std::vector<UniqueFd>{};
    TRY(std::move(made).with("device " + device.path));
    // The caller's umask is still in force.
    TRY(sys::wrap("chmod", ::fchmodat(folder->number(), name.c_str(), device.file_mode.value_or(0666) & 07777, 0)));
    ASSIGN_OR_RETURN(auto tree, kernel::open_tree(folder->borrow(), name.c_str(), OPEN_TREE_CLONE));
    TRY(kernel::mount_setattr(tree.borrow(), 0, node_attributes()));
    out.push_back(std::move(tree));
  }
  return out;
}

Result<> make_devices(Fd root, const spec::Config& config, const DeviceChoice& choice) {
  if (choice.defaults) {
    // A link of the image would lead the nodes elsewhere.
    ASSIGN_OR_RETURN(const auto dev, open_target(root, "/dev", {.kind = TargetKind::folder, .nofollow = true}));
    TRY(make_links(dev.borrow()));
  }
  const auto devices = all_devices(config, choice.defaults);
  const std::size_t left_out = all_devices(config, true).size() - devices.size();
  UniqueFd folder;
  std::string opened;
  for (std::size_t index = 0; index < devices.size(); ++index) {
    const spec::Device& device = devices[index];
    if (choice.defaults && device.path == "/dev/ptmx") continue;  // is the link to this container's own, as under runc
    const auto [folder_path, name] = split(device.path);
    if (name.empty() || !device.path.starts_with('/'))
      return base::make_error(base::ErrorKind::invalid, "linux.devices: '" + device.path + "' is not an absolute path");
    if (choice.bind && device.type != "p") {
      const bool made = choice.made && !choice.made->empty();
      TRY(bind_node(root, device, made ? &(*choice.made)[index + left_out] : nullptr).with("device " + device.path));
      continue;
    }
    if (opened != folder_path) {
      ASSIGN_OR_RETURN(folder, open_target(root, folder_path, {}));
      opened = folder_path;
    }
    auto made = make_node(folder.borrow(), name, device);
    // Inside a user namespace of our caller's making nobody can make nodes: the ones that are there must do.
    if (!made && made.error().number == EPERM && device.type != "p") made = bind_node(root, device, nullptr);
    TRY(std::move(made).with("device " + device.path));
  }
  return {};
}

}  // namespace runtime
