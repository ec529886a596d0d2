#pragma once
// Names on both sides of a copy: what they mean, and what will be called what. Rules of `docker cp`.
// Source: docs.docker.com/reference/cli/docker/container/cp; checked against Docker 28.5.
#include <sys/stat.h>

#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::files {

using base::Result;
using base::UniqueFd;

/// A tree of files: this machine's, or a container's (then no link leads out of `root`).
struct Side {
  base::Fd root;
  std::string container;               ///< its id; "" = this machine

  [[nodiscard]] Result<UniqueFd> open(const std::string& path, int flags) const;
  /// How a person names `path` there.
  [[nodiscard]] std::string show(const std::string& path) const;
};

/// A path as it was written, made absolute and without "." and "..".
struct Written {
  std::string path;                    ///< "/" or "/a/b"
  bool folder = false;                 ///< ended in "/" or "/.": a link there is followed, and what is missing was meant as a folder
  bool contents = false;               ///< ended in "/.": what is in it, not itself
};
Written written(const std::string& path, const std::string& current_folder);

/// Where a path leads.
struct Place {
  std::string path;                    ///< with the last link followed, when that was asked for
  UniqueFd parent;                     ///< of the last component
  std::string name;                    ///< the last component; "." for the root
  std::optional<struct stat> info;     ///< absent: there is nothing of that name
  [[nodiscard]] bool directory() const { return info && S_ISDIR(info->st_mode); }
};
/// Links before the last component are always followed, `follow` says about the last.
/// Errors: not_found (the folder of the last component), invalid (a component is no folder; too many links).
Result<Place> locate(const Side& side, const std::string& path, bool follow);

/// What to copy: the entry `name` of `parent`, called `base` ("." = a folder's contents).
struct Source {
  UniqueFd parent;
  std::string name, base;
  bool directory = false;
};
/// Errors: not_found in Docker's words.
Result<Source> find_source(const Side& side, const Written& path, bool follow);

/// Where to: into `folder`, under the name `rename` ("" = its own).
struct Target {
  UniqueFd folder;
  std::string rename;
};
/// Errors in Docker's words: not_found (the folder of the target), invalid ("cannot copy directory", "no such directory", a device …).
Result<Target> find_target(const Side& side, const Written& path, bool source_is_directory);
/// For an archive that comes from outside: `path` must be a folder that exists.
Result<UniqueFd> find_folder(const Side& side, const Written& path);

}  // namespace engine::files
