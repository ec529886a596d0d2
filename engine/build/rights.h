#pragma once
// Owners and modes as --chown, --chmod and USER write them.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::build {

using base::Result;

struct Owner {
  std::uint32_t uid = 0, gid = 0;
  std::string unknown;  ///< a name the image does not know: it counts as root, as in BuildKit, and is worth a word
};

/// --chown: "name", "name:group", "10", "10:20". Names are looked up in /etc/passwd and /etc/group below `root`.
/// A name alone has its primary group; a number alone is its own group. An unknown user is 0:0, an unknown group the user's.
Result<Owner> parse_owner(base::Fd root, const std::string& text);

/// The error of a name in a stage FROM scratch, where there is nothing to look it up in.
base::Error no_accounts(const std::string& name);

/// --chmod: "0640", "755" or symbolic "u=rwX,go-w".
class ModeChange {
 public:
  /// Error invalid.
  static Result<ModeChange> parse(const std::string& text);
  [[nodiscard]] std::uint32_t apply(std::uint32_t mode, bool is_directory) const;
  [[nodiscard]] bool is_absolute() const { return absolute_.has_value(); }

 private:
  struct Clause {
    std::uint32_t who = 0;    ///< 0700 | 070 | 07
    char operation = '=';
    std::uint32_t bits = 0;   ///< rwx in every triple
    bool conditional_x = false;
    std::uint32_t special = 0;
    char like = 0;            ///< 'u', 'g', 'o': the bits that one has
  };
  std::optional<std::uint32_t> absolute_;
  std::vector<Clause> clauses_;
};

}  // namespace engine::build
