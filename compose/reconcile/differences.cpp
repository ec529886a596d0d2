#include "compose/reconcile/differences.h"

#include <algorithm>
#include <map>

namespace compose::reconcile {
namespace {

using namespace engine;

std::map<std::string, std::string> variables(const std::vector<std::string>& env) {
  std::map<std::string, std::string> result;
  for (const auto& entry : env) {
    const auto equals = entry.find('=');
    result[entry.substr(0, equals)] = equals == std::string::npos ? "" : entry.substr(equals);
  }
  return result;
}

/// "environment A, B changed": names only, values may be secret.
std::string changed_keys(const std::string& what, const std::map<std::string, std::string>& is,
                         const std::map<std::string, std::string>& wanted) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : is) {
    const auto other = wanted.find(key);
    if (other == wanted.end() || other->second != value) keys.push_back(key);
  }
  for (const auto& [key, value] : wanted) {
    if (!is.contains(key)) keys.push_back(key);
  }
  std::sort(keys.begin(), keys.end());
  std::string text;
  for (const auto& key : keys) text += (text.empty() ? what + " " : ", ") + key;
  return text.empty() ? text : text + " changed";
}

std::map<std::string, std::string> own_labels(const Labels& labels) {
  std::map<std::string, std::string> result;
  for (const auto& [name, value] : labels) {
    if (!name.starts_with("com.docker.compose.")) result.emplace(name, value);
  }
  return result;
}


}  // namespace

std::string differences(const ContainerSpec& is, const ContainerSpec& wanted, bool image_changed) {
  std::vector<std::string> parts;
  if (is.image != wanted.image) {
    parts.push_back("image " + is.image + " became " + wanted.image);
  } else if (image_changed) {
    parts.push_back("image " + wanted.image + " changed");
  }
  if (auto keys = changed_keys("environment", variables(is.env), variables(wanted.env)); !keys.empty()) parts.push_back(keys);
  if (auto keys = changed_keys("label", own_labels(is.labels), own_labels(wanted.labels)); !keys.empty()) parts.push_back(keys);
  const std::pair<const char*, bool> fields[] = {
      {"command", is.command != wanted.command || is.entrypoint != wanted.entrypoint},
      {"ports", is.ports != wanted.ports || is.expose != wanted.expose},
      {"volumes", is.mounts != wanted.mounts},
      {"networks", is.networks != wanted.networks},
      {"configs or secrets", is.files != wanted.files},
      {"user", is.user != wanted.user || is.group_add != wanted.group_add},
      {"working_dir", is.working_dir != wanted.working_dir},
      {"hostname", is.hostname != wanted.hostname || is.domainname != wanted.domainname},
      {"healthcheck", is.healthcheck != wanted.healthcheck},
      {"restart", is.restart != wanted.restart},
      {"stop settings", is.stop_signal != wanted.stop_signal || is.stop_grace != wanted.stop_grace},
      {"resources", is.resources != wanted.resources || is.ulimits != wanted.ulimits || is.shm_size_bytes != wanted.shm_size_bytes},
      {"privileges", is.privileged != wanted.privileged || is.cap_add != wanted.cap_add || is.cap_drop != wanted.cap_drop ||
                         is.security_opt != wanted.security_opt || is.read_only != wanted.read_only},
      {"devices", is.devices != wanted.devices || is.device_cgroup_rules != wanted.device_cgroup_rules},
      {"sysctls", is.sysctls != wanted.sysctls},
      {"dns", is.dns != wanted.dns || is.dns_search != wanted.dns_search || is.dns_opt != wanted.dns_opt},
      {"extra_hosts", is.extra_hosts != wanted.extra_hosts},
      {"logging", is.log_driver != wanted.log_driver || is.log_options != wanted.log_options},
      {"tty or stdin_open", is.tty != wanted.tty || is.stdin_open != wanted.stdin_open},
      {"init", is.init != wanted.init},
      {"hooks", is.post_start != wanted.post_start || is.pre_stop != wanted.pre_stop},
  };
  for (const auto& [name, differs] : fields) {
    if (differs) parts.push_back(std::string(name) + " changed");
  }
  std::string text;
  for (const auto& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text.empty() ? "configuration changed" : text;
}

std::vector<std::string> shared_services(const ContainerSpec& spec) {
  std::vector<std::string> result;
  for (const std::string* mode : {&spec.network_mode, &spec.pid_mode, &spec.ipc_mode, &spec.uts_mode}) {
    if (mode->starts_with("service:")) result.push_back(mode->substr(8));
  }
  for (const auto& source : spec.volumes_from) {
    if (source.starts_with("service:")) result.push_back(source.substr(8, source.find(':', 8) - 8));
  }
  std::sort(result.begin(), result.end());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

}  // namespace compose::reconcile
