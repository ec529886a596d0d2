#pragma once
// Build contexts: folders, archives and downloads as trees to copy from.
#include <filesystem>
#include <string>

#include "engine/build/digest.h"
#include "engine/build/git.h"
#include "engine/build/ignore.h"
#include "engine/build/session.h"
#include "engine/build/tree.h"

namespace engine::build {

/// A folder to copy from, with what is left out of it and the digests known for it.
class Context {
 public:
  /// `source`: a directory, a tar file (unpacked into the session) an http(s) URL of one, or a git
  /// repository (`keep_git_dir`: with its .git). Errors: not_found, invalid, unavailable.
  static Result<Context> open(Session& session, const std::string& source, bool keep_git_dir = false);
  Context(Context&&) = default;

  [[nodiscard]] Tree tree() const { return {.root = root_.borrow(), .ignore = &ignore_, .xattrs = false}; }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] const IgnoreRules& ignore() const { return ignore_; }
  StatCache& digests() { return *digests_; }

  /// Reads the ignore file: DOCKERFILE.dockerignore before .dockerignore (`dockerfile`: a path, may be empty). Returns its size in bytes, 0 when there is none.
  Result<std::size_t> load_ignore(const std::string& dockerfile);
  /// Keeps digests for the next build.
  void save_digests();

 private:
  Context() = default;
  std::filesystem::path folder_;
  UniqueFd root_;
  IgnoreRules ignore_;
  std::filesystem::path digest_file_;
  std::unique_ptr<StatCache> digests_;
};

/// "https://…", "http://…"
bool is_url(const std::string& text);
/// "http://host/dir/a%20b.txt?x=1" → "a b.txt"; BuildKit's "__unnamed__" without one.
std::string url_file_name(const std::string& url);

}  // namespace engine::build
