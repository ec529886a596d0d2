#pragma once
// Tar entries → files below one directory. Private to the room.
#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/registry/tar.h"
#include "engine/registry/unpack.h"

namespace engine::registry {

/// Every name is resolved from the root's descriptor: parents by openat2(RESOLVE_IN_ROOT), the last component never
/// followed. So "..", absolute links and links planted by earlier entries stay inside, whatever their order.
class Extractor {
 public:
  Extractor(base::Fd root, const UnpackOptions& options) : root_(root), options_(options) {}
  Result<> apply(const TarEntry& entry, TarReader& reader);
  /// Times of directories, once nothing changes them any more.
  Result<> finish();

  [[nodiscard]] std::int64_t content_bytes() const { return content_bytes_; }
  [[nodiscard]] std::int64_t entries() const { return entries_; }

 private:
  struct Parent {
    std::string path;
    base::UniqueFd fd;
    bool set_gid = false;
    bool known = false;
  };
  struct DirectoryTimes {
    std::string path;
    std::int64_t mtime_s, mtime_ns;
    std::uint32_t mode;
    bool set_mode;
  };

  Result<> make(const TarEntry& entry, const std::string& path, TarReader& reader);
  Result<> whiteout(const std::string& parent, const std::string& name);
  Result<> directory(const TarEntry& entry, const std::string& path, const std::string& name);
  Result<> file(const TarEntry& entry, const std::string& name, TarReader& reader);
  Result<> contents(const TarEntry& entry, base::Fd file, TarReader& reader);
  Result<> hard_link(const TarEntry& entry, const std::string& name);
  Result<> link_attributes(const TarEntry& entry, const std::string& name, bool symbolic);
  Result<> copy_from_below(const std::string& target, const std::string& name);
  Result<> special(const TarEntry& entry, const std::string& name);
  /// Owner, mode, xattrs and times of something that is not a directory and was just made.
  Result<> attributes(const TarEntry& entry, const std::string& name);
  Result<> owner_and_mode(const TarEntry& entry, base::Fd fd);
  static Result<> xattrs_at(const TarEntry& entry, int folder, const std::string& name);
  Result<> xattrs(const TarEntry& entry, base::Fd fd);

  /// Opens (making what is missing) the folder `path`, and remembers it for the next entry.
  Result<> enter(const std::string& path);
  Result<> make_link_target(const std::string& path, const std::string& name);
  Result<base::UniqueFd> open_directory(const std::string& path);
  /// Runs `create` (a syscall's result); when something is in the way, removes that and tries again.
  template <class Create>
  Result<> replacing(const std::string& name, const std::string& what, Create create);
  Result<> remove_entry(base::Fd directory, const std::string& name);
  /// keep_kinds: whether something that is (or is not) a directory may take the place of what the parent has as `name`.
  Result<> check_kind(const std::string& name, bool directory) const;

  base::Fd root_;
  const UnpackOptions& options_;
  Parent parent_;
  std::vector<DirectoryTimes> directories_;
  int links_followed_ = 0;  ///< within one another
  std::int64_t content_bytes_ = 0, entries_ = 0;
};

/// "a//b/./c" → "a/b/c", "/" → "". Errors: invalid for "..", NUL, over-long names or too many levels.
Result<std::string> clean_path(std::string_view name, int depth_max);

}  // namespace engine::registry
