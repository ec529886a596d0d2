#pragma once
// Variables in text: $NAME, ${NAME}, ${NAME:-default} and the other operators, $$.
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace compose::load {

/// The value of a variable, nullopt when it is not set.
using Lookup = std::function<std::optional<std::string>(std::string_view)>;

struct Substituted {
  std::string text;
  std::string error;                     ///< "" = fine
  bool invalid = false;                  ///< the template itself is malformed; `error` is then the template
  std::vector<std::string> unset;        ///< variables replaced by nothing, once per occurrence, in order
};

/// Replaces the variables of `text`. Defaults may hold variables themselves; a value is not looked into again.
/// A `$` before anything that starts no variable stays. `size_max` bounds the result.
Substituted substitute(std::string_view text, const Lookup& lookup, std::size_t size_max = 32U << 20U);

struct Variable {
  std::string name;
  std::string default_value, alternate;  ///< after :- or -, after :+ or +
  bool required = false;                 ///< :? or ?
};
/// The variables of `text`, also those in defaults, in order of appearance.
std::vector<Variable> variables_in(std::string_view text);

}  // namespace compose::load
