// Sources: POSIX ustar and PAX; image-spec layer.md (whiteouts); kernel overlayfs.rst.
#include "engine/registry/pack.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/sys.h"
#include "engine/registry/gzip_writer.h"
#include "engine/registry/hash.h"
#include "engine/registry/tar_writer.h"

namespace engine::registry {

using base::Fd;
using base::UniqueFd;

namespace {

constexpr int depth_max = 4000;

bool is_whiteout(const struct stat& info) { return S_ISCHR(info.st_mode) && info.st_rdev == 0; }

bool is_opaque(Fd directory) {
  for (const char* name : {"trusted.overlay.opaque", "user.overlay.opaque"}) {
    std::array<char, 2> value{};
    if (fgetxattr(directory.number(), name, value.data(), value.size()) == 1 && (value[0] == 'y' || value[0] == 'x')) return true;
  }
  return false;
}

/// Attributes that belong to the content: not overlay's bookkeeping, nor this machine's security labels.
template <class List, class Get>
Result<std::vector<std::pair<std::string, std::string>>> read_xattrs(List list, Get get) {
  std::vector<std::pair<std::string, std::string>> all;
  std::string names(65536, '\0');
  const auto length = list(names.data(), names.size());
  if (length <= 0) return all;
  for (std::size_t at = 0; at < static_cast<std::size_t>(length);) {
    const std::string name(names.c_str() + at);
    at += name.size() + 1;
    if (name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.") || name == "security.selinux") continue;
    std::string value(65536, '\0');
    const auto size = get(name.c_str(), value.data(), value.size());
    if (size < 0) continue;
    value.resize(static_cast<std::size_t>(size));
    all.emplace_back(name, std::move(value));
  }
  std::sort(all.begin(), all.end());
  return all;
}

class Packer {
 public:
  Packer(TarWriter& writer, const PackOptions& options) : writer_(writer), options_(options) {}

  Result<> directory(Fd folder, const std::string& path, int depth) {
    if (depth > depth_max) return base::make_error(base::ErrorKind::invalid, "directories nested too deep: " + path.substr(0, 200));
    ASSIGN_OR_RETURN(const auto names, names_in(folder, path));
    for (const auto& name : names) TRY(entry(folder, name, path.empty() ? name : path + "/" + name, depth));
    return {};
  }

  Result<> root(Fd folder) {
    struct stat info {};
    TRY(base::sys::wrap("stat", fstat(folder.number(), &info)));
    // An ordinary root is left out, as Docker does: its time alone would make equal layers differ.
    if ((info.st_mode & 07777U) != 0755 || info.st_uid != 0 || info.st_gid != 0) {
      auto header = header_of(info, "./");
      header.type = TarHeader::Type::directory;
      TRY(write_directory(folder, std::move(header)));
    }
    if (options_.layer && is_opaque(folder)) TRY(writer_.header({.type = TarHeader::Type::file, .name = ".wh..wh..opq"}));
    return directory(folder, "", 0);
  }

  Result<> entry(Fd folder, const std::string& name, const std::string& path, int depth) {
    struct stat info {};
    TRY(base::sys::wrap("stat " + path, fstatat(folder.number(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW)));
    if (options_.layer && is_whiteout(info)) {
      const auto slash = path.rfind('/');
      const auto parent = slash == std::string::npos ? "" : path.substr(0, slash + 1);
      // A whiteout has no owner and no time of its own: unpacking keeps none.
      return writer_.header({.name = parent + ".wh." + name});
    }
    if (S_ISSOCK(info.st_mode)) return {};
    if (S_ISDIR(info.st_mode)) {
      ASSIGN_OR_RETURN(const auto inner, base::sys::openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      auto header = header_of(info, path + "/");
      header.type = TarHeader::Type::directory;
      TRY(write_directory(inner.borrow(), std::move(header)));
      if (options_.layer && is_opaque(inner.borrow())) TRY(writer_.header({.type = TarHeader::Type::file, .name = path + "/.wh..wh..opq"}));
      return directory(inner.borrow(), path, depth + 1);
    }
    auto header = header_of(info, path);
    if (info.st_nlink > 1) {
      const auto [first, fresh] = links_.try_emplace({info.st_dev, info.st_ino}, path);
      if (!fresh) {
        header.type = TarHeader::Type::hard_link;
        header.link = first->second;
        return writer_.header(header);
      }
    }
    if (S_ISREG(info.st_mode)) return file(folder, name, std::move(header), info.st_size);
    return special(folder, name, std::move(header), info);
  }

  [[nodiscard]] std::int64_t content_bytes() const { return content_bytes_; }

 private:
  static Result<std::vector<std::string>> names_in(Fd folder, const std::string& path) {
    ASSIGN_OR_RETURN(auto copy, base::sys::openat(folder, ".", O_RDONLY | O_DIRECTORY));
    DIR* stream = fdopendir(copy.release());
    if (stream == nullptr) return base::errno_error(errno, "read directory " + path);
    std::vector<std::string> names;
    while (const dirent* one = readdir(stream)) {
      std::string name(one->d_name);
      if (name != "." && name != "..") names.push_back(std::move(name));
    }
    closedir(stream);
    std::sort(names.begin(), names.end());
    return names;
  }

  TarHeader header_of(const struct stat& info, std::string name) const {
    TarHeader header{.name = std::move(name), .mode = info.st_mode & 07777U, .uid = info.st_uid, .gid = info.st_gid,
                     .mtime_s = info.st_mtim.tv_sec, .mtime_ns = info.st_mtim.tv_nsec};
    if (options_.clamp_mtime_s && header.mtime_s >= *options_.clamp_mtime_s) {
      header.mtime_s = *options_.clamp_mtime_s;
      header.mtime_ns = 0;
    }
    return header;
  }

  Result<> write_directory(Fd folder, TarHeader header) {
    const int fd = folder.number();
    ASSIGN_OR_RETURN(header.xattrs, read_xattrs([&](char* at, std::size_t size) { return flistxattr(fd, at, size); },
                                                [&](const char* name, char* at, std::size_t size) { return fgetxattr(fd, name, at, size); }));
    return writer_.header(header);
  }

  Result<> special(Fd folder, const std::string& name, TarHeader header, const struct stat& info) {
    const auto path = "/proc/self/fd/" + std::to_string(folder.number()) + "/" + name;
    ASSIGN_OR_RETURN(header.xattrs, read_xattrs([&](char* at, std::size_t size) { return llistxattr(path.c_str(), at, size); },
                                                [&](const char* key, char* at, std::size_t size) { return lgetxattr(path.c_str(), key, at, size); }));
    if (S_ISLNK(info.st_mode)) {
      header.type = TarHeader::Type::symlink;
      header.link.resize(PATH_MAX);
      const auto length = readlinkat(folder.number(), name.c_str(), header.link.data(), header.link.size());
      if (length < 0) return base::errno_error(errno, "read link " + header.name);
      header.link.resize(static_cast<std::size_t>(length));
    } else if (S_ISFIFO(info.st_mode)) {
      header.type = TarHeader::Type::fifo;
    } else {
      header.type = S_ISCHR(info.st_mode) ? TarHeader::Type::character : TarHeader::Type::block;
      header.device_major = major(info.st_rdev);
      header.device_minor = minor(info.st_rdev);
    }
    return writer_.header(header);
  }

  Result<> file(Fd folder, const std::string& name, TarHeader header, std::int64_t size) {
    ASSIGN_OR_RETURN(const auto fd, base::sys::openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    const int number = fd.number();
    ASSIGN_OR_RETURN(header.xattrs, read_xattrs([&](char* at, std::size_t room) { return flistxattr(number, at, room); },
                                                [&](const char* key, char* at, std::size_t room) { return fgetxattr(number, key, at, room); }));
    header.size = size;
    TRY(writer_.header(header));
    buffer_.resize(256 * 1024);
    for (auto left = size; left > 0;) {
      ASSIGN_OR_RETURN(const auto count, base::sys::read(fd.borrow(), std::span(buffer_).first(std::min<std::size_t>(buffer_.size(), static_cast<std::size_t>(left)))));
      if (count == 0) return base::make_error(base::ErrorKind::invalid, header.name + " became smaller while it was read");
      TRY(writer_.data(std::span(buffer_).first(count)));
      left -= static_cast<std::int64_t>(count);
    }
    content_bytes_ += size;
    return writer_.end_data(size);
  }

  TarWriter& writer_;
  const PackOptions& options_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
  std::vector<char> buffer_;
  std::int64_t content_bytes_ = 0;
};

}  // namespace

namespace {

Result<Packed> run(const ByteSink& sink, const PackOptions& options, const std::function<Result<>(Packer&)>& walk) {
  Hasher tar_hash, blob_hash;
  Packed packed;
  GzipWriter gzip([&](std::span<const char> bytes) -> Result<> {
    blob_hash.update(bytes);
    packed.blob_bytes += static_cast<std::int64_t>(bytes.size());
    return sink ? sink({bytes.data(), bytes.size()}) : Result<>();
  });
  TarWriter writer([&](std::span<const char> bytes) -> Result<> {
    tar_hash.update(bytes);
    packed.tar_bytes += static_cast<std::int64_t>(bytes.size());
    if (options.gzip) return gzip.write(bytes);
    return sink ? sink({bytes.data(), bytes.size()}) : Result<>();
  });
  Packer packer(writer, options);
  TRY(walk(packer));
  TRY(writer.finish());
  if (options.gzip) {
    TRY(gzip.finish());
    packed.blob_digest = blob_hash.finish();
  }
  packed.diff_id = tar_hash.finish();
  packed.content_bytes = packer.content_bytes();
  return packed;
}

}  // namespace

Result<Packed> pack(Fd directory, const ByteSink& sink, const PackOptions& options) {
  return run(sink, options, [&](Packer& packer) { return packer.root(directory); });
}

Result<Packed> pack_entry(Fd directory, const std::string& name, const std::string& as, const ByteSink& sink, const PackOptions& options) {
  return run(sink, options, [&](Packer& packer) { return packer.entry(directory, name, as, 0); });
}

}  // namespace engine::registry
