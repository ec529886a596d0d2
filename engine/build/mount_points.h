#pragma once
// Mount points a RUN needs but the image must not keep.
#include <sys/stat.h>

#include <string>
#include <vector>

#include "engine/build/tree.h"

namespace engine::build {

/// Makes missing mount points before a RUN and takes them away after it, so that the layer holds only what the command did.
/// BuildKit does the same (executor stubs).
class MountPoints {
 public:
  explicit MountPoints(Fd root) : root_(root) {}
  /// Sees to it that `path` exists, as a folder or as an empty file.
  Result<> need(const std::string& path, bool folder);
  /// Removes what was made here and is still empty; folders that nobody else touched get their times back.
  Result<> remove();
  /// After the overlay is closed: drops folders of the upper layer that are copies of the lower ones with nothing in them.
  Result<> prune(const std::string& upper) const;

 private:
  struct Folder {
    std::string path;
    struct stat before {};    ///< as the layers below have it
    struct stat after {};     ///< when our mount points were made
  };
  Result<> note_folders(const std::string& path);

  Fd root_;
  std::vector<std::pair<std::string, bool>> made_;  ///< path, folder
  std::vector<Folder> touched_;
};

}  // namespace engine::build
