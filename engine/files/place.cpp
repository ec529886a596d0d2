#include "engine/files/place.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <unistd.h>

#include <filesystem>

#include "base/sys.h"

namespace engine::files {

using base::ErrorKind;
using base::make_error;

namespace {

constexpr int links_max = 40;  // what the kernel allows in one path

struct Split {
  std::string folder, name;
};
Split split(const std::string& path) {
  const std::filesystem::path whole(path);
  if (!whole.has_relative_path()) return {"/", "."};
  return {whole.parent_path().string(), whole.filename().string()};
}

std::string normal(const std::filesystem::path& path) {
  auto text = path.lexically_normal().string();
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

Result<std::string> link_target(const UniqueFd& parent, const std::string& name) {
  std::string text(PATH_MAX, '\0');
  const auto length = ::readlinkat(parent.number(), name.c_str(), text.data(), text.size());
  if (length < 0) return base::errno_error(errno, "read link " + name);
  text.resize(static_cast<std::size_t>(length));
  return text;
}

/// Docker's sentence for a path that is not there.
base::Error missing(const Side& side, const std::string& path, const char* call) {
  return make_error(ErrorKind::not_found, side.container.empty() ? std::string(call) + " " + path + ": no such file or directory"
                                                                 : "Could not find the file " + path + " in container " + side.container);
}

Result<> check_target_kind(const Side& side, const Place& place) {
  if (!place.info || S_ISDIR(place.info->st_mode) || S_ISREG(place.info->st_mode)) return {};
  const bool device = S_ISCHR(place.info->st_mode) || S_ISBLK(place.info->st_mode);
  if (!device && S_ISLNK(place.info->st_mode)) return {};
  const std::string got = device ? "got a device" : "got an irregular file";
  return make_error(ErrorKind::invalid, side.container.empty()
                                            ? "invalid output path: \"" + place.path + "\" must be a directory or a regular file: " + got
                                            : "destination \"" + side.show(place.path) + "\" must be a directory or a regular file: " + got);
}

/// The folder a new name is to be made in is not there, or is no folder.
base::Error no_folder(const Side& side, const std::string& folder, const base::Error& why) {
  if (why.kind != ErrorKind::not_found) {
    return make_error(ErrorKind::invalid, side.container.empty() ? "stat " + folder + ": not a directory" : "extraction point is not a directory");
  }
  if (side.container.empty()) return make_error(ErrorKind::not_found, "invalid output path: directory \"" + folder + "\" does not exist");
  return missing(side, folder, "");
}

}  // namespace

Result<UniqueFd> Side::open(const std::string& path, int flags) const {
  if (container.empty()) return base::sys::open(path, flags);
  const auto relative = std::filesystem::path(path).relative_path();
  return base::sys::openat2(root, relative.empty() ? "." : relative, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

std::string Side::show(const std::string& path) const { return container.empty() ? path : container + ":" + path; }

Written written(const std::string& path, const std::string& current_folder) {
  Written result;
  result.contents = path == "." || path.ends_with("/.");
  result.folder = result.contents || path.ends_with('/') || path.ends_with("/..") || path == "..";
  result.path = normal(std::filesystem::path(current_folder) / path);
  if (result.path == "/") result.contents = true;
  return result;
}

Result<Place> locate(const Side& side, const std::string& path, bool follow) {
  std::string now = normal(path);
  for (int links = 0; links <= links_max; ++links) {
    const auto [folder, name] = split(now);
    auto parent = side.open(folder, O_PATH | O_DIRECTORY);
    if (!parent) return std::move(parent).error();
    Place place{.path = now, .parent = *std::move(parent), .name = name, .info = {}};
    struct stat info {};
    if (::fstatat(place.parent.number(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return place;
      return base::errno_error(errno, "stat " + now);
    }
    place.info = info;
    if (!S_ISLNK(info.st_mode) || !follow) return place;
    ASSIGN_OR_RETURN(const auto target, link_target(place.parent, name));
    // Not lexically: a ".." after a linked folder goes up from where that link leads, which the kernel works out with the folder.
    const std::filesystem::path next(target);
    now = next.is_absolute() ? target : (folder == "/" ? "" : folder) + "/" + target;
    const std::filesystem::path joined(now);
    if (joined.filename().empty() || joined.filename() == "." || joined.filename() == "..") now = normal(joined);
  }
  return make_error(ErrorKind::invalid, side.show(path) + ": too many levels of symbolic links");
}

Result<Source> find_source(const Side& side, const Written& path, bool follow) {
  auto place = locate(side, path.path, follow || path.folder);
  if (!place && place.error().kind == ErrorKind::not_found) return missing(side, path.path, "lstat");
  if (!place) return std::move(place).error();
  if (!place->info) return missing(side, place->path, "lstat");
  if (path.folder && !place->directory()) return make_error(ErrorKind::invalid, side.show(path.path) + ": not a directory");
  return Source{.parent = std::move(place->parent), .name = place->name, .base = path.contents ? "." : split(path.path).name,
                .directory = S_ISDIR(place->info->st_mode)};
}

Result<Target> find_target(const Side& side, const Written& path, bool source_is_directory) {
  auto place = locate(side, path.path, true);
  if (!place) return no_folder(side, split(path.path).folder, place.error());
  TRY(check_target_kind(side, *place));
  if (place->directory()) {
    ASSIGN_OR_RETURN(auto folder, side.open(place->path, O_RDONLY | O_DIRECTORY));
    return Target{.folder = std::move(folder), .rename = {}};
  }
  if (place->info && source_is_directory) return make_error(ErrorKind::invalid, "cannot copy directory");
  if (place->info && path.folder) return make_error(ErrorKind::invalid, side.show(path.path) + ": not a directory");
  if (!place->info && !source_is_directory && path.folder) return make_error(ErrorKind::invalid, "no such directory");
  ASSIGN_OR_RETURN(auto folder, base::sys::openat(place->parent.borrow(), ".", O_RDONLY | O_DIRECTORY));
  return Target{.folder = std::move(folder), .rename = place->name};
}

Result<UniqueFd> find_folder(const Side& side, const Written& path) {
  const auto place = locate(side, path.path, true);
  if (!place || !place->directory()) return make_error(ErrorKind::invalid, "destination \"" + side.show(path.path) + "\" must be a directory");
  return side.open(place->path, O_RDONLY | O_DIRECTORY);
}

}  // namespace engine::files
