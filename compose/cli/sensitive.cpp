#include "compose/cli/sensitive.h"

#include <algorithm>
#include <cctype>

namespace compose::cli {
namespace {

bool upper_or_digit(char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }
bool alphanumeric(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }
bool url_safe(char c) { return alphanumeric(c) || c == '-' || c == '_'; }
bool base64(char c) { return alphanumeric(c) || c == '+' || c == '/'; }

/// How many characters of `text` from `at` on are of a kind.
std::size_t run_of(std::string_view text, std::size_t at, bool (*kind)(char)) {
  std::size_t end = at;
  while (end < text.size() && kind(text[end])) ++end;
  return end - at;
}

bool starts_word(std::string_view line, std::size_t at) { return at == 0 || !url_safe(line[at - 1]); }

std::string_view aws_client_id(std::string_view line) {
  static constexpr std::string_view heads[] = {"AKIA", "ASIA", "AGPA", "AIDA", "AROA", "AIPA", "ANPA", "ANVA", "A3T"};
  for (std::size_t at = 0; at + 20 <= line.size(); ++at) {
    if (!starts_word(line, at) || run_of(line, at, upper_or_digit) != 20) continue;
    for (const auto head : heads)
      if (line.substr(at).starts_with(head)) return line.substr(at, 20);
  }
  return {};
}

std::string_view github_token(std::string_view line) {
  for (const std::string_view head : {"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"}) {
    const auto at = line.find(head);
    if (at == std::string_view::npos || !starts_word(line, at)) continue;
    const auto length = run_of(line, at + head.size(), url_safe);
    if (length >= 36) return line.substr(at, head.size() + length);
  }
  return {};
}

/// Three parts of base64url, the first two of them JSON objects ("{" is "ey").
std::string_view json_web_token(std::string_view line) {
  for (auto at = line.find("ey"); at != std::string_view::npos; at = line.find("ey", at + 1)) {
    if (!starts_word(line, at)) continue;
    const auto first = run_of(line, at, url_safe), second_at = at + first + 1;
    if (second_at >= line.size() || line[second_at - 1] != '.' || !line.substr(second_at).starts_with("ey")) continue;
    const auto second = run_of(line, second_at, url_safe), third_at = second_at + second + 1;
    if (third_at > line.size() || line[third_at - 1] != '.') continue;
    return line.substr(at, third_at - at + run_of(line, third_at, url_safe));
  }
  return {};
}

/// The forty characters of base64 behind a name that says "secret" and "aws".
std::string_view aws_secret_key(std::string_view line, std::string_view key) {
  std::string name(key);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (name.find("aws") == std::string::npos || name.find("secret") == std::string::npos) return {};
  for (std::size_t at = 0; at < line.size(); ++at) {
    const auto length = run_of(line, at, base64);
    if (length == 40) return line.substr(at, length);
    at += length;
  }
  return {};
}

/// The name before the first '=' or ':' of a line, without quotes and the dash of a list.
std::string key_of(std::string_view line) {
  auto begin = line.find_first_not_of(" \t-\"'");
  const auto end = line.find_first_of("=:", begin == std::string_view::npos ? 0 : begin);
  if (begin == std::string_view::npos || end == std::string_view::npos) return "";
  std::string key(line.substr(begin, end - begin));
  while (!key.empty() && (key.back() == ' ' || key.back() == '"' || key.back() == '\'')) key.pop_back();
  return key;
}

}  // namespace

std::vector<Sensitive> sensitive_in(std::string_view text) {
  std::vector<Sensitive> found;
  constexpr std::string_view begins = "-----BEGIN ", key_ends = "PRIVATE KEY-----";
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    const auto line = text.substr(at, end - at);
    if (const auto head = line.find(begins); head != std::string_view::npos && line.find(key_ends, head) != std::string_view::npos) {
      const auto last = text.find("-----END ", at);
      const auto stop = last == std::string_view::npos ? end : std::min(text.find('\n', last), text.size());
      found.push_back({"Private Key", "", std::string(text.substr(at + head, stop - at - head))});
      at = stop + 1;
      continue;
    }
    const auto key = key_of(line);
    const auto value = line.substr(line.find_first_of("=:") + 1);  // the whole line where there is neither
    const std::pair<const char*, std::string_view> kinds[] = {{"AWS Client ID", aws_client_id(line)}, {"AWS Secret Key", aws_secret_key(value, key)},
                                                              {"Github authentication", github_token(line)}, {"JSON Web Token", json_web_token(line)}};
    for (const auto& [kind, one] : kinds)
      if (!one.empty()) found.push_back({kind, key, std::string(one)});
    at = end + 1;
  }
  return found;
}

}  // namespace compose::cli
