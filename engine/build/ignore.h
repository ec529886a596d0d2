#pragma once
// Patterns: Go's filepath.Match for COPY sources, and .dockerignore's (with "**", "!" and comments).
// Source: pkg.go.dev/path/filepath#Match; github.com/moby/patternmatcher.
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace engine::build {

using base::Result;

/// Go's filepath.Match: `*` and `?` stop at '/', `[a-z]`, `[^a]`, backslash escapes.
bool glob_match(std::string_view pattern, std::string_view path);
bool has_glob(std::string_view text);
/// Errors: invalid ("syntax error in pattern").
Result<> check_glob(std::string_view pattern);

/// Lexical filepath.Clean: "a//b/./c/.." → "a/b"; "" → ".".
std::string clean_path(std::string_view path);

class IgnoreRules {
 public:
  IgnoreRules() = default;
  /// The text of a .dockerignore file. Errors: invalid, naming the pattern.
  static Result<IgnoreRules> parse(std::string_view text);
  /// Patterns one by one: COPY --exclude.
  static Result<IgnoreRules> from_patterns(const std::vector<std::string>& patterns);

  /// True when `path` (relative, '/'-separated) or a folder it is in is ignored and no later "!" takes it back.
  [[nodiscard]] bool ignored(std::string_view path) const;
  /// True when an ignored folder may still hold something a "!" pattern takes back.
  [[nodiscard]] bool has_exceptions() const { return has_exceptions_; }
  [[nodiscard]] bool empty() const { return patterns_.empty(); }
  /// All patterns, one a line: part of cache keys.
  [[nodiscard]] std::string text() const;

 private:
  struct Pattern {
    std::string text;
    bool exception = false;
  };
  Result<> add(std::string_view pattern);
  std::vector<Pattern> patterns_;
  bool has_exceptions_ = false;
};

}  // namespace engine::build
