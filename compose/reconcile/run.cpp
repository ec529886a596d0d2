#include "compose/reconcile/run.h"

#include <algorithm>

#include "compose/reconcile/labels.h"

namespace compose::reconcile {
namespace {

void set_variable(std::vector<std::string>& env, const std::string& entry) {
  const std::string key = entry.substr(0, entry.find('='));
  std::erase_if(env, [&](const std::string& old) { return old.substr(0, old.find('=')) == key; });
  env.push_back(entry);
}

void set_mount(std::vector<engine::MountSpec>& mounts, const engine::MountSpec& mount) {
  std::erase_if(mounts, [&](const engine::MountSpec& old) { return old.target == mount.target; });
  mounts.push_back(mount);
}

}  // namespace

Service one_off(const Desired& desired, const Service& service, const RunOptions& options) {
  Service out = service;
  auto& spec = out.spec;
  out.fixed_name = !options.name.empty() ? options.name
                                         : desired.project + desired.separator + service.name + desired.separator + "run" +
                                               desired.separator + options.slug;
  out.replicas = 1;
  if (!options.command.empty()) spec.command = options.command;
  if (options.entrypoint) {
    spec.entrypoint = split_words(*options.entrypoint);
    // As Docker: a new entrypoint does not get the old one's arguments.
    if (options.command.empty()) spec.command = std::vector<std::string>{};
  }
  for (const auto& entry : options.environment) set_variable(spec.env, entry);
  spec.cap_add.insert(spec.cap_add.end(), options.cap_add.begin(), options.cap_add.end());
  spec.cap_drop.insert(spec.cap_drop.end(), options.cap_drop.begin(), options.cap_drop.end());
  for (const auto& entry : options.labels) {
    const auto equals = entry.find('=');
    spec.labels[entry.substr(0, equals)] = equals == std::string::npos ? "" : entry.substr(equals + 1);
  }
  if (!options.user.empty()) spec.user = options.user;
  if (!options.working_dir.empty()) spec.working_dir = options.working_dir;
  if (!options.service_ports) spec.ports.clear();
  spec.ports.insert(spec.ports.end(), options.ports.begin(), options.ports.end());
  for (const auto& mount : options.mounts) set_mount(spec.mounts, mount);
  if (!options.use_aliases) {
    for (auto& attachment : spec.networks) attachment.aliases.clear();
  }
  // A fixed address belongs to the service's own container, which may be running.
  for (auto& attachment : spec.networks) attachment.ipv4_address.clear(), attachment.ipv6_address.clear(), attachment.mac_address.clear();
  spec.restart = {};
  spec.tty = options.tty;
  spec.stdin_open = options.interactive;
  spec.auto_remove = options.remove;
  spec.labels[std::string(label::one_off)] = "True";
  spec.labels[std::string(label::slug)] = options.slug;
  return out;
}

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == '\'') {
      if (c == '\'') quote = 0;
      else word += c;
    } else if (c == '\\' && i + 1 < text.size() && (quote == 0 || text[i + 1] == '"' || text[i + 1] == '\\')) {
      word += text[++i];
      inside = true;
    } else if (quote == '"') {
      if (c == '"') quote = 0;
      else word += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      inside = true;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (inside) words.push_back(std::move(word));
      word.clear();
      inside = false;
    } else {
      word += c;
      inside = true;
    }
  }
  if (inside) words.push_back(std::move(word));
  return words;
}

}  // namespace compose::reconcile
