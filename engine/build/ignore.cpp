#include "engine/build/ignore.h"

#include "engine/build/words.h"

namespace engine::build {
namespace {

constexpr std::size_t patterns_max = 10000;

/// Bytes of the UTF-8 character at the start; 1 for a broken one.
std::size_t char_bytes(std::string_view text) {
  const auto c = static_cast<unsigned char>(text.front());
  const std::size_t length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
  return std::min(length, text.size());
}

/// Matches a "[…]" at the start of `pattern` with one character; removes both. False: no match or a broken class.
bool match_class(std::string_view& pattern, std::string_view& path) {
  if (path.empty() || path.front() == '/') return false;
  const std::string_view wanted = path.substr(0, char_bytes(path));
  std::size_t at = 1;
  bool negated = false, found = false, first = true;
  if (at < pattern.size() && pattern[at] == '^') negated = true, ++at;
  const auto take = [&]() -> std::string_view {
    if (at < pattern.size() && pattern[at] == '\\') ++at;
    if (at >= pattern.size()) return {};
    const auto result = pattern.substr(at, char_bytes(pattern.substr(at)));
    at += result.size();
    return result;
  };
  while (at < pattern.size() && (pattern[at] != ']' || first)) {
    first = false;
    const auto low = take();
    auto high = low;
    if (at + 1 < pattern.size() && pattern[at] == '-' && pattern[at + 1] != ']') {
      ++at;
      high = take();
    }
    if (low.empty() || high.empty()) return false;
    if (low <= wanted && wanted <= high) found = true;
  }
  if (at >= pattern.size()) return false;
  pattern.remove_prefix(at + 1);
  path.remove_prefix(wanted.size());
  return found != negated;
}

/// What was tried, by what was left of pattern and path: trying it again would fail again, and without this the time grows with
/// the power of the stars.
class Tries {
 public:
  Tries(std::string_view pattern, std::string_view path) : width_(path.size() + 1), rows_(pattern.size() + 1) {}
  /// False: it was tried before, or is beyond measure.
  bool first(std::string_view pattern, std::string_view path) {
    constexpr std::size_t states_max = std::size_t{1} << 26;
    if (rows_ > states_max / width_) return false;
    if (tried_.empty()) tried_.resize(rows_ * width_);
    const std::size_t at = pattern.size() * width_ + path.size();
    if (tried_[at]) return false;
    tried_[at] = true;
    return true;
  }

 private:
  std::size_t width_, rows_;
  std::vector<bool> tried_;  ///< made when the first star is met
};

/// `any_depth`: "**" crosses '/'.
bool match(std::string_view pattern, std::string_view path, bool any_depth, Tries& tries, int depth = 0) {
  constexpr int stars_max = 64;
  if (depth > stars_max || (depth > 0 && !tries.first(pattern, path))) return false;
  while (!pattern.empty()) {
    if (any_depth && pattern.starts_with("**")) {
      while (!pattern.empty() && pattern.front() == '*') pattern.remove_prefix(1);
      if (!pattern.empty() && pattern.front() == '/') pattern.remove_prefix(1);
      if (pattern.empty()) return true;
      if (match(pattern, path, true, tries, depth + 1)) return true;
      for (std::size_t i = 0; i < path.size(); ++i)
        if (path[i] == '/' && match(pattern, path.substr(i + 1), true, tries, depth + 1)) return true;
      return false;
    }
    if (pattern.front() == '*') {
      while (!pattern.empty() && pattern.front() == '*' && !(any_depth && pattern.starts_with("**"))) pattern.remove_prefix(1);
      if (pattern.empty()) return path.find('/') == std::string_view::npos;
      for (std::size_t i = 0; i <= path.size(); ++i) {
        if (match(pattern, path.substr(i), any_depth, tries, depth + 1)) return true;
        if (i < path.size() && path[i] == '/') return false;
      }
      return false;
    }
    if (pattern.front() == '[') {
      if (!match_class(pattern, path)) return false;
      continue;
    }
    if (path.empty()) return false;
    if (pattern.front() == '?') {
      if (path.front() == '/') return false;
      pattern.remove_prefix(1);
      path.remove_prefix(char_bytes(path));
      continue;
    }
    if (pattern.front() == '\\' && pattern.size() > 1) pattern.remove_prefix(1);
    if (pattern.front() != path.front()) return false;
    pattern.remove_prefix(1);
    path.remove_prefix(1);
  }
  return path.empty();
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view path) {
  Tries tries(pattern, path);
  return match(pattern, path, false, tries);
}

bool has_glob(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') ++i;
    else if (text[i] == '*' || text[i] == '?' || text[i] == '[') return true;
  }
  return false;
}

Result<> check_glob(std::string_view pattern) {
  const base::Error bad = base::make_error(base::ErrorKind::invalid, "syntax error in pattern: \"" + std::string(pattern) + "\"");
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\' && ++i == pattern.size()) return bad;
    if (pattern[i] != '[') continue;
    std::size_t at = i + 1;
    if (at < pattern.size() && pattern[at] == '^') ++at;
    // As Go has it: one or more of "x" and "x-y", where neither is "]" or "-" unless escaped.
    const auto character = [&] {
      if (at >= pattern.size() || pattern[at] == ']' || pattern[at] == '-') return false;
      if (pattern[at] == '\\') ++at;
      return ++at < pattern.size();
    };
    do {
      if (!character()) return bad;
      if (pattern[at] == '-' && (++at, !character())) return bad;
    } while (pattern[at] != ']');
    i = at;
  }
  return {};
}

std::string clean_path(std::string_view path) {
  const bool absolute = !path.empty() && path.front() == '/';
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const auto part = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part != "..") parts.push_back(part);
    else if (!parts.empty() && parts.back() != "..") parts.pop_back();
    else if (!absolute) parts.push_back(part);
  }
  std::string result = absolute ? "/" : "";
  for (std::size_t i = 0; i < parts.size(); ++i) result += (i == 0 ? "" : "/") + std::string(parts[i]);
  return result.empty() ? "." : result;
}

Result<> IgnoreRules::add(std::string_view pattern) {
  Pattern rule;
  pattern = trim(pattern);
  if (!pattern.empty() && pattern.front() == '!') {
    rule.exception = true;
    pattern = trim(pattern.substr(1));
    if (pattern.empty()) return base::make_error(base::ErrorKind::invalid, "illegal exclusion pattern: \"!\"");
  }
  if (pattern.empty()) return {};
  rule.text = clean_path(pattern);
  if (rule.exception && rule.text == "/") return base::make_error(base::ErrorKind::invalid, "illegal exclusion pattern: \"!\"");
  if (rule.text.size() > 1 && rule.text.front() == '/') rule.text.erase(0, 1);
  TRY(check_glob(rule.text));
  if (patterns_.size() == patterns_max) return base::make_error(base::ErrorKind::invalid, "too many patterns");
  has_exceptions_ = has_exceptions_ || rule.exception;
  patterns_.push_back(std::move(rule));
  return {};
}

Result<IgnoreRules> IgnoreRules::parse(std::string_view text) {
  IgnoreRules rules;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const auto line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.starts_with('#')) continue;  // only in the first column
    TRY(rules.add(line));
  }
  return rules;
}

Result<IgnoreRules> IgnoreRules::from_patterns(const std::vector<std::string>& patterns) {
  IgnoreRules rules;
  for (const auto& pattern : patterns) TRY(rules.add(pattern));
  return rules;
}

bool IgnoreRules::ignored(std::string_view path) const {
  bool result = false;
  for (const auto& pattern : patterns_) {
    if (pattern.exception != result) continue;  // could not change the result
    const auto matches = [&](std::string_view whole) {
      Tries tries(pattern.text, whole);
      return match(pattern.text, whole, true, tries);
    };
    bool matched = matches(path);
    for (std::size_t slash = path.find('/'); !matched && slash != std::string_view::npos; slash = path.find('/', slash + 1))
      matched = matches(path.substr(0, slash));
    if (matched) result = !pattern.exception;
  }
  return result;
}

std::string IgnoreRules::text() const {
  std::string all;
  for (const auto& pattern : patterns_) all += (pattern.exception ? "!" : "") + pattern.text + "\n";
  return all;
}

}  // namespace engine::build
