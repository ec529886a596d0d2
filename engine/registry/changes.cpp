#include "engine/registry/changes.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

namespace engine::registry {

namespace {

using Words = std::vector<std::string>;

/// Words separated by blanks; '…' and "…" group, a backslash takes the next character as it is.
Words split(std::string_view text) {
  Words words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      word += text[++i];
      in_word = true;
    } else if (quote != 0) {
      if (c == quote) quote = 0;
      else word += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t') {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (in_word) words.push_back(std::move(word));
  return words;
}

/// The JSON form ["a","b"], when it is one.
std::optional<Words> exec_form(const std::string& text) {
  const auto value = nlohmann::json::parse(text, nullptr, false);
  if (!value.is_array() || !std::all_of(value.begin(), value.end(), [](const auto& one) { return one.is_string(); })) return std::nullopt;
  return value.get<Words>();
}

Words command(const std::string& text) {
  if (auto words = exec_form(text)) return *std::move(words);
  return {"/bin/sh", "-c", text};
}

/// "K=V …" or the old "K V".
bool pairs(const std::string& text, const std::function<void(const std::string&, const std::string&)>& set) {
  const auto words = split(text);
  if (words.empty()) return false;
  if (words.front().find('=') == std::string::npos) {
    const auto blank = text.find_first_of(" \t");
    if (blank == std::string::npos) return false;
    set(text.substr(0, blank), text.substr(text.find_first_not_of(" \t", blank)));
    return true;
  }
  for (const auto& word : words) {
    const auto equals = word.find('=');
    if (equals == std::string::npos || equals == 0) return false;
    set(word.substr(0, equals), word.substr(equals + 1));
  }
  return true;
}

void set_env(images::ImageConfig& config, const std::string& key, const std::string& value) {
  for (auto& one : config.env)
    if (one.starts_with(key + "=")) {
      one = key + "=" + value;
      return;
    }
  config.env.push_back(key + "=" + value);
}

void add_sorted(Words& list, std::string value) {
  const auto at = std::lower_bound(list.begin(), list.end(), value);
  if (at == list.end() || *at != value) list.insert(at, std::move(value));
}

bool apply(const std::string& verb, const std::string& rest, images::ImageConfig& config) {
  if (rest.empty()) return false;
  if (verb == "CMD") config.cmd = command(rest);
  else if (verb == "ENTRYPOINT") config.entrypoint = command(rest);
  else if (verb == "USER") config.user = rest;
  else if (verb == "STOPSIGNAL") config.stop_signal = rest;
  else if (verb == "ONBUILD") config.on_build.push_back(rest);
  else if (verb == "WORKDIR") config.working_dir = rest.starts_with('/') || config.working_dir.empty() ? (rest.starts_with('/') ? rest : "/" + rest) : config.working_dir + "/" + rest;
  else if (verb == "ENV") return pairs(rest, [&](const auto& key, const auto& value) { set_env(config, key, value); });
  else if (verb == "LABEL") return pairs(rest, [&](const auto& key, const auto& value) { config.labels[key] = value; });
  else if (verb == "VOLUME")
    for (auto& path : exec_form(rest).value_or(split(rest))) add_sorted(config.volumes, path);
  else if (verb == "EXPOSE")
    for (auto& port : split(rest)) add_sorted(config.exposed_ports, port.find('/') == std::string::npos ? port + "/tcp" : port);
  else
    return false;
  return true;
}

}  // namespace

Result<> apply_changes(const std::vector<std::string>& changes, images::ImageConfig& config) {
  for (const auto& change : changes) {
    const auto blank = change.find_first_of(" \t");
    std::string verb = change.substr(0, blank);
    std::transform(verb.begin(), verb.end(), verb.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    const auto from = blank == std::string::npos ? blank : change.find_first_not_of(" \t", blank);
    if (!apply(verb, from == std::string::npos ? "" : change.substr(from), config))
      return base::make_error(base::ErrorKind::invalid, "cannot apply the change '" + change + "'");
  }
  return {};
}

}  // namespace engine::registry
