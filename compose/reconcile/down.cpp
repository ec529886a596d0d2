// down, stop, kill, restart, pause, rm: what is there, taken towards less.
#include <algorithm>

#include "compose/reconcile/labels.h"
#include "compose/reconcile/planner.h"

namespace compose::reconcile {

using namespace engine;

namespace {

bool active(const Found& found) {
  return found.info->state == ContainerState::running || found.info->state == ContainerState::paused ||
         found.info->state == ContainerState::restarting;
}

/// service → the services that depend on it.
std::unordered_map<std::string, std::vector<std::string>> dependents_of(const Desired& desired) {
  std::unordered_map<std::string, std::vector<std::string>> result;
  for (const auto& service : desired.services) {
    for (const auto& dependency : service.depends_on) result[dependency.service].push_back(service.name);
  }
  return result;
}

std::string with_tag(const std::string& image) {
  const auto slash = image.rfind('/');
  const auto from = slash == std::string::npos ? 0 : slash;
  return image.find(':', from) == std::string::npos && image.find('@') == std::string::npos ? image + ":latest" : image;
}

}  // namespace

void Planner::stop_all() {
  const auto dependents = dependents_of(desired_);
  std::unordered_map<std::string, Steps> done;
  for (auto service = order_.rbegin(); service != order_.rend(); ++service) {
    Steps after;
    if (const auto found = dependents.find((*service)->name); found != dependents.end()) {
      for (const auto& name : found->second) after.insert(after.end(), done[name].begin(), done[name].end());
    }
    for (const Found* found : found_of((*service)->name)) {
      if (active(*found)) {
        done[(*service)->name].push_back(stop(*found, "stop", after));
      } else {
        note("Container", found->name(), "Stopping");
        note("Container", found->name(), "Stopped");
      }
    }
    // A service without running containers still keeps the order between its neighbours.
    if (done[(*service)->name].empty()) done[(*service)->name] = after;
  }
}

void Planner::kill_all() {
  for (const auto& service : desired_.services) {
    for (const auto& found : observed_.containers) {
      if (found.service != service.name || found.info->state == ContainerState::exited ||
          found.info->state == ContainerState::created || found.info->state == ContainerState::dead) {
        continue;
      }
      add(action::KillContainer{found.name(), options_.signal}, "kill", {}, Hazard::downtime);
    }
  }
  if (options_.remove_orphans) handle_orphans();
}

void Planner::restart_all() {
  std::unordered_map<std::string, Steps> done;
  for (const Service* service : order_) {
    bool wanted = named(service->name);
    Steps after;
    for (const auto& dependency : service->depends_on) {
      // Only restart: true ties a dependent to the restart of what it needs, and only such services wait for it.
      if (!dependency.restart || !named(dependency.service) || options_.no_deps) continue;
      wanted = true;
      const auto& steps = done[dependency.service];
      after.insert(after.end(), steps.begin(), steps.end());
    }
    if (!wanted) continue;
    for (const Found* found : found_of(service->name)) {
      const auto step = add(action::RestartContainer{found->name(), options_.stop_timeout},
                            named(service->name) ? "restart" : "what it depends on restarts", after,
                            active(*found) ? Hazard::downtime : Hazard::none);
      done[service->name].push_back(step);
    }
  }
}

void Planner::pause_all(bool pause) {
  const auto from = pause ? ContainerState::running : ContainerState::paused;
  for (const auto& service : desired_.services) {
    for (const Found* found : found_of(service.name)) {
      if (found->info->state != from) continue;
      if (pause) {
        add(action::PauseContainer{found->name()}, "pause", {}, Hazard::downtime);
      } else {
        add(action::UnpauseContainer{found->name()}, "unpause");
      }
    }
  }
}

void Planner::remove_stopped() {
  for (const auto& found : observed_.containers) {
    if (found.one_off && !options_.one_offs) continue;
    if (find_service(desired_, found.service) == nullptr) continue;
    if (active(found) && !options_.stop_first) continue;
    Steps after;
    if (active(found)) after.push_back(stop(found, "rm"));
    remove(found, "rm", after, options_.volumes);
  }
}

void Planner::down_container(const Found& found, const Steps& after, Steps& removed,
                             std::unordered_map<std::string, Steps>& gone) {
  const auto stopped = stop(found, "down", after);
  const auto step = remove(found, "down", {stopped}, options_.volumes);
  removed.push_back(step);
  for (const auto& attachment : found.info->spec.networks) gone["network " + attachment.network].push_back(step);
  for (const auto& mount : found.info->spec.mounts) {
    if (mount.type == MountType::volume && !mount.source.empty()) gone["volume " + mount.source].push_back(step);
  }
  gone["image " + found.info->spec.image].push_back(step);
}

void Planner::take_down() {
  std::unordered_map<std::string, Steps> gone, removed;
  if (options_.remove_orphans) {
    for (const auto& found : observed_.containers) {
      if (found.one_off || !desired_.known_services.contains(found.service)) {
        down_container(found, {}, removed["orphans"], gone);
      }
    }
  }
  const auto dependents = dependents_of(desired_);
  for (auto service = order_.rbegin(); service != order_.rend(); ++service) {
    Steps after;
    if (const auto found = dependents.find((*service)->name); found != dependents.end()) {
      for (const auto& name : found->second) after.insert(after.end(), removed[name].begin(), removed[name].end());
    }
    for (const Found* found : found_of((*service)->name)) down_container(*found, after, removed[(*service)->name], gone);
    if (removed[(*service)->name].empty()) removed[(*service)->name] = after;
  }
  take_down_images(gone);
  if (options_.volumes) take_down_volumes(gone);
  take_down_networks(gone);
}

void Planner::take_down_networks(const std::unordered_map<std::string, Steps>& gone) {
  std::set<std::string> in_use;
  for (const auto& found : observed_.containers) {
    if (removed_.contains(found.name()) || !active(found)) continue;
    for (const auto& attachment : found.info->spec.networks) in_use.insert(attachment.network);
  }
  std::vector<std::string> names;
  for (const auto& [name, info] : observed_.networks) {
    if (info->spec.project == observed_.project && label_of(info->spec.labels, label::project) == observed_.project) {
      names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  for (const auto& name : names) {
    if (in_use.contains(name)) {
      note("Network", name, "Resource is still in use");
      continue;
    }
    const auto after = gone.find("network " + name);
    add(action::RemoveNetwork{name}, "down", after == gone.end() ? Steps{} : after->second);
  }
}

void Planner::take_down_volumes(const std::unordered_map<std::string, Steps>& gone) {
  for (const auto& volume : desired_.volumes) {
    if (volume.external || !observed_.volumes.contains(volume.spec.name)) continue;
    const auto after = gone.find("volume " + volume.spec.name);
    add(action::RemoveVolume{volume.spec.name}, "down --volumes", after == gone.end() ? Steps{} : after->second, Hazard::data_loss);
  }
}

void Planner::take_down_images(const std::unordered_map<std::string, Steps>& gone) {
  if (options_.remove_images == RemoveImages::none) return;
  std::map<std::string, Steps> images;
  for (const auto& service : desired_.services) {
    if (options_.remove_images == RemoveImages::local && !service.generated_image) continue;
    if (service.spec.image.empty() || service.spec.image_id.empty()) continue;  // not here: nothing to remove
    const auto after = gone.find("image " + service.spec.image);
    images[with_tag(service.spec.image)] = after == gone.end() ? Steps{} : after->second;
  }
  for (const auto& [image, after] : images) add(action::RemoveImage{image}, "down --rmi", after);
}

}  // namespace compose::reconcile
