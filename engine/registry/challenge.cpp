// RFC 9110, 11.6.1: several challenges may share one header, their parameters separated by the same commas.
#include <algorithm>
#include <cctype>

#include "engine/registry/client.h"

namespace engine::registry {

namespace {
bool is_token(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos; }

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}
}  // namespace

std::vector<Challenge> parse_challenges(std::string_view header) {
  std::vector<Challenge> all;
  std::size_t at = 0;
  const auto skip = [&](std::string_view any) {
    while (at < header.size() && any.find(header[at]) != std::string_view::npos) ++at;
  };
  while (skip(" \t,"), at < header.size()) {
    const auto from = at;
    while (at < header.size() && is_token(header[at])) ++at;
    if (at == from) break;  // not the grammar: what was understood so far counts
    const std::string word(header.substr(from, at - from));
    skip(" \t");
    if (at < header.size() && header[at] == '=' && !all.empty()) {
      ++at;
      skip(" \t");
      std::string value;
      if (at < header.size() && header[at] == '"') {
        for (++at; at < header.size() && header[at] != '"'; ++at) {
          if (header[at] == '\\' && at + 1 < header.size()) ++at;
          value += header[at];
        }
        ++at;
      } else {
        while (at < header.size() && is_token(header[at])) value += header[at++];
      }
      all.back().parameters[lower(word)] = value;
    } else {
      all.push_back({.scheme = lower(word), .parameters = {}});
    }
  }
  return all;
}

}  // namespace engine::registry
