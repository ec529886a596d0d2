#include "compose/cli/container_text.h"

#include <algorithm>
#include <set>

#include "compose/cli/output.h"
#include "engine/api/types_json.h"

namespace compose::cli {

using namespace engine;

namespace {

std::string address(const std::string& host_ip) { return host_ip.find(':') != std::string::npos ? "[" + host_ip + "]" : host_ip; }

/// Arguments with a space are quoted, as Docker's daemon does when it joins a command.
std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) {
    text += text.empty() ? "" : " ";
    text += word.find(' ') != std::string::npos ? "'" + word + "'" : word;
  }
  return text;
}

std::string join_labels(const Labels& labels) {
  std::string text;
  for (const auto& [name, value] : labels) text += (text.empty() ? "" : ",") + name + "=" + value;
  return text;
}

std::string publishers(const ContainerInfo& info) {
  std::string list;
  for (const auto& port : info.ports) {
    list += std::string(list.empty() ? "" : ",") + "{\"URL\":" + json_string(port.host_ip) + ",\"TargetPort\":" + std::to_string(port.container_port) +
            ",\"PublishedPort\":" + std::to_string(port.host_port) + ",\"Protocol\":" + json_string(port.protocol) + "}";
  }
  return "[" + list + "]";
}

std::string mounts_text(const ContainerInfo& info, bool whole) {
  std::set<std::string> names;
  for (const auto& [target, volume] : info.volumes) names.insert(volume);
  for (const auto& mount : info.spec.mounts) {
    if (mount.type == MountType::bind) names.insert(mount.source);
  }
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ",") + (whole ? name : ellipsis(name, 15));
  return text;
}

std::string networks_text(const ContainerInfo& info) {
  std::set<std::string> names;
  for (const auto& attachment : info.spec.networks) names.insert(attachment.network);
  if (!info.spec.network_mode.empty()) names.insert(info.spec.network_mode);
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ",") + name;
  return text;
}

}  // namespace

std::string status_text(const ContainerInfo& info, WallNs now) {
  const std::string health = info.health == HealthState::starting ? "health: starting" : std::string(to_string(info.health));
  const std::string suffix = info.health == HealthState::none ? "" : " (" + health + ")";
  const std::string code = info.exit_code ? std::to_string(*info.exit_code) : "unknown";
  switch (info.state) {
    case ContainerState::created: return "Created";
    case ContainerState::running: return "Up " + human_duration(now - info.started) + suffix;
    case ContainerState::paused: return "Up " + human_duration(now - info.started) + " (Paused)";
    case ContainerState::restarting: return "Restarting (" + code + ") " + human_duration(now - info.finished) + " ago";
    case ContainerState::exited: return "Exited (" + code + ") " + human_duration(now - info.finished) + " ago";
    case ContainerState::dead: return "Dead";
  }
  return "";
}

std::string ports_text(const ContainerInfo& info) {
  std::string text;
  std::set<std::string> published;
  const auto add = [&](const std::string& item) { text += (text.empty() ? "" : ", ") + item; };
  for (const auto& port : info.ports) {
    const std::string target = std::to_string(port.container_port) + "/" + port.protocol;
    published.insert(target);
    add(address(port.host_ip) + ":" + std::to_string(port.host_port) + "->" + target);
  }
  if (info.state != ContainerState::running && info.state != ContainerState::paused) return text;
  for (const auto& port : info.spec.expose) {
    if (published.insert(port).second) add(port);
  }
  return text;
}

std::string command_text(const ContainerInfo& info, bool whole) {
  std::vector<std::string> words = info.command;
  if (words.empty()) {
    if (info.spec.entrypoint) words = *info.spec.entrypoint;
    if (info.spec.command) words.insert(words.end(), info.spec.command->begin(), info.spec.command->end());
  }
  const std::string text = joined(words);
  return "\"" + (whole ? text : ellipsis(text, 20)) + "\"";
}

Fields container_fields(const reconcile::Found& container, const std::string& project, WallNs now, bool no_trunc) {
  const ContainerInfo& info = *container.info;
  Fields fields;
  fields.set("Command", command_text(info, no_trunc));
  fields.set("CreatedAt", go_time(info.created));
  fields.set_json("ExitCode", std::to_string(info.exit_code.value_or(0)));
  fields.set("Health", info.health == HealthState::none ? "" : std::string(to_string(info.health)));
  fields.set("ID", no_trunc ? info.id : info.id.substr(0, 12));
  fields.set("Image", info.spec.image);
  fields.set("Labels", join_labels(info.spec.labels));
  fields.set("LocalVolumes", std::to_string(info.volumes.size()));
  fields.set("Mounts", mounts_text(info, no_trunc));
  fields.set("Name", container.name());
  fields.set("Names", container.name());
  fields.set("Networks", networks_text(info));
  fields.set("Ports", ports_text(info));
  fields.set("Project", project);
  fields.set_json("Publishers", publishers(info));
  fields.set("RunningFor", human_duration(now - info.created) + " ago");
  fields.set("Service", container.service);
  fields.set("Size", "0B");
  fields.set("State", std::string(to_string(info.state)));
  fields.set("Status", status_text(info, now));
  return fields;
}

}  // namespace compose::cli
