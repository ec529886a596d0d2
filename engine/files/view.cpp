#include "engine/files/view.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/api/types_json.h"
#include "engine/containers/containers.h"
#include "engine/containers/mounts.h"
#include "engine/containers/root.h"
#include "engine/store/info.h"
#include "volumes/volumes.h"

namespace engine::files {

using base::ErrorKind;
using base::Fd;
using base::UniqueFd;
using StringMap = std::map<std::string, std::string>;

namespace {

constexpr std::uint64_t inside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

/// What a start would mount, less what only a running container has (tmpfs, configs, secrets) and what is not there.
Result<containers::StartOptions> mount_options(store::Store& store, const Subject& subject) {
  containers::StartOptions options;
  options.id = subject.record.id;
  std::map<std::string, ContainerInfo> others;
  for (const auto& word : subject.spec.volumes_from) {
    const auto name = word.substr(0, word.find(':'));
    ASSIGN_OR_RETURN(const auto row, store.find_container(name));
    ASSIGN_OR_RETURN(others[name], store::to_info(row));
  }
  ASSIGN_OR_RETURN(auto mounts, containers::all_mounts(subject.spec, subject.image.config, others));
  ASSIGN_OR_RETURN(const auto names, from_json<StringMap>(subject.record.volumes_json));
  for (auto& mount : mounts) {
    if (mount.type == MountType::tmpfs) continue;
    if (mount.type == MountType::bind && ::access(mount.source.c_str(), F_OK) != 0) continue;
    if (mount.type == MountType::image) {
      ASSIGN_OR_RETURN(const auto source, images::ImageStore(store).resolve(mount.source));
      options.image_mounts[mount.source] = source.layer_dirs;
    }
    if (mount.type == MountType::volume) {
      if (const auto named = names.find(mount.target); mount.source.empty() && named != names.end()) mount.source = named->second;
      ASSIGN_OR_RETURN(const auto row, store.volume(mount.source));
      if (!row) return base::make_error(ErrorKind::not_found, "volume " + mount.source + " not found");
      ASSIGN_OR_RETURN(auto volume, from_json<VolumeSpec>(row->spec_json));
      options.volumes.emplace(mount.source, std::move(volume));
    }
    options.mounts.push_back(std::move(mount));
  }
  // Outer ones first, so that those below land in them.
  std::stable_sort(options.mounts.begin(), options.mounts.end(), [](const auto& a, const auto& b) { return a.target < b.target; });
  return options;
}

/// The mount point of `target`, made when the container was never started. A link in its way is followed inside the root.
Result<UniqueFd> mount_point(Fd root, const std::filesystem::path& target, bool directory) {
  auto there = base::sys::openat2(root, target.relative_path().empty() ? "." : target.relative_path(), O_PATH, inside);
  if (there || there.error().kind != ErrorKind::not_found || !target.has_relative_path()) return there;
  ASSIGN_OR_RETURN(const auto parent, mount_point(root, target.parent_path(), true));
  const auto name = target.filename().string();
  if (directory) {
    TRY(base::sys::wrap("make " + target.string(), ::mkdirat(parent.number(), name.c_str(), 0755)));
  } else {
    ASSIGN_OR_RETURN(const auto made, base::sys::openat(parent.borrow(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0755));
  }
  return base::sys::openat2(parent.borrow(), name, O_PATH | O_NOFOLLOW, inside);
}

Result<> attach(Fd tree, Fd where, const std::string& what) {
  const auto done = ::move_mount(tree.number(), "", where.number(), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
  TRY(base::sys::wrap("mount " + what, done));
  return {};
}

Result<UniqueFd> open_stopped(store::Store& store, const Subject& subject) {
  ASSIGN_OR_RETURN(const auto options, mount_options(store, subject));
  const auto scratch = paths::container(subject.record.id);
  TRY(base::sys::wrap("unshare the mount namespace", ::unshare(CLONE_NEWNS)));
  TRY(base::sys::wrap("make mounts private", ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr)));
  ASSIGN_OR_RETURN(const auto tree, containers::open_stopped_root(subject.record.id, subject.image.layer_dirs));
  containers::FdTable fds(0);
  ContainerSpec plain = subject.spec;
  plain.files.clear();
  ASSIGN_OR_RETURN(const auto mounts, containers::open_mounts({.spec = plain, .options = options, .root = tree.borrow(), .run_dir = {}}, fds));
  {
    // Any folder does: nobody else sees this namespace.
    ASSIGN_OR_RETURN(const auto where, base::sys::open(scratch, O_PATH | O_DIRECTORY));
    TRY(attach(tree.borrow(), where.borrow(), "the root"));
  }
  ASSIGN_OR_RETURN(auto root, base::sys::open(scratch, O_RDONLY | O_DIRECTORY));
  std::size_t next = 0;
  for (const auto& mount : mounts) {
    const Fd opened = fds.fds.at(next++).fd.borrow();  // all of them are trees: tmpfs was left out
    struct stat info {};
    TRY(base::sys::wrap("stat " + mount.destination, ::fstat(opened.number(), &info)));
    ASSIGN_OR_RETURN(const auto where, mount_point(root.borrow(), mount.destination, S_ISDIR(info.st_mode)));
    TRY(attach(opened, where.borrow(), mount.destination));
  }
  return root;
}

}  // namespace

bool Subject::runs() const {
  const auto state = record.run.state;
  return (state == ContainerState::running || state == ContainerState::paused) && store::process_runs(record.run);
}

Result<Subject> find(store::Store& store, const std::string& name_or_id) {
  ASSIGN_OR_RETURN(auto record, store.find_container(name_or_id));
  ASSIGN_OR_RETURN(auto spec, from_json<ContainerSpec>(record.spec_json));
  ASSIGN_OR_RETURN(auto image, images::ImageStore(store).by_id(record.image_id));
  return Subject{std::move(record), std::move(spec), std::move(image)};
}

Result<UniqueFd> open_view(store::Store& store, const Subject& subject) {
  if (!subject.runs()) return open_stopped(store, subject).with("container " + subject.record.name);
  return base::sys::open("/proc/" + std::to_string(subject.record.run.pid) + "/root", O_RDONLY | O_DIRECTORY);
}

Result<UniqueFd> open_own_root(const Subject& subject) {
  if (!subject.runs()) return base::make_error(ErrorKind::unavailable, "container " + subject.record.name + " is not running");
  ASSIGN_OR_RETURN(const auto tree, volumes::clone_from(subject.record.run.pid, "/", false));
  return base::sys::openat(tree.borrow(), ".", O_RDONLY | O_DIRECTORY);
}

}  // namespace engine::files
