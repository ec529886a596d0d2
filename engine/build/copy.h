#pragma once
// COPY: items of one tree into another, with BuildKit's rules for destinations.
// Source: docs.docker.com/reference/dockerfile "COPY"; tonistiigi/fsutil copy/copy.go for the order of effects.
#include "engine/build/rights.h"
#include "engine/build/tree.h"

namespace engine::build {

struct CopyTarget {
  Fd root;
  std::string path;                    ///< absolute in the root; a final '/' says "a directory"
  std::optional<Owner> owner;          ///< absent: the source's where it counts, else root
  std::optional<ModeChange> chmod;
  std::optional<std::int64_t> mtime_s; ///< for everything; absent: the source's
  bool umask_is_zero = false;          ///< modes given at creation are exact
};

/// Of folders that must be made on the way to the target.
FolderRights made_rights(const CopyTarget& target);

/// Copies one listed item. A directory's contents go into the target; anything else becomes the target, or goes into it when
/// that is a directory. `as` overrides the item's own name.
/// Errors: exists (a directory in the way of a file or the reverse), exhausted (no space), io, permission.
Result<> copy_item(const Tree& source, const Item& item, const CopyTarget& target, const std::string& as = {});

/// COPY --parents: the item's path (after the "./" pivot) is kept below the target.
Result<> copy_with_parents(const Tree& source, const Item& item, const std::string& pattern, const CopyTarget& target);

/// A file with this content: heredocs and downloads.
Result<> write_into(const CopyTarget& target, const std::string& name, std::string_view content, std::uint32_t mode);

/// Sets every time later than `limit_s` to it (SOURCE_DATE_EPOCH).
Result<> clamp_times(Fd root, std::int64_t limit_s);

}  // namespace engine::build
