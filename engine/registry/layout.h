#pragma once
// The files of an image archive or OCI layout, by name. Every name is untrusted. Private to the room.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::registry {

using base::Result;

/// Part of a file, read from its start on.
class Member {
 public:
  Member(base::UniqueFd fd, std::int64_t offset, std::int64_t size) : fd_(std::move(fd)), at_(offset), left_(size) {}
  /// Fills `into` as far as it can; 0 at the end.
  Result<std::size_t> read(std::span<char> into);
  [[nodiscard]] std::int64_t size() const { return left_; }

 private:
  base::UniqueFd fd_;
  std::int64_t at_, left_;
};

class Layout {
 public:
  virtual ~Layout() = default;
  /// Errors: not_found; invalid when it is no file, or outside.
  [[nodiscard]] virtual Result<Member> open(const std::string& name) const = 0;
  /// A whole file of at most 8 MiB.
  [[nodiscard]] Result<std::string> text(const std::string& name) const;
  /// The blob, its digest verified.
  [[nodiscard]] Result<std::string> blob_text(const std::string& digest) const;
};

/// "sha256:ab…" → "blobs/sha256/ab…". Source: image-spec image-layout.md.
std::string blob_name(const std::string& digest);

Result<std::unique_ptr<Layout>> folder_layout(const std::filesystem::path& folder);
/// A tar, itself plain or compressed. A plain one in a regular file is read where it is, anything else is first written to a
/// nameless file of the store. Links between entries are followed. `input` must stay open. Error invalid: no archive, truncated.
Result<std::unique_ptr<Layout>> archive_layout(base::Fd input);

}  // namespace engine::registry
