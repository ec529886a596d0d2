#include "compose/load/stage.h"

#include <algorithm>
#include <numeric>

namespace compose::load {

std::string Path::text() const {
  if (parent_ == nullptr) return "";
  std::string text = parent_->text();
  if (is_index_) return text + "[" + std::to_string(index_) + "]";
  if (!text.empty()) text += '.';
  const bool plain = !key_.empty() && key_.find_first_of(".[' \n") == std::string_view::npos;
  return plain ? text.append(key_) : text.append("'").append(key_).append("'");
}

void Context::add(Diagnostic diagnostic) {
  if (diagnostic.severity == Severity::error) ++errors_;
  if (diagnostics.size() >= limits.diagnostics_max) return;
  diagnostics.push_back(std::move(diagnostic));
}

void Context::error(Position at, const Path& path, std::string message, std::string hint) {
  add({Severity::error, at, path.text(), std::move(message), std::move(hint), false});
}

void Context::error(Position at, std::string path, std::string message, std::string hint) {
  add({Severity::error, at, std::move(path), std::move(message), std::move(hint), false});
}

void Context::warn(Position at, std::string message) {
  add({Severity::warning, at, "", std::move(message), "", true});
}

void Context::plain_error(std::string message, std::string hint) {
  add({Severity::error, {}, "", std::move(message), std::move(hint), true});
}

namespace {

/// Edits (insert, delete, replace, swap of neighbours) from `a` to `b`.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  std::iota(last.begin(), last.end(), 0U);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + cost});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = std::min(now[j], before[j - 2] + 1);
    }
    before = last;
    last = now;
  }
  return last[b.size()];
}

}  // namespace

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates) {
  if (word.size() > 64) return "";
  std::string_view best;
  std::size_t best_distance = word.size() / 3 + 2;
  for (const auto candidate : candidates) {
    if (candidate.size() > word.size() + 3 || word.size() > candidate.size() + 3) continue;
    const std::size_t d = distance(word, candidate);
    if (d < best_distance && d < std::max(word.size(), candidate.size())) {
      best = candidate;
      best_distance = d;
    }
  }
  return best.empty() ? "" : "did you mean '" + std::string(best) + "'?";
}

std::string shown_path(const std::string& path, const std::string& current_dir) {
  if (current_dir.empty()) return path;
  const std::string prefix = current_dir == "/" ? current_dir : current_dir + "/";
  return path.starts_with(prefix) && path.size() > prefix.size() ? path.substr(prefix.size()) : path;
}

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::null: return "nothing";
    case Kind::boolean: return "a boolean";
    case Kind::integer: return "an integer";
    case Kind::real: return "a number";
    case Kind::string: return "a string";
    case Kind::sequence: return "a list";
    case Kind::mapping: return "a mapping";
  }
  return "?";
}

}  // namespace compose::load
