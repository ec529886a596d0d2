#include <nlohmann/json.hpp>

#include "engine/build/build.h"

namespace engine::build {
namespace {

using Json = nlohmann::json;

base::Error invalid(const std::string& key, const std::string& what) {
  return base::make_error(base::ErrorKind::invalid, "build request: " + key + ": " + what);
}

/// Reads one key into a field; nlohmann's type errors become ours.
template <class T>
base::Result<> take(const std::string& key, const Json& value, T& field) {
  try {
    field = value.get<T>();
  } catch (const Json::exception&) {
    return invalid(key, "wrong type");
  }
  return {};
}

base::Result<> take_secrets(const Json& value, std::vector<SecretSource>& secrets) {
  if (!value.is_array()) return invalid("secrets", "wrong type");
  for (const auto& item : value) {
    SecretSource secret;
    if (!item.is_object()) return invalid("secrets", "wrong type");
    for (const auto& [key, part] : item.items()) {
      if (key == "id") TRY(take("secrets.id", part, secret.id));
      else if (key == "file") TRY(take("secrets.file", part, secret.file));
      else if (key == "env") TRY(take("secrets.env", part, secret.env));
      else return invalid("secrets." + key, "unknown key");
    }
    if (secret.id.empty()) return invalid("secrets", "an id is required");
    secrets.push_back(std::move(secret));
  }
  return {};
}

base::Result<> take_ssh(const Json& value, std::vector<SshSource>& sources) {
  if (!value.is_array()) return invalid("ssh", "wrong type");
  for (const auto& item : value) {
    SshSource source;
    if (!item.is_object()) return invalid("ssh", "wrong type");
    for (const auto& [key, part] : item.items()) {
      if (key == "id") TRY(take("ssh.id", part, source.id));
      else if (key == "paths") TRY(take("ssh.paths", part, source.paths));
      else return invalid("ssh." + key, "unknown key");
    }
    sources.push_back(std::move(source));
  }
  return {};
}

base::Result<> take_ulimits(const Json& value, std::vector<Ulimit>& ulimits) {
  if (!value.is_array()) return invalid("ulimits", "wrong type");
  for (const auto& item : value) {
    Ulimit limit;
    if (!item.is_object()) return invalid("ulimits", "wrong type");
    for (const auto& [key, part] : item.items()) {
      if (key == "name") TRY(take("ulimits.name", part, limit.name));
      else if (key == "soft") TRY(take("ulimits.soft", part, limit.soft));
      else if (key == "hard") TRY(take("ulimits.hard", part, limit.hard));
      else return invalid("ulimits." + key, "unknown key");
    }
    ulimits.push_back(std::move(limit));
  }
  return {};
}

base::Result<> take_key(BuildRequest& r, const std::string& key, const Json& value) {
  if (key == "context") return take(key, value, r.context);
  if (key == "dockerfile") return take(key, value, r.dockerfile);
  if (key == "dockerfile_inline") {
    std::string text;
    TRY(take(key, value, text));
    r.dockerfile_inline = std::move(text);
    return {};
  }
  if (key == "target") return take(key, value, r.target);
  if (key == "args") return take(key, value, r.args);
  if (key == "labels") return take(key, value, r.labels);
  if (key == "tags") return take(key, value, r.tags);
  if (key == "no_cache") return take(key, value, r.no_cache);
  if (key == "no_cache_filter") return take(key, value, r.no_cache_filter);
  if (key == "pull") return take(key, value, r.pull);
  if (key == "network") return take(key, value, r.network);
  if (key == "extra_hosts") return take(key, value, r.extra_hosts);
  if (key == "secrets") return take_secrets(value, r.secrets);
  if (key == "ssh") return take_ssh(value, r.ssh);
  if (key == "additional_contexts") return take(key, value, r.additional_contexts);
  if (key == "cache_from") return take(key, value, r.cache_from);
  if (key == "cache_to") return take(key, value, r.cache_to);
  if (key == "platforms") return take(key, value, r.platforms);
  if (key == "shm_size") return take(key, value, r.shm_size_bytes);
  if (key == "memory") return take(key, value, r.memory_bytes);
  if (key == "ulimits") return take_ulimits(value, r.ulimits);
  if (key == "privileged") return take(key, value, r.privileged);
  if (key == "entitlements") return take(key, value, r.entitlements);
  if (key == "isolation") return take(key, value, r.isolation);
  if (key == "provenance") return take(key, value, r.provenance);
  if (key == "sbom") return take(key, value, r.sbom);
  if (key == "project") return take(key, value, r.project);
  if (key == "service") return take(key, value, r.service);
  if (key == "iidfile") return take(key, value, r.iidfile);
  if (key == "check") return take(key, value, r.check);
  if (key != "progress") return invalid(key, "unknown key");
  std::string mode;
  TRY(take(key, value, mode));
  if (mode == "plain") r.progress = ProgressMode::plain;
  else if (mode == "json") r.progress = ProgressMode::json;
  else if (mode == "quiet") r.progress = ProgressMode::quiet;
  else return invalid(key, "not one of plain, json, quiet");
  return {};
}

}  // namespace

base::Result<BuildRequest> request_from_json(const std::string& text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return base::make_error(base::ErrorKind::invalid, "build request: not a JSON object");
  BuildRequest request;
  for (const auto& [key, value] : json.items()) TRY(take_key(request, key, value));
  if (request.context.empty()) return invalid("context", "is required");
  return request;
}

std::string request_to_json(const BuildRequest& r) {
  Json json = {{"context", r.context}};
  const auto put = [&json](const char* key, const auto& value) {
    if (value != std::remove_cvref_t<decltype(value)>{}) json[key] = value;
  };
  put("dockerfile", r.dockerfile);
  if (r.dockerfile_inline) json["dockerfile_inline"] = *r.dockerfile_inline;
  put("target", r.target);
  put("args", r.args);
  put("labels", r.labels);
  put("tags", r.tags);
  put("no_cache", r.no_cache);
  put("no_cache_filter", r.no_cache_filter);
  put("pull", r.pull);
  put("network", r.network);
  put("extra_hosts", r.extra_hosts);
  for (const auto& secret : r.secrets) {
    Json item = {{"id", secret.id}};
    if (!secret.file.empty()) item["file"] = secret.file;
    if (!secret.env.empty()) item["env"] = secret.env;
    json["secrets"].push_back(item);
  }
  for (const auto& source : r.ssh) json["ssh"].push_back({{"id", source.id}, {"paths", source.paths}});
  put("additional_contexts", r.additional_contexts);
  put("cache_from", r.cache_from);
  put("cache_to", r.cache_to);
  put("platforms", r.platforms);
  put("shm_size", r.shm_size_bytes);
  put("memory", r.memory_bytes);
  for (const auto& limit : r.ulimits) json["ulimits"].push_back({{"name", limit.name}, {"soft", limit.soft}, {"hard", limit.hard}});
  put("privileged", r.privileged);
  put("entitlements", r.entitlements);
  put("isolation", r.isolation);
  put("provenance", r.provenance);
  put("sbom", r.sbom);
  put("project", r.project);
  put("service", r.service);
  if (r.progress != ProgressMode::plain) json["progress"] = r.progress == ProgressMode::json ? "json" : "quiet";
  put("iidfile", r.iidfile);
  put("check", r.check);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace engine::build
