#pragma once
// The mount system calls that work on descriptors, and option words as their flags.
#include <sys/mount.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace volumes {

/// open_tree(2) with OPEN_TREE_CLONE: a detached copy of the mount at `path` (relative to `dir`; "" = `dir` itself).
base::Result<base::UniqueFd> clone_tree(base::Fd dir, const std::filesystem::path& path, bool recursive);
/// mount_setattr(2).
struct Attributes {
  std::uint64_t set = 0, clear = 0;  ///< MOUNT_ATTR_…
  std::uint64_t propagation = 0;     ///< MS_PRIVATE …
};
base::Result<> set_attributes(base::Fd mount, const Attributes& attributes, bool recursive);

/// A file system being configured: fsopen(2) → set → mount.
class NewFilesystem {
 public:
  /// Error unsupported: the kernel has no such file system.
  static base::Result<NewFilesystem> open(const std::string& type);
  /// Error invalid with the kernel's own words where it gives them.
  base::Result<> set(const std::string& key, const std::string& value);
  base::Result<> set_flag(const std::string& key);
  base::Result<> set_fd(const std::string& key, base::Fd fd);
  /// fsmount(2) with MOUNT_ATTR_… flags. Detached.
  base::Result<base::UniqueFd> mount(std::uint64_t attributes);

 private:
  NewFilesystem(base::UniqueFd context, std::string type) : context_(std::move(context)), type_(std::move(type)) {}
  base::Error failure(int number, const std::string& what) const;
  base::UniqueFd context_;
  std::string type_;
};

/// Splits "a=1,b,c=2" at the commas.
std::vector<std::string> option_words(const std::string& text);
/// If `word` is a per-mount flag ("nosuid", "exec", "ro" …), applies it to `attributes` (the fsmount bits) and says so.
bool apply_flag(const std::string& word, std::uint64_t& attributes);

}  // namespace volumes
