// registries.conf: containers-registries.conf(5), version 2. A small part of TOML: tables, arrays of tables, strings, booleans.
#include "engine/registry/settings.h"

namespace engine::registry {

namespace {

base::Error bad(int line, const std::string& why) {
  return base::make_error(base::ErrorKind::invalid, "line " + std::to_string(line) + ": " + why);
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// The line without its comment; '#' inside quotes is text.
std::string_view without_comment(std::string_view line) {
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (quote != 0) {
      if (line[i] == '\\' && quote == '"') ++i;
      else if (line[i] == quote) quote = 0;
    } else if (line[i] == '"' || line[i] == '\'') {
      quote = line[i];
    } else if (line[i] == '#') {
      return line.substr(0, i);
    }
  }
  return line;
}

/// Brackets of arrays that are still open at the end of the text.
int open_brackets(std::string_view text) {
  int open = 0;
  char quote = 0;
  for (const char c : text) {
    if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '[') {
      ++open;
    } else if (c == ']') {
      --open;
    }
  }
  return open;
}

std::optional<std::string> string_of(std::string_view value) {
  if (value.size() < 2 || (value.front() != '"' && value.front() != '\'') || value.back() != value.front()) return std::nullopt;
  return std::string(value.substr(1, value.size() - 2));
}

Result<> set(RegistryRule& rule, bool in_mirror, std::string_view key, std::string_view value, int line) {
  auto text = string_of(value);
  const bool yes = value == "true";
  if (!text && value != "true" && value != "false") return bad(line, "expected a string or true or false");
  if (in_mirror) {
    auto& mirror = rule.mirrors.back();
    if (key == "location" && text) mirror.location = *text;
    if (key == "insecure") mirror.insecure = yes;
    if (key == "pull-from-mirror" && text) {
      if (*text != "all" && *text != "digest-only" && *text != "tag-only") return bad(line, "pull-from-mirror is all, digest-only or tag-only");
      mirror.digest_only = *text == "digest-only";
      mirror.tag_only = *text == "tag-only";
    }
    return {};
  }
  if (key == "prefix" && text) rule.prefix = *text;
  if (key == "location" && text) rule.location = *text;
  if (key == "insecure") rule.insecure = yes;
  if (key == "blocked") rule.blocked = yes;
  if (key == "mirror-by-digest-only") rule.mirrors_by_digest_only = yes;
  return {};
}

}  // namespace

Result<std::vector<RegistryRule>> parse_registries_conf(std::string_view text) {
  std::vector<RegistryRule> rules;
  enum class In : std::uint8_t { elsewhere, registry, mirror } in = In::elsewhere;
  std::string pending;
  int number = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto raw = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    ++number;
    pending += std::string(trim(without_comment(raw)));
    if (pending.empty()) continue;
    const bool header = pending.front() == '[';
    if (!header && open_brackets(pending) > 0) continue;  // an array over several lines
    const std::string line = std::exchange(pending, {});
    if (header) {
      in = In::elsewhere;
      if (line == "[[registry]]") {
        rules.emplace_back();
        in = In::registry;
      } else if (line == "[[registry.mirror]]") {
        if (rules.empty()) return bad(number, "a mirror without a registry");
        rules.back().mirrors.emplace_back();
        in = In::mirror;
      } else if (!line.ends_with(']')) {
        return bad(number, "expected ']'");
      }
      continue;
    }
    const auto equals = line.find('=');
    if (equals == std::string::npos) return bad(number, "expected KEY = VALUE");
    if (in == In::elsewhere) continue;  // short names, search registries, credential helpers: not about pulling a full name
    TRY(set(rules.back(), in == In::mirror, trim(std::string_view(line).substr(0, equals)),
            trim(std::string_view(line).substr(equals + 1)), number));
  }
  for (auto& rule : rules) {
    for (auto& mirror : rule.mirrors) mirror.digest_only = mirror.digest_only || rule.mirrors_by_digest_only;
    if (rule.prefix.empty()) rule.prefix = rule.location;
    if (rule.location.empty() && !rule.prefix.starts_with("*.")) rule.location = rule.prefix;
    if (rule.prefix.empty()) return base::make_error(base::ErrorKind::invalid, "a registry without prefix and location");
  }
  return rules;
}

}  // namespace engine::registry
