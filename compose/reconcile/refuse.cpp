// What the engine cannot do, in one table: an attribute that is not honoured is refused at its place in the file, never ignored.
// Accepted without an effect, because there is nothing to do on one Linux machine: volumes.consistency (macOS only),
// volumes.bind.selinux (containers run unconfined by SELinux), ports.name, ports.app_protocol and ports.mode (every port is published
// on this machine either way), deploy.labels (labels of a Swarm service object; containers never get them), networks.attachable.
#include <algorithm>
#include <functional>

#include "compose/reconcile/service_spec.h"

namespace compose::reconcile {
namespace {

using model::Project;
using model::Service;

struct Finding {
  std::string path;     ///< below the service: "deploy.mode"
  std::string message;
  std::string hint;
};
using Findings = std::vector<Finding>;

bool one_of(const std::string& value, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), value) != words.end();
}

struct Rule {
  std::string_view path;
  bool (*applies)(const Service&);
  std::string_view message;
  std::string_view hint;
};

constexpr std::string_view windows_only = "exists on Windows only";

/// Attributes refused as soon as they are set (to anything that matters).
const Rule rules[] = {
    {"cpu_count", [](const Service& s) { return s.cpu_count != 0; }, windows_only, "use 'cpus'"},
    {"cpu_percent", [](const Service& s) { return s.cpu_percent != 0; }, windows_only, "use 'cpus'"},
    {"credential_spec", [](const Service& s) { return s.credential_spec.has_value(); }, windows_only, ""},
    {"isolation", [](const Service& s) { return !one_of(s.isolation, {"", "default"}); }, windows_only, ""},
    {"storage_opt", [](const Service& s) { return !s.storage_opt.empty(); }, "needs a storage driver with quotas; layers are overlayfs here", ""},
    {"provider", [](const Service& s) { return s.provider.has_value(); }, "provider services are not supported", ""},
    {"models", [](const Service& s) { return !s.models.empty(); }, "models need a model runner, which is not supported", ""},
    {"use_api_socket", [](const Service& s) { return s.use_api_socket; }, "there is no Docker API socket to hand out", ""},
    {"gpus", [](const Service& s) { return !s.gpus.empty(); }, "GPU requests are not supported yet", "list the device nodes under 'devices'"},
    {"runtime", [](const Service& s) { return !one_of(s.runtime, {"", "runc", "io.containerd.runc.v2"}); }, "only the built-in OCI runtime is supported", ""},
    {"deploy.mode", [](const Service& s) { return s.deploy && !one_of(s.deploy->mode, {"", "replicated", "global"}); }, "job modes are not supported", ""},
    {"deploy.endpoint_mode", [](const Service& s) { return s.deploy && !one_of(s.deploy->endpoint_mode, {"", "dnsrr"}); }, "virtual IPs are not supported; names resolve to every replica in turn", "use 'dnsrr'"},
    {"deploy.rollback_config", [](const Service& s) { return s.deploy && s.deploy->rollback_config.has_value(); }, "automatic rollback is not supported yet", ""},
    {"deploy.placement.preferences", [](const Service& s) { return s.deploy && !s.deploy->placement.preferences_spread.empty(); }, "there is one machine only, nothing to spread over", ""},
    {"deploy.resources.limits.devices", [](const Service& s) { return s.deploy && s.deploy->limits && !s.deploy->limits->devices.empty(); }, "device requests are not supported yet", "list the device nodes under 'devices'"},
    {"deploy.resources.reservations.devices", [](const Service& s) { return s.deploy && s.deploy->reservations && !s.deploy->reservations->devices.empty(); }, "device requests are not supported yet", "list the device nodes under 'devices'"},
    {"deploy.resources.reservations.generic_resources", [](const Service& s) { return s.deploy && s.deploy->reservations && !s.deploy->reservations->generic_resources.empty(); }, "generic resources exist in Swarm only", ""},
    {"cpu_rt_runtime", [](const Service& s) { return s.cpu_rt_runtime_us != 0 && s.cpu_rt_period_us == 0; }, "needs 'cpu_rt_period' too", ""},
};

void check_update(const Service& service, Findings& findings) {
  if (!service.deploy || !service.deploy->update_config) return;
  const auto& update = *service.deploy->update_config;
  const bool plain = one_of(update.order, {"", "stop-first"}) && one_of(update.failure_action, {"", "pause"}) &&
                     update.parallelism.value_or(0) == 0 && update.delay.value_or(model::Duration{}) == model::Duration{} &&
                     update.monitor.value_or(model::Duration{}) == model::Duration{} && update.max_failure_ratio == 0;
  if (!plain) findings.push_back({"deploy.update_config", "rolling updates are not supported yet: only 'order: stop-first', all replicas at once", ""});
}

void check_placement(const Service& service, Findings& findings) {
  if (!service.deploy) return;
  const auto& placement = service.deploy->placement;
  for (std::size_t i = 0; i < placement.constraints.size(); ++i) {
    std::string text;
    for (const char c : placement.constraints[i]) {
      if (c != ' ') text += c;
    }
    if (one_of(text, {"node.role==manager", "node.platform.os==linux"})) continue;
    findings.push_back({"deploy.placement.constraints[" + std::to_string(i) + "]",
                        "constraint '" + placement.constraints[i] + "' cannot be checked: this machine is no Swarm node", ""});
  }
  if (placement.max_replicas_per_node != 0 && service.replicas() > placement.max_replicas_per_node) {
    findings.push_back({"deploy.placement.max_replicas_per_node", "there is one machine only, and more replicas are wanted", ""});
  }
}

void check_network(const Service& service, Findings& findings) {
  for (const auto& [name, network] : service.networks) {
    if (!network.driver_opts.empty()) {
      findings.push_back({"networks." + name + ".driver_opts", "options of an endpoint are not supported yet", ""});
    }
  }
  for (std::size_t i = 0; i < service.ports.size(); ++i) {
    if (!one_of(service.ports[i].protocol, {"tcp", "udp"})) {
      findings.push_back({"ports[" + std::to_string(i) + "]", "protocol '" + service.ports[i].protocol + "' cannot be published", "tcp and udp can"});
    }
  }
  for (std::size_t i = 0; i < service.external_links.size(); ++i) {
    const auto& link = service.external_links[i];
    const auto colon = link.find(':');
    if (colon == std::string::npos || link.substr(0, colon) == link.substr(colon + 1)) continue;
    findings.push_back({"external_links[" + std::to_string(i) + "]", "an alias for a container of another project is not supported",
                        "containers on a shared network find each other by container name"});
  }
}

/// What `config` prints as Docker Compose does although no container could be made of it.
void check_values(const Service& service, Findings& findings) {
  if (const auto nameless = service.environment.find(""); nameless != service.environment.end()) {
    findings.push_back({"environment", "a variable has no name" + (nameless->second ? ", only the value '" + *nameless->second + "'" : std::string()),
                        "a name at the very end of an env file needs a line end behind it"});
  }
  const auto size = [&](const char* path, std::int64_t bytes, std::int64_t least) {
    if (bytes < least) findings.push_back({path, "is more than 8 EiB, or negative", ""});
  };
  size("mem_limit", service.mem_limit_bytes, 0);
  size("mem_reservation", service.mem_reservation_bytes, 0);
  size("memswap_limit", service.memswap_limit_bytes, -1);
  size("shm_size", service.shm_size_bytes, 0);
  size("pids_limit", service.pids_limit, -1);
}

void check_storage(const Service& service, Findings& findings) {
  for (std::size_t i = 0; i < service.volumes.size(); ++i) {
    const auto& volume = service.volumes[i];
    if (!volume.target.starts_with('/')) {
      findings.push_back({"volumes[" + std::to_string(i) + "].target", "'" + volume.target + "' is no absolute path: there is nowhere to mount it", ""});
    }
    if (one_of(volume.type, {"bind", "volume", "tmpfs", "image"})) continue;
    findings.push_back({"volumes[" + std::to_string(i) + "].type", "'" + volume.type + "' volumes are not supported", ""});
  }
  for (std::size_t i = 0; i < service.devices.size(); ++i) {
    if (service.devices[i].source.starts_with('/')) continue;
    findings.push_back({"devices[" + std::to_string(i) + "]", "CDI device '" + service.devices[i].source + "' is not supported yet",
                        "list the device nodes themselves"});
  }
  const auto check_files = [&](const std::string& what, const std::vector<model::FileReference>& references) {
    for (std::size_t i = 0; i < references.size(); ++i) {
      for (const auto& [field, text] : {std::pair("uid", &references[i].uid), std::pair("gid", &references[i].gid)}) {
        if (text->find_first_not_of("0123456789") == std::string::npos) continue;
        findings.push_back({what + "[" + std::to_string(i) + "]." + field, "'" + *text + "' is no number", ""});
      }
    }
  };
  check_files("configs", service.configs);
  check_files("secrets", service.secrets);
}

void check_logging(const Service& service, Findings& findings) {
  if (!service.logging) return;
  if (!one_of(service.logging->driver, {"", "json-file", "local", "none"})) {
    findings.push_back({"logging.driver", "log driver '" + service.logging->driver + "' is not supported", "json-file, local and none are"});
  }
  for (const auto& [name, value] : service.logging->options) {
    if (one_of(name, {"max-size", "max-file"})) continue;
    // Compression of rotated files is the engine's own affair: any answer keeps every line readable by `logs`.
    if (name == "compress" || (name == "mode" && value == "blocking")) continue;
    findings.push_back({"logging.options." + name, "log option '" + name + "' is not supported", "max-size and max-file are"});
  }
}

void check_modes(const Service& service, Findings& findings) {
  const auto check = [&](const char* path, const std::string& value, std::initializer_list<std::string_view> words, bool join) {
    if (one_of(value, words)) return;
    if (join && (value.starts_with("service:") || value.starts_with("container:"))) return;
    findings.push_back({path, "'" + value + "' is not supported", ""});
  };
  check("pid", service.pid, {"", "host", "private"}, true);
  check("ipc", service.ipc, {"", "host", "private", "shareable", "none"}, true);
  check("uts", service.uts, {"", "host", "private"}, false);
  check("userns_mode", service.userns_mode, {"", "host"}, false);
  check("cgroup", service.cgroup, {"", "host", "private"}, false);
}

void check_service(const Project& project, const Service& service, std::vector<load::Diagnostic>& refusals) {
  Findings findings;
  for (const auto& rule : rules) {
    if (rule.applies(service)) findings.push_back({std::string(rule.path), std::string(rule.message), std::string(rule.hint)});
  }
  check_values(service, findings);
  check_update(service, findings);
  check_placement(service, findings);
  check_network(service, findings);
  check_storage(service, findings);
  check_logging(service, findings);
  check_modes(service, findings);
  for (auto& finding : findings) {
    const std::string path = "services." + service.name + "." + finding.path;
    refusals.push_back({.at = project.position_of(path), .path = path, .message = std::move(finding.message), .hint = std::move(finding.hint)});
  }
}

void check_top_level(const Project& project, std::vector<load::Diagnostic>& refusals) {
  const auto refuse = [&](const std::string& path, const std::string& message) {
    refusals.push_back({.at = project.position_of(path), .path = path, .message = message, .hint = {}});
  };
  std::set<std::string> networks, volumes, configs, secrets;
  for (const auto& [name, service] : project.services) {
    for (const auto& [key, wanted] : service.networks) networks.insert(key);
    for (const auto& volume : service.volumes) volumes.insert(volume.source);
    for (const auto& config : service.configs) configs.insert(config.source);
    for (const auto& secret : service.secrets) secrets.insert(secret.source);
  }
  for (const auto& [key, network] : project.networks) {
    if (!networks.contains(key) || network.external) continue;
    const std::string path = "networks." + key;
    if (!one_of(network.driver, {"", "default", "bridge", "macvlan", "ipvlan", "none"})) {
      refuse(path + ".driver", "network driver '" + network.driver + "' is not supported");
    }
    if (!one_of(network.ipam_driver, {"", "default"})) refuse(path + ".ipam.driver", "IPAM driver '" + network.ipam_driver + "' is not supported");
    if (!network.ipam_options.empty()) refuse(path + ".ipam.options", "options of the IPAM driver are not supported");
  }
  for (const auto& [key, volume] : project.volumes) {
    if (!volumes.contains(key) || volume.external || one_of(volume.driver, {"", "local"})) continue;
    refuse("volumes." + key + ".driver", "volume driver '" + volume.driver + "' is not supported");
  }
  const auto check_files = [&](const std::string& what, const std::map<std::string, model::FileSource>& sources, const std::set<std::string>& used) {
    for (const auto& [key, source] : sources) {
      if (!used.contains(key)) continue;
      const std::string path = what + "." + key;
      if (source.external) refuse(path + ".external", "unsupported external " + what.substr(0, what.size() - 1) + " " + key);
      if (!source.driver.empty()) refuse(path + ".driver", "drivers are not supported");
      if (!source.template_driver.empty()) refuse(path + ".template_driver", "templates are not supported");
    }
  };
  check_files("configs", project.configs, configs);
  check_files("secrets", project.secrets, secrets);
}

}  // namespace

void refuse_unsupported(const Project& project, std::vector<load::Diagnostic>& refusals) {
  for (const auto& [name, service] : project.services) check_service(project, service, refusals);
  check_top_level(project, refusals);
}

}  // namespace compose::reconcile
