// Networks, volumes and orphans: what comes before and around the services.
#include <algorithm>

#include "compose/reconcile/labels.h"
#include "compose/reconcile/planner.h"

namespace compose::reconcile {

using namespace engine;
using base::ErrorKind;
using base::Result;

namespace {

bool runs(const ContainerInfo& info) {
  return info.state == ContainerState::running || info.state == ContainerState::paused ||
         info.state == ContainerState::restarting;
}

bool uses_volume(const ContainerInfo& info, const std::string& volume) {
  return std::any_of(info.volumes.begin(), info.volumes.end(), [&](const auto& entry) { return entry.second == volume; }) ||
         std::any_of(info.spec.mounts.begin(), info.spec.mounts.end(), [&](const MountSpec& mount) {
           return mount.type == MountType::volume && mount.source == volume;
         });
}

}  // namespace

void Planner::handle_orphans() {
  if (options_.ignore_orphans) return;
  std::vector<const Found*> orphans;
  for (const auto& found : observed_.containers) {
    // A finished one-off is litter whatever its service; a running one is somebody's work (Docker Compose: isOrphaned).
    const bool orphan = found.one_off ? !runs(*found.info) : !desired_.known_services.contains(found.service);
    if (orphan) orphans.push_back(&found);
  }
  if (orphans.empty()) return;
  if (options_.remove_orphans) {
    for (const Found* found : orphans) {
      const std::string reason = found->one_off ? "left over from run" : "service " + found->service + " is not in the file";
      remove(*found, reason, {stop(*found, reason)}, false);
      processed_.insert(found->name());
    }
    return;
  }
  std::string names;
  for (const Found* found : orphans) {
    names += (names.empty() ? "" : " ") + found->name();
    out_.orphans.push_back(found->name());
  }
  out_.warnings.push_back("Found orphan containers ([" + names +
                          "]) for this project. If you removed or renamed this service in your compose file, you can run "
                          "this command with the --remove-orphans flag to clean it up.");
}

Result<> Planner::ensure_networks() {
  for (const auto& network : desired_.networks) {
    const auto& name = network.spec.name;
    const auto found = observed_.networks.find(name);
    if (network.external) {
      if (found != observed_.networks.end()) continue;
      return base::make_error(ErrorKind::not_found, "network " + name + " declared as external, but could not be found");
    }
    if (found == observed_.networks.end()) {
      network_ready_[name] = add(action::CreateNetwork{network.spec}, "not there");
      continue;
    }
    const auto& labels = found->second->spec.labels;
    if (label_of(labels, label::project) != desired_.project) {
      out_.warnings.push_back("a network with name " + name + " exists but was not created " +
                              (label_of(labels, label::project).empty() ? "by compose." : "for project \"" + desired_.project + "\".") +
                              "\nSet `external: true` to use an existing network");
    } else if (label_of(labels, label::config_hash) != network.config_hash) {
      replace_network(network);
    }
  }
  return {};
}

/// A network cannot change while containers are in it: they are stopped, taken off, and join the new one.
void Planner::replace_network(const Network& network) {
  const auto& name = network.spec.name;
  const std::string why = "network " + network.key + " changed";
  replaced_networks_.insert(name);
  Steps off;
  for (const auto& found : observed_.containers) {
    const auto& attachments = found.info->spec.networks;
    const bool attached = std::any_of(attachments.begin(), attachments.end(),
                                      [&](const NetworkAttachment& attachment) { return attachment.network == name; });
    if (!attached) continue;
    if (removed_.contains(found.name())) {
      off.push_back(name_freed_[found.name()]);
      continue;
    }
    Steps after;
    if (const auto early = stopped_.find(found.name()); early != stopped_.end()) {
      after.push_back(early->second);
    } else if (runs(*found.info)) {
      after.push_back(stopped_[found.name()] = stop(found, why));
      stop_reason_[found.name()] = "was running";
    }
    off.push_back(add(action::DisconnectNetwork{found.name(), name}, why, after));
    disconnected_[found.name()].push_back(off.back());
  }
  const auto gone = add(action::RemoveNetwork{name}, "config differs", off, Hazard::downtime);
  network_ready_[name] = add(action::CreateNetwork{network.spec}, "config differs", {gone});
}

Result<> Planner::ensure_volumes() {
  for (const auto& volume : desired_.volumes) {
    const auto& name = volume.spec.name;
    const auto found = observed_.volumes.find(name);
    if (volume.external) {
      if (found != observed_.volumes.end()) continue;
      return base::make_error(ErrorKind::not_found, "external volume \"" + name + "\" not found");
    }
    if (found == observed_.volumes.end()) {
      volume_ready_[name] = add(action::CreateVolume{volume.spec}, "not there");
      continue;
    }
    const auto& labels = found->second->spec.labels;
    const auto owner = label_of(labels, label::project);
    if (owner.empty()) {
      out_.warnings.push_back("volume \"" + name + "\" already exists but was not created by Docker Compose. Use `external: "
                              "true` to use an existing volume");
    } else if (owner != desired_.project) {
      out_.warnings.push_back("volume \"" + name + "\" already exists but was created for project \"" + std::string(owner) +
                              "\" (expected \"" + desired_.project + "\"). Use `external: true` to use an existing volume");
    } else if (label_of(labels, label::config_hash) != volume.config_hash) {
      if (options_.recreate_volumes) {
        replace_volume(volume);
      } else {
        out_.changed_volumes.push_back(name);
      }
    }
  }
  return {};
}

void Planner::replace_volume(const Volume& volume) {
  const auto& name = volume.spec.name;
  const std::string why = "volume " + volume.key + " changed";
  Steps off;
  for (const auto& found : observed_.containers) {
    if (!uses_volume(*found.info, name)) continue;
    if (!removed_.contains(found.name())) {
      remove(found, why, {stop(found, why)}, false);
    }
    off.push_back(name_freed_[found.name()]);
  }
  const auto gone = add(action::RemoveVolume{name}, "config differs", off, Hazard::data_loss);
  volume_ready_[name] = add(action::CreateVolume{volume.spec}, "config differs", {gone});
}

Steps Planner::resources_of(const ContainerSpec& spec) const {
  Steps steps;
  for (const auto& attachment : spec.networks) {
    if (const auto ready = network_ready_.find(attachment.network); ready != network_ready_.end()) steps.push_back(ready->second);
  }
  for (const auto& mount : spec.mounts) {
    if (mount.type != MountType::volume) continue;
    if (const auto ready = volume_ready_.find(mount.source); ready != volume_ready_.end()) steps.push_back(ready->second);
  }
  return steps;
}

/// Puts a container that stays into the networks that were replaced. Returns the last step.
StepIndex Planner::reconnect(const Found& found, const std::vector<NetworkAttachment>& attachments) {
  StepIndex last = disconnected_[found.name()].back();
  for (const auto& attachment : attachments) {
    if (!replaced_networks_.contains(attachment.network)) continue;
    last = add(action::ConnectNetwork{found.name(), attachment}, "network " + attachment.network + " changed",
               {network_ready_[attachment.network], last});
  }
  return last;
}

/// Containers on replaced networks that no selected service dealt with: one-offs, services the user did not name.
void Planner::reconnect_others() {
  for (const auto& found : observed_.containers) {
    if (processed_.contains(found.name()) || removed_.contains(found.name())) continue;
    if (!disconnected_.contains(found.name())) continue;
    const auto connected = reconnect(found, found.info->spec.networks);
    if (const auto stopped = stopped_.find(found.name()); stopped != stopped_.end()) {
      add(action::StartContainer{found.name()}, "was running", {connected});
    }
  }
}

}  // namespace compose::reconcile
