#include "compose/load/template.h"

namespace compose::load {
namespace {

constexpr std::size_t nesting_max = 32;
constexpr std::size_t malformed_max = 100;  // listed of one value: each may take reading to its end

bool name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool name_part(char c) { return name_start(c) || (c >= '0' && c <= '9'); }

std::string_view read_name(std::string_view text, std::size_t begin) {
  std::size_t end = begin;
  if (end < text.size() && name_start(text[end]))
    while (end < text.size() && name_part(text[end])) ++end;
  return text.substr(begin, end - begin);
}

enum class Operator : std::uint8_t { none, default_, alternate, required };

/// What follows `${`: a name, perhaps an operator and its operand. `size` counts from the `$` to behind the brace.
struct Braced {
  std::string_view name;
  Operator op = Operator::none;
  bool or_empty = false;       ///< the operator was written with a colon: an empty value counts as unset
  std::string_view operand;
  std::size_t size = 0;        ///< 0 = malformed
};

/// The brace that closes the one at text[1], in the same line; npos when there is none.
std::size_t closing_brace(std::string_view text) {
  int open = 0;
  for (std::size_t i = 0; i < text.size() && text[i] != '\n'; ++i) {
    if (text[i] == '}' && --open == 0) return i;
    if (text[i] == '{') {
      ++open;
      // As Docker Compose: what follows a brace directly is never one that closes.
      if (i + 1 < text.size() && text[i + 1] != '\n') ++i;
    }
  }
  return std::string_view::npos;
}

Braced read_braced(std::string_view text) {
  Braced braced;
  braced.name = read_name(text, 2);
  if (braced.name.empty()) return braced;
  std::size_t i = 2 + braced.name.size();
  if (i < text.size() && text[i] == '}') {
    braced.size = i + 1;
    return braced;
  }
  if (i < text.size() && text[i] == ':') {
    braced.or_empty = true;
    ++i;
  }
  if (i >= text.size()) return braced;
  switch (text[i]) {
    case '-': braced.op = Operator::default_; break;
    case '+': braced.op = Operator::alternate; break;
    case '?': braced.op = Operator::required; break;
    default: return braced;
  }
  ++i;
  // An operand ends at the last closing brace of the line unless the braces balance earlier; it may not span lines.
  // The end of the line is looked for last: a value of many variables is read once, not once for each.
  std::size_t close = closing_brace(text);
  if (close == std::string_view::npos) close = text.substr(0, text.find('\n')).rfind('}');
  if (close == std::string_view::npos || close < i) return braced;
  braced.operand = text.substr(i, close - i);
  braced.size = close + 1;
  return braced;
}

class Replacer {
 public:
  Replacer(const Lookup& lookup, Substituted& result, std::size_t size_max)
      : lookup_(lookup), result_(result), size_max_(size_max) {}

  /// False once an error is recorded.
  bool replace(std::string_view text, std::string& out, std::size_t depth) {
    if (depth > nesting_max) return fail("variables are nested too deeply");
    for (std::size_t i = 0; i < text.size();) {
      const auto dollar = text.find('$', i);
      out.append(text.substr(i, dollar - i));
      if (out.size() > size_max_) return fail("the value is too long");
      if (dollar == std::string_view::npos) break;
      const auto rest = text.substr(dollar);
      if (rest.size() > 1 && rest[1] == '$') {
        out += '$';
        i = dollar + 2;
      } else if (rest.size() > 1 && rest[1] == '{') {
        const Braced braced = read_braced(rest);
        if (braced.size == 0) return malformed(text);
        if (!expand(braced, out, depth)) return false;
        i = dollar + braced.size;
      } else if (const auto name = read_name(rest, 1); !name.empty()) {
        Braced plain;
        plain.name = name;
        if (!expand(plain, out, depth)) return false;
        i = dollar + 1 + name.size();
      } else {
        out += '$';
        i = dollar + 1;
      }
    }
    return true;
  }

 private:
  bool fail(std::string message) {
    result_.error = std::move(message);
    return false;
  }
  bool malformed(std::string_view text) {
    result_.invalid = true;
    return fail(std::string(text));
  }

  bool expand(const Braced& braced, std::string& out, std::size_t depth) {
    const auto value = lookup_(braced.name);
    const bool present = value && !(braced.or_empty && value->empty());
    switch (braced.op) {
      case Operator::none:
        if (!value) result_.unset.emplace_back(braced.name);
        if (value) out += *value;
        return true;
      case Operator::default_: {
        // The default is looked into even when it is not needed: its unset variables are reported all the same.
        std::string fallback;
        if (!replace(braced.operand, fallback, depth + 1)) return false;
        out += present ? *value : fallback;
        return true;
      }
      case Operator::alternate:
        if (present) return replace(braced.operand, out, depth + 1);
        if (value) out += *value;
        return true;
      case Operator::required: {
        std::string why;
        if (!replace(braced.operand, why, depth + 1)) return false;
        if (!present)
          return fail("required variable " + std::string(braced.name) + " is missing a value" +
                      (why.empty() ? "" : ": " + why));
        out += *value;
        return true;
      }
    }
    return true;
  }

  const Lookup& lookup_;
  Substituted& result_;
  std::size_t size_max_;
};

void collect(std::string_view text, std::vector<Variable>& out, std::size_t depth) {
  if (depth > nesting_max) return;
  std::size_t malformed = 0;
  for (std::size_t i = text.find('$'); i != std::string_view::npos; i = text.find('$', i)) {
    const auto rest = text.substr(i);
    if (rest.size() > 1 && rest[1] == '$') {
      i += 2;
    } else if (rest.size() > 1 && rest[1] == '{') {
      const Braced braced = read_braced(rest);
      if (braced.size == 0) {
        if (++malformed > malformed_max) return;
        out.emplace_back();  // Docker Compose lists what is no variable, without a name
        i += 2;
        continue;
      }
      Variable variable;
      variable.name = braced.name;
      if (braced.op == Operator::default_) variable.default_value = braced.operand;
      if (braced.op == Operator::alternate) variable.alternate = braced.operand;
      variable.required = braced.op == Operator::required;
      out.push_back(std::move(variable));
      collect(braced.operand, out, depth + 1);
      i += braced.size;
    } else {
      const auto name = read_name(rest, 1);
      if (!name.empty()) out.push_back({std::string(name), "", "", false});
      i += 1 + name.size();
    }
    if (i >= text.size()) break;
  }
}

}  // namespace

Substituted substitute(std::string_view text, const Lookup& lookup, std::size_t size_max) {
  Substituted result;
  Replacer replacer(lookup, result, size_max);
  std::string out;
  if (replacer.replace(text, out, 0)) result.text = std::move(out);
  return result;
}

std::vector<Variable> variables_in(std::string_view text) {
  std::vector<Variable> out;
  collect(text, out, 0);
  return out;
}

}  // namespace compose::load
