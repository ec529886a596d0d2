#pragma once
// Directory trees behind a descriptor. Nothing here can leave the root: paths resolve with openat2(RESOLVE_IN_ROOT),
// walking never follows links. Source: openat2(2).
#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/build/ignore.h"

namespace engine::build {

using base::Fd;
using base::UniqueFd;

/// Where COPY, ADD and bind mounts read from.
struct Tree {
  Fd root;
  const IgnoreRules* ignore = nullptr;  ///< of a context; null: nothing is ignored
  bool xattrs = false;                  ///< copied from stages and images, not from a context
  bool owners = false;                  ///< kept without --chown: those of stages and images; a context's files become root's
};

struct Entry {
  std::string path;  ///< below the item; "" = the item itself
  struct stat info {};
};

/// One source of COPY and all below it, parents first, names sorted.
struct Item {
  UniqueFd fd;                 ///< a directory, or O_PATH of anything else
  std::string path;            ///< below the root, as asked for (links not followed)
  std::vector<Entry> entries;  ///< [0] is the item
  [[nodiscard]] bool is_directory() const { return S_ISDIR(entries.front().info.st_mode); }
};

/// Opens inside `root`; links are followed inside it.
Result<UniqueFd> open_in_root(Fd root, const std::string& path, int flags);

/// Paths below the root that a COPY source means: itself, or what its pattern matches (possibly nothing).
/// `deep`: "**" is understood (COPY --parents). Errors: invalid (pattern), not_found (no pattern and nothing there, or ignored).
Result<std::vector<std::string>> find_sources(const Tree& tree, const std::string& source, bool deep = false);

/// Lists `path` and what is below it, less what is ignored or excluded (`exclude` counts below the item).
/// Errors: not_found; exhausted (too deep, too many entries).
Result<Item> list_item(const Tree& tree, const std::string& path, const IgnoreRules& exclude = {});

/// Keeps the chain of open folders while walking entries in order, so that every open is one component.
class FolderStack {
 public:
  explicit FolderStack(Fd root) : root_(root) {}
  /// The folder an entry is in; `name` becomes its last component.
  Result<Fd> folder_of(const std::string& path, std::string& name);

 private:
  Fd root_;
  std::vector<std::pair<std::string, UniqueFd>> open_;  ///< path below the root → descriptor
};

/// `path` with its links followed inside the root; what is not there stays as written. Error ELOOP.
Result<std::string> real_path_in_root(Fd root, const std::string& path);

struct FolderRights {
  std::uint32_t uid = 0, gid = 0, mode = 0755;
};
/// Makes `path` (links followed inside the root, dangling ones made real) and returns it opened O_RDONLY. What had to be made
/// is appended to `made`, outermost first, as real paths below the root.
Result<UniqueFd> make_in_root(Fd root, const std::string& path, const FolderRights& rights,
                              std::vector<std::string>* made = nullptr);

}  // namespace engine::build
