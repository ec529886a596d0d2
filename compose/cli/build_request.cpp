// model::Build → the JSON that compose-image reads. Written by hand: this program links no JSON library.
#include <cstdlib>

#include "compose/cli/globals.h"
#include "compose/cli/images_ready.h"
#include "compose/cli/output.h"
#include "compose/reconcile/labels.h"

namespace compose::cli {
namespace {

/// Appends members; leaves out what is empty, since every key of a request is optional.
class Object {
 public:
  void raw(std::string_view key, const std::string& value) {
    text_ += (text_.empty() ? "" : ",") + json_string(key) + ":" + value;
  }
  void add(std::string_view key, std::string_view value) {
    if (!value.empty()) raw(key, json_string(value));
  }
  void add(std::string_view key, bool value) {
    if (value) raw(key, "true");
  }
  void add(std::string_view key, const std::vector<std::string>& values) {
    if (values.empty()) return;
    std::string list;
    for (const auto& value : values) list += (list.empty() ? "" : ",") + json_string(value);
    raw(key, "[" + list + "]");
  }
  void add(std::string_view key, const std::map<std::string, std::string>& values) {
    if (values.empty()) return;
    Object inner;
    for (const auto& [name, value] : values) inner.raw(name, json_string(value));
    raw(key, inner.text());
  }
  void objects(std::string_view key, const std::vector<Object>& values) {
    if (values.empty()) return;
    std::string list;
    for (const auto& value : values) list += (list.empty() ? "" : ",") + value.text();
    raw(key, "[" + list + "]");
  }
  [[nodiscard]] std::string text() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

std::vector<Object> secrets(const model::Project& project, const model::Build& build) {
  std::vector<Object> result;
  for (const auto& reference : build.secrets) {
    const auto source = project.secrets.find(reference.source);
    if (source == project.secrets.end()) continue;
    Object secret;
    secret.add("id", reference.target.empty() ? reference.source : reference.target);
    secret.add("file", source->second.file);
    secret.add("env", source->second.environment);
    result.push_back(std::move(secret));
  }
  return result;
}

std::vector<Object> ssh_keys(const model::Build& build, const BuildOptions& options) {
  std::vector<Object> result;
  const auto add = [&](const std::string& id, const std::string& path) {
    Object key;
    key.add("id", id);
    if (!path.empty()) key.add("paths", std::vector<std::string>{path});
    result.push_back(std::move(key));
  };
  for (const auto& key : build.ssh) add(key.id, key.path);
  for (const auto& entry : options.ssh) {
    const auto equals = entry.find('=');
    add(entry.substr(0, equals), equals == std::string::npos ? "" : entry.substr(equals + 1));
  }
  return result;
}

}  // namespace

std::map<std::string, std::string> build_arguments(const model::Project& project, const model::Build& build, const BuildOptions& options) {
  std::map<std::string, std::string> result;
  for (const auto& [name, value] : build.args) {
    if (value) result[name] = *value;
  }
  for (const auto& entry : options.arguments) {
    const auto equals = entry.find('=');
    if (equals != std::string::npos) {
      result[entry.substr(0, equals)] = entry.substr(equals + 1);
    } else if (const auto found = project.environment.find(entry); found != project.environment.end()) {
      result[entry] = found->second;
    }
  }
  return result;
}

std::map<std::string, std::string> build_labels(const model::Project& project, const model::Service& service) {
  auto labels = service.build->labels;
  labels["com.docker.compose.project"] = project.name;
  labels["com.docker.compose.service"] = service.name;
  labels["com.docker.compose.version"] = reconcile::compatible_version;
  return labels;
}

std::string build_request(const model::Project& project, const model::Service& service, const BuildOptions& options,
                          std::string_view progress) {
  const model::Build& build = *service.build;
  Object request;
  request.add("context", build.context);
  request.add("dockerfile", build.dockerfile);
  request.add("dockerfile_inline", build.dockerfile_inline);
  request.add("target", build.target);
  request.add("args", build_arguments(project, build, options));
  request.add("labels", build_labels(project, service));
  std::vector<std::string> tags{reconcile::image_name(project, service, globals().compatibility)};
  tags.insert(tags.end(), build.tags.begin(), build.tags.end());
  request.add("tags", tags);
  request.add("no_cache", build.no_cache || options.no_cache);
  request.add("pull", build.pull || options.pull);
  request.add("network", build.network);
  request.add("extra_hosts", build.extra_hosts);
  request.objects("secrets", secrets(project, build));
  request.objects("ssh", ssh_keys(build, options));
  auto contexts = build.additional_contexts;
  for (auto& [name, source] : contexts) {
    if (!source.starts_with("service:")) continue;
    if (const auto* other = project.find_service(source.substr(8))) {
      source = "docker-image://" + reconcile::image_name(project, *other, globals().compatibility);
    }
  }
  request.add("additional_contexts", contexts);
  request.add("cache_from", build.cache_from);
  request.add("cache_to", build.cache_to);
  const char* platform = std::getenv("DOCKER_DEFAULT_PLATFORM");
  auto platforms = build.platforms;
  if (platforms.empty() && !service.platform.empty()) platforms = {service.platform};
  if (platforms.empty() && platform != nullptr && *platform != 0) platforms = {platform};
  request.add("platforms", platforms);
  if (build.shm_size_bytes != 0) request.raw("shm_size", std::to_string(build.shm_size_bytes));
  std::vector<Object> limits;
  for (const auto& [name, limit] : build.ulimits) {
    Object one;
    one.add("name", name);
    one.raw("soft", std::to_string(limit.soft));
    one.raw("hard", std::to_string(limit.hard));
    limits.push_back(std::move(one));
  }
  request.objects("ulimits", limits);
  request.add("privileged", build.privileged);
  request.add("entitlements", build.entitlements);
  request.add("isolation", build.isolation);
  request.add("provenance", options.provenance.empty() ? build.provenance : options.provenance);
  request.add("sbom", options.sbom.empty() ? build.sbom : options.sbom);
  request.add("check", options.check);
  if (options.memory_bytes != 0) request.raw("memory", std::to_string(options.memory_bytes));
  request.add("project", project.name);
  request.add("service", service.name);
  request.add("progress", progress);
  return request.text();
}

}  // namespace compose::cli
