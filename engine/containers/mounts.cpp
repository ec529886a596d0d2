#include "engine/containers/mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/containers/root.h"
#include "volumes/volumes.h"

namespace engine::containers {
namespace {

using runtime::spec::Mount;

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

/// `recursive` of bind mounts as Docker reads it: with read_only, mounts below are read-only too unless "writable".
base::Result<volumes::BindOptions> bind_options(const MountSpec& mount) {
  volumes::BindOptions options{.propagation = mount.propagation, .create_directory = mount.create_host_path};
  options.recursive = mount.recursive != "disabled";
  if (!mount.recursive.empty() && mount.recursive != "enabled" && mount.recursive != "disabled" &&
      mount.recursive != "writable" && mount.recursive != "readonly")
    return invalid("unknown bind recursive '" + mount.recursive + "'");
  if (!mount.read_only) {
    if (mount.recursive == "readonly") return invalid("bind recursive: readonly needs read_only: true");
    return options;
  }
  if (mount.recursive == "writable") options.read_only = volumes::ReadOnly::shallow;
  else if (mount.recursive == "readonly") options.read_only = volumes::ReadOnly::forced;
  else options.read_only = volumes::ReadOnly::recursive;
  return options;
}

base::Result<base::UniqueFd> in_root(base::Fd root, const std::string& target, int flags) {
  return base::sys::openat2(root, target.substr(1), flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

base::Result<base::UniqueFd> open_bind(const MountContext& context, const MountSpec& mount) {
  ASSIGN_OR_RETURN(auto options, bind_options(mount));
  if (options.create_directory && ::access(mount.source.c_str(), F_OK) != 0) {
    const auto there = in_root(context.root, mount.target, O_PATH);
    struct stat status{};
    // Docker would make a directory over the image's file, and the program would fail with "is a directory".
    if (there && ::fstat(there->number(), &status) == 0 && S_ISREG(status.st_mode))
      return base::make_error(base::ErrorKind::not_found, "bind source path does not exist: " + mount.source + " (" + mount.target +
                                                              " is a file in the image, so no directory is made; create the file first)");
  }
  return volumes::bind(mount.source, options);
}

/// Copies what the image has at the target into a new volume.
base::Result<> fill(const MountContext& context, const MountSpec& mount, base::Fd volume) {
  const auto from = in_root(context.root, mount.target, O_RDONLY | O_DIRECTORY);
  if (!from) return {};  // nothing there, or a file
  ASSIGN_OR_RETURN(const auto to, base::sys::openat(volume, ".", O_RDONLY | O_DIRECTORY));
  TRY(volumes::copy_up(from->borrow(), to.borrow()));
  return {};
}

base::Result<base::UniqueFd> open_volume(const MountContext& context, const MountSpec& mount) {
  const auto found = context.options.volumes.find(mount.source);
  if (found == context.options.volumes.end())
    return base::make_error(base::ErrorKind::not_found, "no such volume: " + mount.source);
  const auto& spec = found->second;
  if (spec.driver != "local" && !spec.driver.empty())
    return base::make_error(base::ErrorKind::unsupported, "volume driver '" + spec.driver + "' is not supported");
  if (const auto holder = context.options.volume_holders.find(mount.source); holder != context.options.volume_holders.end())
    return volumes::clone_from(holder->second.first, holder->second.second);
  const volumes::Volume volume{paths::volume(spec.name), spec.driver_opts};
  TRY(volumes::create(volume));
  const auto read_only = mount.read_only ? volumes::ReadOnly::recursive : volumes::ReadOnly::no;
  if (!mount.subpath.empty())
    return volumes::use(volume, {.subpath = mount.subpath, .read_only = read_only, .propagation = mount.propagation});
  ASSIGN_OR_RETURN(auto whole, volumes::use(volume, {.propagation = mount.propagation}));
  if (!mount.nocopy) TRY(fill(context, mount, whole.borrow()).with("filling it from the image"));
  TRY(volumes::restrict(whole.borrow(), read_only));
  return whole;
}

base::Result<base::UniqueFd> open_image(const MountContext& context, const MountSpec& mount) {
  const auto found = context.options.image_mounts.find(mount.source);
  if (found == context.options.image_mounts.end())
    return base::make_error(base::ErrorKind::not_found, "no such image: " + mount.source);
  ASSIGN_OR_RETURN(auto whole, mount_root(found->second, {}));
  if (mount.subpath.empty()) return whole;
  if (found->second.size() == 1) {
    ASSIGN_OR_RETURN(const auto layer, base::sys::open(found->second.front(), O_PATH | O_DIRECTORY));
    return volumes::bind_beneath(layer.borrow(), mount.subpath, {.read_only = volumes::ReadOnly::recursive});
  }
  return volumes::bind_beneath(whole.borrow(), mount.subpath, {.read_only = volumes::ReadOnly::recursive});
}

base::Result<Mount> open_one(const MountContext& context, const MountSpec& mount, FdTable& fds) {
  if (mount.type == MountType::tmpfs) {
    ASSIGN_OR_RETURN(auto words, volumes::tmpfs_words({.size_bytes = mount.tmpfs_size_bytes, .mode = mount.tmpfs_mode,
                                                       .options = mount.tmpfs_options, .read_only = mount.read_only}));
    words.emplace_back("rprivate");
    return Mount{mount.target, "tmpfs", "tmpfs", std::move(words), {}, {}};
  }
  auto tree = mount.type == MountType::bind     ? open_bind(context, mount)
              : mount.type == MountType::volume ? open_volume(context, mount)
                                                : open_image(context, mount);
  if (!tree) return std::move(tree).error();
  // The clone has these already; the words are for whoever reads the config.
  std::vector<std::string> words{"rbind", mount.propagation.empty() ? "rprivate" : mount.propagation};
  if (mount.read_only) words.emplace_back(mount.recursive == "writable" ? "ro" : "rro");
  return Mount{mount.target, "bind", fds.add_path(*std::move(tree)), std::move(words), {}, {}};
}

/// A config or secret whose owner or mode is asked for, or whose content came with the spec, becomes a file of the engine below the run
/// folder (memory), never a change of the user's own file.
base::Result<Mount> write_file_mount(const MountContext& context, const FileMount& file, std::size_t index) {
  const bool as_is = !file.host_path.empty() && !file.uid && !file.gid && !file.mode;
  if (as_is) {
    if (::access(file.host_path.c_str(), F_OK) != 0)
      return base::make_error(base::ErrorKind::not_found, file.host_path + " for " + file.target + " does not exist");
    return Mount{file.target, "bind", file.host_path, {"rbind", "rro", "rprivate"}, {}, {}};
  }
  std::string content = file.content;
  if (!file.host_path.empty()) {
    ASSIGN_OR_RETURN(content, base::sys::read_file(file.host_path));
  }
  const auto folder = context.run_dir / "files";
  TRY(base::sys::make_directories(folder, 0700));
  const auto path = folder / std::to_string(index);
  if (auto gone = base::sys::unlink(path); !gone && gone.error().kind != base::ErrorKind::not_found) return std::move(gone).error();
  TRY(base::sys::write_file(path, content, 0600));
  TRY(base::sys::wrap("chown " + file.target, ::chown(path.c_str(), file.uid.value_or(0), file.gid.value_or(0))));
  TRY(base::sys::wrap("chmod " + file.target, ::chmod(path.c_str(), file.mode.value_or(0444) & 07777)));
  return Mount{file.target, "bind", path.string(), {"rbind", "rro", "rprivate"}, {}, {}};
}

}  // namespace

base::Result<std::vector<Mount>> open_mounts(const MountContext& context, FdTable& fds) {
  std::vector<Mount> mounts;
  for (const auto& mount : context.options.mounts) {
    auto opened = open_one(context, mount, fds);
    if (!opened) return std::move(opened).with("mount " + mount.target).error();
    mounts.push_back(*std::move(opened));
  }
  for (std::size_t i = 0; i < context.spec.files.size(); ++i) {
    auto written = write_file_mount(context, context.spec.files[i], i);
    if (!written) return std::move(written).with("file " + context.spec.files[i].target).error();
    mounts.push_back(*std::move(written));
  }
  return mounts;
}

}  // namespace engine::containers
