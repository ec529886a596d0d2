// `build --print`: what would be built, as the bake file Docker Compose prints. Source: docs.docker.com/build/bake/reference.
#include <filesystem>

#include "compose/cli/globals.h"
#include "compose/cli/images_ready.h"
#include "compose/cli/output.h"
#include "engine/api/docker_config.h"

namespace compose::cli {
namespace {

/// JSON with two blanks a level, members in the order they are added.
class Printer {
 public:
  explicit Printer(std::size_t depth) : depth_(depth) {}
  void raw(std::string_view key, const std::string& value) {
    text_ += (text_.empty() ? "\n" : ",\n") + std::string(2 * depth_ + 2, ' ') + json_string(key) + ": " + value;
  }
  void add(std::string_view key, const std::string& value) {
    if (!value.empty()) raw(key, json_string(value));
  }
  void add(std::string_view key, bool value) {
    if (value) raw(key, "true");
  }
  void add(std::string_view key, const std::vector<std::string>& values) {
    if (values.empty()) return;
    const std::string indent(2 * depth_ + 2, ' ');
    std::string list;
    for (const auto& value : values) list += (list.empty() ? "\n" : ",\n") + indent + "  " + json_string(value);
    raw(key, "[" + list + "\n" + indent + "]");
  }
  void add(std::string_view key, const std::map<std::string, std::string>& values) {
    if (values.empty()) return;
    Printer inner(depth_ + 1);
    for (const auto& [name, value] : values) inner.raw(name, json_string(value));
    raw(key, inner.text());
  }
  [[nodiscard]] std::string text() const { return "{" + text_ + "\n" + std::string(2 * depth_, ' ') + "}"; }

 private:
  std::size_t depth_;
  std::string text_;
};

std::map<std::string, std::string> contexts_of(const model::Build& build) {
  auto contexts = build.additional_contexts;
  for (auto& [name, source] : contexts)
    if (source.starts_with("service:")) source = "target:" + source.substr(8);
  return contexts;
}

std::vector<std::string> secrets_of(const model::Project& project, const model::Build& build) {
  std::vector<std::string> result;
  for (const auto& reference : build.secrets) {
    const auto found = project.secrets.find(reference.source);
    if (found == project.secrets.end()) continue;
    const std::string id = "id=" + (reference.target.empty() ? reference.source : reference.target);
    result.push_back(found->second.file.empty() ? id + ",type=env,env=" + found->second.environment : id + ",type=file,src=" + found->second.file);
  }
  return result;
}

std::vector<std::string> ssh_of(const model::Build& build, const BuildOptions& options) {
  std::vector<std::string> result;
  for (const auto& key : build.ssh) result.push_back(key.id + "=" + key.path);
  for (const auto& entry : options.ssh) result.push_back(entry.find('=') == std::string::npos ? entry + "=" : entry);
  return result;
}

/// provenance and sbom, from the command line or the file, as attestations.
std::vector<std::string> attestations_of(const model::Build& build, const BuildOptions& options) {
  std::vector<std::string> result;
  const auto add = [&](const std::string& type, const std::string& value) {
    if (value.empty()) return;
    const std::string head = "type=" + type;
    if (value == "true") result.push_back(head);
    else if (value == "false") result.push_back(head + ",disabled=true");
    else result.push_back(head + "," + value);
  };
  add("provenance", options.provenance.empty() ? build.provenance : options.provenance);
  add("sbom", options.sbom.empty() ? build.sbom : options.sbom);
  return result;
}

std::string dockerfile_of(const model::Build& build) {
  if (!build.dockerfile_inline.empty()) return "";
  const std::filesystem::path file(build.dockerfile.empty() ? "Dockerfile" : build.dockerfile);
  const bool remote = build.context.find("://") != std::string::npos || build.context.starts_with("git@");
  return file.is_absolute() || remote ? file.string() : (std::filesystem::path(build.context) / file).lexically_normal().string();
}

std::string target_text(const model::Project& project, const model::Service& service, const BuildOptions& options) {
  const model::Build& build = *service.build;
  Printer target(2);
  target.add("context", build.context);
  target.add("contexts", contexts_of(build));
  target.add("dockerfile", dockerfile_of(build));
  target.add("dockerfile-inline", build.dockerfile_inline);
  auto arguments = build_arguments(project, build, options);
  if (const auto proxies = engine::docker_build_proxies()) arguments.insert(proxies->begin(), proxies->end());
  target.add("args", arguments);
  target.add("labels", build_labels(project, service));
  auto tags = build.tags;
  tags.push_back(reconcile::image_name(project, service, globals().compatibility));
  target.add("tags", tags);
  target.add("cache-from", build.cache_from);
  target.add("cache-to", build.cache_to);
  target.add("target", build.target);
  target.add("secret", secrets_of(project, build));
  target.add("ssh", ssh_of(build, options));
  target.add("platforms", build.platforms);
  target.add("pull", build.pull || options.pull);
  target.add("no-cache", build.no_cache || options.no_cache);
  target.add("network", build.network);
  if (build.shm_size_bytes != 0) target.add("shm-size", std::to_string(build.shm_size_bytes));
  std::vector<std::string> limits;
  for (const auto& [name, limit] : build.ulimits)
    limits.push_back(name + "=" + std::to_string(limit.soft) + (limit.soft == limit.hard ? "" : ":" + std::to_string(limit.hard)));
  target.add("ulimits", limits);
  target.add("entitlements", build.entitlements);
  std::map<std::string, std::string> hosts;
  for (const auto& entry : build.extra_hosts) hosts[entry.substr(0, entry.find('='))] = entry.substr(entry.find('=') + 1);
  target.add("extra-hosts", hosts);
  const bool push = options.push && !service.image.empty();
  if (options.check) target.add("call", std::string("lint"));
  else target.add("output", std::vector<std::string>{push || build.platforms.size() > 1 ? "type=image,push=" + std::string(push ? "true" : "false") : "type=docker"});
  target.add("attest", attestations_of(build, options));
  return target.text();
}

}  // namespace

std::string bake_file(const model::Project& project, const std::vector<std::string>& services, const BuildOptions& options) {
  Printer root(0), group(1), targets(1), all(2);
  all.add("targets", services);
  group.raw("default", all.text());
  for (const auto& name : services) targets.raw(name, target_text(project, *project.find_service(name), options));
  root.raw("group", group.text());
  root.raw("target", targets.text());
  return root.text() + "\n";
}

}  // namespace compose::cli
