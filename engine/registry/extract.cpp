// Sources: image-spec layer.md (whiteouts); kernel overlayfs.rst (0:0 devices, trusted.overlay.opaque); openat2(2).
#include "engine/registry/extract.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/sys.h"

namespace engine::registry {

using base::ErrorKind;
using base::Fd;
using base::UniqueFd;

namespace {

constexpr std::uint64_t inside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
constexpr const char* opaque_name = "trusted.overlay.opaque";

base::Error hostile(const std::string& what) { return base::make_error(ErrorKind::invalid, what); }

bool is_whiteout(const struct stat& info) { return S_ISCHR(info.st_mode) && info.st_rdev == 0; }

Result<> mark_opaque(Fd directory) {
  if (fsetxattr(directory.number(), opaque_name, "y", 1, 0) != 0) return base::errno_error(errno, "mark a directory opaque");
  return {};
}

timespec time_of(std::int64_t seconds, std::int64_t nanoseconds) {
  timespec time{};
  time.tv_sec = seconds;
  time.tv_nsec = nanoseconds;
  return time;
}

}  // namespace

Result<std::string> clean_path(std::string_view name, int depth_max) {
  const auto shown = std::string(name.substr(0, 200));
  if (name.find('\0') != std::string_view::npos) return hostile("a name with a NUL byte: '" + shown + "'");
  std::string out;
  out.reserve(name.size());
  int depth = 0;
  while (!name.empty()) {
    const auto slash = name.find('/');
    const auto part = name.substr(0, slash);
    name = slash == std::string_view::npos ? std::string_view() : name.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == "..") return hostile("the entry '" + shown + "' tries to leave the root");
    if (part.size() > NAME_MAX) return hostile("a name longer than 255 bytes: '" + shown + "'");
    if (++depth > depth_max) return hostile("directories nested too deep: '" + shown + "'");
    if (!out.empty()) out += '/';
    out += part;
  }
  if (out.size() >= PATH_MAX) return hostile("a path longer than 4095 bytes: '" + shown + "'");
  return out;
}

Result<UniqueFd> Extractor::open_directory(const std::string& path) {
  return base::sys::openat2(root_, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, inside);
}

Result<> Extractor::enter(const std::string& path) {
  if (parent_.known && parent_.path == path) return {};
  parent_.known = false;
  auto opened = open_directory(path);
  if (!opened) {
    // Missing (or whited out earlier in this archive): made with its own missing parents, mode 0755, owner 0:0.
    const int number = opened.error().number;
    if ((number != ENOENT && number != ENOTDIR) || path.empty()) return std::move(opened).error();
    const auto slash = path.rfind('/');
    const auto name = slash == std::string::npos ? path : path.substr(slash + 1);
    TRY(enter(slash == std::string::npos ? "" : path.substr(0, slash)));
    TarEntry missing;
    missing.mode = 0755;
    missing.uid = options_.keep_owner ? 0 : options_.uid;
    missing.gid = options_.keep_owner ? 0 : options_.gid;
    struct stat info {};
    bool opaque = false;
    if (fstatat(parent_.fd.number(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
      if (S_ISLNK(info.st_mode)) {
        TRY(make_link_target(path, name));
        return enter(path);
      }
      opaque = is_whiteout(info);
      TRY(check_kind(name, true));
      TRY(base::sys::wrap("replace " + path, unlinkat(parent_.fd.number(), name.c_str(), 0)));
    }
    TRY(base::sys::wrap("make directory " + path, mkdirat(parent_.fd.number(), name.c_str(), 0755)));
    parent_.known = false;
    ASSIGN_OR_RETURN(auto made, open_directory(path));
    TRY(owner_and_mode(missing, made.borrow()));
    if (opaque) TRY(mark_opaque(made.borrow()));
    opened = std::move(made);
  }
  struct stat info {};
  TRY(base::sys::wrap("stat " + path, fstat(opened->number(), &info)));
  parent_ = {.path = path, .fd = *std::move(opened), .set_gid = (info.st_mode & S_ISGID) != 0, .known = true};
  return {};
}

/// A parent that is a link to what is not there: as for Docker, the folder it means is made, inside the root.
Result<> Extractor::make_link_target(const std::string& path, const std::string& name) {
  constexpr int links_max = 40;  // as the kernel's
  if (++links_followed_ > links_max) return hostile("the parent of an entry is a link without an end: '" + path + "'");
  std::array<char, PATH_MAX> text{};
  const auto length = readlinkat(parent_.fd.number(), name.c_str(), text.data(), text.size());
  if (length < 0) return base::errno_error(errno, "readlink " + path);
  const std::string_view target(text.data(), static_cast<std::size_t>(length));
  std::filesystem::path whole = target.starts_with('/') ? std::filesystem::path(target) : ("/" + path) / std::filesystem::path("..") / target;
  whole = whole.lexically_normal();  // ".." above the root is the root
  ASSIGN_OR_RETURN(const auto clean, clean_path(whole.string(), options_.limits.depth_max));
  if (clean.empty() || clean == path) return hostile("the parent of an entry is a link without an end: '" + path + "'");
  TRY(enter(clean));
  parent_.known = false;
  // Reached by another way than the link's own: what is in between is no folder.
  ASSIGN_OR_RETURN(const auto there, open_directory(path).with("the parent of an entry is a link to nowhere"));
  --links_followed_;
  return {};
}

Result<> Extractor::apply(const TarEntry& entry, TarReader& reader) {
  if (++entries_ > options_.limits.entries_max) return base::make_error(ErrorKind::exhausted, "the archive has too many entries");
  if (entry.type == TarEntry::Type::unknown) return {};  // vendor extensions: POSIX lets a reader pass over them
  ASSIGN_OR_RETURN(const auto path, clean_path(entry.name, options_.limits.depth_max));
  return make(entry, path, reader).with("unpacking '" + path + "'");
}

Result<> Extractor::make(const TarEntry& entry, const std::string& path, TarReader& reader) {
  const auto slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "" : path.substr(0, slash);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (path.empty()) {
    if (entry.type != TarEntry::Type::directory) return hostile("the root is not a directory");
    if (!options_.keep_top) return {};
    return directory(entry, path, name);
  }
  TRY(enter(parent));
  if (options_.whiteouts == Whiteouts::to_overlay && name.starts_with(".wh.")) return whiteout(parent, name.substr(4));
  switch (entry.type) {
    case TarEntry::Type::directory: return directory(entry, path, name);
    case TarEntry::Type::file: return file(entry, name, reader);
    case TarEntry::Type::hard_link: return hard_link(entry, name);
    case TarEntry::Type::symlink:
      if (entry.link.empty() || entry.link.find('\0') != std::string::npos) return hostile("a link without a target");
      TRY(replacing(name, "link", [&] { return symlinkat(entry.link.c_str(), parent_.fd.number(), name.c_str()); }));
      return attributes(entry, name);
    default: return special(entry, name);
  }
}

/// Whiteouts speak of lower layers only, wherever in the archive they stand: what this layer itself holds stays.
Result<> Extractor::whiteout(const std::string& parent, const std::string& name) {
  if (name == ".wh..opq") return mark_opaque(parent_.fd.borrow());
  if (name.starts_with(".wh.")) return {};  // aufs' own bookkeeping
  if (name.empty() || name == "." || name == "..") return hostile("a whiteout without a name in '" + parent + "'");
  if (mknodat(parent_.fd.number(), name.c_str(), S_IFCHR | 0000, 0) == 0) return {};
  if (errno != EEXIST) return base::errno_error(errno, "make a whiteout");
  auto existing = base::sys::openat(parent_.fd.borrow(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (existing) return mark_opaque(existing->borrow());  // hides what the lower layers have in it
  return {};
}

Result<> Extractor::remove_entry(Fd directory, const std::string& name) {
  if (unlinkat(directory.number(), name.c_str(), 0) == 0) return {};
  if (errno != EISDIR && errno != EPERM) return base::errno_error(errno, "replace " + name);
  ASSIGN_OR_RETURN(auto inner, base::sys::openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  const Fd held(inner.number());
  DIR* stream = fdopendir(inner.release());
  if (stream == nullptr) return base::errno_error(errno, "read " + name);
  Result<> result;
  while (const dirent* one = readdir(stream)) {
    const std::string child(one->d_name);
    if (child == "." || child == "..") continue;
    result = remove_entry(held, child);
    if (!result) break;
  }
  closedir(stream);
  TRY(std::move(result));
  TRY(base::sys::wrap("replace " + name, unlinkat(directory.number(), name.c_str(), AT_REMOVEDIR)));
  return {};
}

Result<> Extractor::check_kind(const std::string& name, bool directory) const {
  if (!options_.keep_kinds) return {};
  struct stat info {};
  if (fstatat(parent_.fd.number(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(info.st_mode) == directory) return {};
  return base::make_error(ErrorKind::exists, directory ? "cannot overwrite non-directory '" + name + "' with a directory"
                                                       : "cannot overwrite directory '" + name + "' with a non-directory");
}

template <class Create>
Result<> Extractor::replacing(const std::string& name, const std::string& what, Create create) {
  if (create() == 0) return {};
  if (errno == EEXIST) {
    TRY(check_kind(name, false));
    TRY(remove_entry(parent_.fd.borrow(), name));  // duplicate entries: the last one wins
    if (create() == 0) return {};
  }
  return base::errno_error(errno, "make " + what);
}

namespace {
/// EINVAL is a user namespace's way to say that it has no such id. Source: user_namespaces(7).
base::Error owner_error(int number, std::uint32_t uid, std::uint32_t gid) {
  const auto owner = std::to_string(uid) + ":" + std::to_string(gid);
  if (number == EINVAL) return base::make_error(ErrorKind::permission, "owner " + owner + " is outside of what this user namespace maps (/etc/subuid, /etc/subgid)");
  return base::errno_error(number, "set owner " + owner);
}
}  // namespace

Result<> Extractor::owner_and_mode(const TarEntry& entry, Fd fd) {
  const auto uid = options_.keep_owner ? entry.uid : options_.uid, gid = options_.keep_owner ? entry.gid : options_.gid;
  // A directory with the set-group-ID bit hands its group down, so then the owner is always set.
  if (uid != geteuid() || gid != getegid() || parent_.set_gid)
    if (fchown(fd.number(), uid, gid) != 0)
      return owner_error(errno, uid, gid);
  // After chown, which clears set-user-ID.
  if (fchmod(fd.number(), entry.mode) != 0) return base::errno_error(errno, "set mode");
  return {};
}

Result<> Extractor::xattrs(const TarEntry& entry, Fd fd) {
  for (const auto& [name, value] : entry.xattrs) {
    // Overlay's own marks would let a layer hide or redirect what it does not own.
    if (name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.")) continue;
    if (fsetxattr(fd.number(), name.c_str(), value.data(), value.size(), 0) == 0) continue;
    // Another machine's security labels, and attributes this file system or file type cannot hold.
    if (errno == ENOTSUP || errno == EOPNOTSUPP || (errno == EPERM && !name.starts_with("security.capability"))) continue;
    return base::errno_error(errno, "set attribute " + name.substr(0, 100));
  }
  return {};
}

Result<> Extractor::directory(const TarEntry& entry, const std::string& path, const std::string& name) {
  UniqueFd fd;
  bool opaque = false;
  if (path.empty()) {
    parent_ = {};
    ASSIGN_OR_RETURN(fd, open_directory(path));
  } else {
    if (mkdirat(parent_.fd.number(), name.c_str(), 0700) != 0) {
      if (errno != EEXIST) return base::errno_error(errno, "make directory");
      struct stat info {};
      TRY(base::sys::wrap("stat", fstatat(parent_.fd.number(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW)));
      if (!S_ISDIR(info.st_mode)) {
        TRY(check_kind(name, true));
        opaque = is_whiteout(info);
        TRY(remove_entry(parent_.fd.borrow(), name));
        TRY(base::sys::wrap("make directory", mkdirat(parent_.fd.number(), name.c_str(), 0700)));
      }
    }
    ASSIGN_OR_RETURN(fd, base::sys::openat(parent_.fd.borrow(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  }
  // Without root's powers a directory that its owner may not enter would refuse its own children: the mode comes last.
  const bool later = geteuid() != 0 && (entry.mode & 0700U) != 0700U;
  TarEntry now = entry;
  if (later) now.mode |= 0700U;
  TRY(owner_and_mode(now, fd.borrow()));
  TRY(xattrs(entry, fd.borrow()));
  if (opaque) TRY(mark_opaque(fd.borrow()));
  directories_.push_back({.path = path, .mtime_s = entry.mtime_s, .mtime_ns = entry.mtime_ns, .mode = entry.mode, .set_mode = later});
  // Most archives name a directory right before what is in it.
  if (!path.empty()) parent_ = {.path = path, .fd = std::move(fd), .set_gid = (entry.mode & S_ISGID) != 0, .known = true};
  return {};
}

Result<> Extractor::file(const TarEntry& entry, const std::string& name, TarReader& reader) {
  if (entry.size > options_.limits.bytes_max - content_bytes_)
    return base::make_error(ErrorKind::exhausted, "the archive's files are larger than the limit");
  UniqueFd fd;
  TRY(replacing(name, "file", [&] {
    fd = UniqueFd(openat(parent_.fd.number(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    return fd.valid() ? 0 : -1;
  }));
  TRY(contents(entry, fd.borrow(), reader));
  content_bytes_ += entry.size;
  TRY(owner_and_mode(entry, fd.borrow()));
  TRY(xattrs(entry, fd.borrow()));
  const std::array times{time_of(entry.mtime_s, entry.mtime_ns), time_of(entry.mtime_s, entry.mtime_ns)};
  TRY(base::sys::wrap("set times", futimens(fd.number(), times.data())));
  return {};
}

Result<> Extractor::contents(const TarEntry& entry, Fd file, TarReader& reader) {
  if (!entry.sparse) {
    for (;;) {
      ASSIGN_OR_RETURN(const auto piece, reader.data());
      if (piece.empty()) return {};
      TRY(base::sys::write_all(file, {piece.data(), piece.size()}));
    }
  }
  TRY(base::sys::wrap("set size", ftruncate(file.number(), entry.size)));
  std::span<const char> piece;
  for (const auto& extent : entry.extents) {
    TRY(base::sys::wrap("seek", lseek(file.number(), extent.offset, SEEK_SET)));
    for (auto left = extent.size; left > 0;) {
      if (piece.empty()) {
        ASSIGN_OR_RETURN(piece, reader.data());
        if (piece.empty()) return hostile("a sparse file ends too early");
      }
      const auto step = std::min<std::size_t>(piece.size(), static_cast<std::size_t>(left));
      TRY(base::sys::write_all(file, {piece.data(), step}));
      piece = piece.subspan(step);
      left -= static_cast<std::int64_t>(step);
    }
  }
  return {};
}

Result<> Extractor::hard_link(const TarEntry& entry, const std::string& name) {
  ASSIGN_OR_RETURN(const auto target, clean_path(entry.link, options_.limits.depth_max));
  if (target.empty()) return hostile("a hard link to the root");
  const auto slash = target.rfind('/');
  const auto base_name = slash == std::string::npos ? target : target.substr(slash + 1);
  auto folder = open_directory(slash == std::string::npos ? "" : target.substr(0, slash));
  struct stat info {};
  const bool found = folder && fstatat(folder->number(), base_name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && !is_whiteout(info);
  if (!found) return copy_from_below(target, name);
  struct stat mine {};
  if (fstatat(parent_.fd.number(), name.c_str(), &mine, AT_SYMLINK_NOFOLLOW) == 0 && mine.st_ino == info.st_ino &&
      mine.st_dev == info.st_dev)
    return {};  // already the same file; replacing it would delete the only copy
  // Without AT_SYMLINK_FOLLOW: a link to a symbolic link is one to the link itself.
  TRY(replacing(name, "hard link to '" + target + "'",
                [&] { return linkat(folder->number(), base_name.c_str(), parent_.fd.number(), name.c_str(), 0); }));
  return link_attributes(entry, name, S_ISLNK(info.st_mode));
}

/// The target is in a lower layer: the file is copied up, as overlay itself would.
Result<> Extractor::copy_from_below(const std::string& target, const std::string& name) {
  if (!options_.open_below) return hostile("a hard link to '" + target + "', which does not exist");
  ASSIGN_OR_RETURN(const auto source, options_.open_below(target));
  struct stat info {};
  TRY(base::sys::wrap("stat '" + target + "'", fstat(source.number(), &info)));
  if (!S_ISREG(info.st_mode)) return hostile("a hard link to '" + target + "' of a lower layer, which is not a file");
  UniqueFd fd;
  TRY(replacing(name, "file", [&] {
    fd = UniqueFd(openat(parent_.fd.number(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    return fd.valid() ? 0 : -1;
  }));
  for (;;) {
    const auto copied = copy_file_range(source.number(), nullptr, fd.number(), nullptr, 1U << 30U, 0);
    if (copied == 0) break;
    if (copied < 0) return base::errno_error(errno, "copy '" + target + "'");
  }
  content_bytes_ += info.st_size;
  TarEntry entry;
  entry.mode = info.st_mode & 07777U;
  entry.uid = info.st_uid;
  entry.gid = info.st_gid;
  std::array<char, 4096> names{};
  const auto length = flistxattr(source.number(), names.data(), names.size());
  for (ssize_t at = 0; at < length;) {
    const std::string attribute(names.data() + at);
    std::string value(65536, '\0');
    const auto size = fgetxattr(source.number(), attribute.c_str(), value.data(), value.size());
    if (size >= 0) entry.xattrs.emplace_back(attribute, value.substr(0, static_cast<std::size_t>(size)));
    at += static_cast<ssize_t>(attribute.size()) + 1;
  }
  TRY(owner_and_mode(entry, fd.borrow()));
  TRY(xattrs(entry, fd.borrow()));
  const std::array times{info.st_mtim, info.st_mtim};
  TRY(base::sys::wrap("set times", futimens(fd.number(), times.data())));
  return {};
}

/// Of what is not opened; a link is not followed.
Result<> Extractor::xattrs_at(const TarEntry& entry, int folder, const std::string& name) {
  const auto path = "/proc/self/fd/" + std::to_string(folder) + "/" + name;
  for (const auto& [key, value] : entry.xattrs) {
    if (key.starts_with("trusted.overlay.") || key.starts_with("user.overlay.")) continue;
    if (lsetxattr(path.c_str(), key.c_str(), value.data(), value.size(), 0) == 0) continue;
    if (errno == ENOTSUP || errno == EOPNOTSUPP || errno == EPERM) continue;
    return base::errno_error(errno, "set attribute " + key.substr(0, 100));
  }
  return {};
}

/// What the entry of a hard link says of owner, mode and time holds for the file, as for Docker and containerd; a link to a
/// symbolic link can only change the owner.
Result<> Extractor::link_attributes(const TarEntry& entry, const std::string& name, bool symbolic) {
  const int folder = parent_.fd.number();
  const auto uid = options_.keep_owner ? entry.uid : options_.uid, gid = options_.keep_owner ? entry.gid : options_.gid;
  struct stat now {};
  TRY(base::sys::wrap("stat", fstatat(folder, name.c_str(), &now, AT_SYMLINK_NOFOLLOW)));
  const bool chowned = now.st_uid != uid || now.st_gid != gid;
  if (chowned && fchownat(folder, name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) return owner_error(errno, uid, gid);
  if (symbolic) return {};
  // Not a symbolic link, in a folder nobody else can write to.
  if (chowned || (now.st_mode & 07777U) != entry.mode) TRY(base::sys::wrap("set mode", fchmodat(folder, name.c_str(), entry.mode, 0)));
  TRY(xattrs_at(entry, folder, name));
  const std::array times{time_of(entry.mtime_s, entry.mtime_ns), time_of(entry.mtime_s, entry.mtime_ns)};
  TRY(base::sys::wrap("set times", utimensat(folder, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW)));
  return {};
}

Result<> Extractor::special(const TarEntry& entry, const std::string& name) {
  mode_t type = S_IFIFO;
  dev_t device = 0;
  if (entry.type == TarEntry::Type::character || entry.type == TarEntry::Type::block) {
    type = entry.type == TarEntry::Type::character ? S_IFCHR : S_IFBLK;
    device = makedev(entry.device_major, entry.device_minor);
    // It would be a whiteout that the archive did not spell as one.
    if (type == S_IFCHR && device == 0) return hostile("a character device 0:0");
  }
  TRY(replacing(name, "special file", [&] { return mknodat(parent_.fd.number(), name.c_str(), type | 0600, device); }));
  return attributes(entry, name);
}

Result<> Extractor::attributes(const TarEntry& entry, const std::string& name) {
  const int folder = parent_.fd.number();
  const auto uid = options_.keep_owner ? entry.uid : options_.uid, gid = options_.keep_owner ? entry.gid : options_.gid;
  if (fchownat(folder, name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) return owner_error(errno, uid, gid);
  if (entry.type != TarEntry::Type::symlink) {
    // It was just made as a device or FIFO by us, in a folder nobody else can write to: not a link.
    TRY(base::sys::wrap("set mode", fchmodat(folder, name.c_str(), entry.mode, 0)));
  }
  TRY(xattrs_at(entry, folder, name));
  const std::array times{time_of(entry.mtime_s, entry.mtime_ns), time_of(entry.mtime_s, entry.mtime_ns)};
  TRY(base::sys::wrap("set times", utimensat(folder, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW)));
  return {};
}

Result<> Extractor::finish() {
  parent_ = {};
  std::reverse(directories_.begin(), directories_.end());  // of entries for one directory the last counts: set it first …
  std::set<std::string> done;
  for (const auto& one : directories_) {
    if (!done.insert(one.path).second) continue;  // … and skip the earlier ones
    // A later entry may have replaced it, even by a link: then it is not ours to touch.
    auto fd = base::sys::openat2(root_, one.path.empty() ? "." : one.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, inside | RESOLVE_NO_SYMLINKS);
    if (!fd) continue;
    const std::array times{time_of(one.mtime_s, one.mtime_ns), time_of(one.mtime_s, one.mtime_ns)};
    if (one.set_mode) TRY(base::sys::wrap("set mode", fchmod(fd->number(), one.mode)));
    TRY(base::sys::wrap("set times", futimens(fd->number(), times.data())));
  }
  return {};
}

}  // namespace engine::registry
