// up, create, start, run: services brought to what the file says. Follows Docker Compose 2.40's convergence.go.
#include <algorithm>

#include "compose/reconcile/differences.h"
#include "compose/reconcile/labels.h"
#include "compose/reconcile/planner.h"

namespace compose::reconcile {

using namespace engine;
using base::ErrorKind;
using base::Result;

Result<> Planner::bring_up() {
  handle_orphans();
  TRY(ensure_networks());
  TRY(ensure_volumes());
  for (const Service* service : order_) TRY(ensure_service(*service));
  reconnect_others();
  return {};
}

Result<> Planner::ensure_service(const Service& service) {
  if (!service.fixed_name.empty() && service.replicas > 1) {
    return base::make_error(ErrorKind::invalid, "service \"" + service.name + "\" cannot be scaled to " + std::to_string(service.replicas) +
                                                    ": container_name \"" + service.fixed_name + "\" can only be given once");
  }
  ServiceState& state = state_of(service);
  std::vector<std::pair<const Found*, std::string>> current;
  int highest = 0;
  for (const Found* found : found_of(service.name)) {
    if (removed_.contains(found->name())) continue;
    highest = std::max(highest, found->number);
    current.emplace_back(found, why_recreate(service, *found));
  }
  // Obsolete ones and the highest numbers are the first to go when scaling down.
  std::stable_sort(current.begin(), current.end(),
                   [](const auto& a, const auto& b) { return a.second.empty() && !b.second.empty(); });
  const auto wanted = static_cast<std::size_t>(service.replicas);
  for (std::size_t i = 0; i < current.size(); ++i) {
    const auto& [found, why] = current[i];
    processed_.insert(found->name());
    if (i >= wanted) {
      const std::string reason = "scaled down to " + std::to_string(service.replicas);
      remove(*found, reason, {stop(*found, reason)}, false);
    } else if (!why.empty()) {
      TRY(recreate(service, state, *found, why));
    } else {
      keep(service, state, *found);
    }
  }
  for (std::size_t i = current.size(); i < wanted; ++i) TRY(create(service, state, ++highest));
  std::stable_sort(state.slots.begin(), state.slots.end(),
                   [](const Slot& a, const Slot& b) { return a.number < b.number; });
  return {};
}

/// "" when the container may stay.
std::string Planner::why_recreate(const Service& service, const Found& found) const {
  const Recreate policy = named(service.name) ? options_.recreate : options_.recreate_deps;
  if (policy == Recreate::never) return "";
  if (policy == Recreate::force) return "forced";
  const auto& spec = found.info->spec;
  const bool image_changed = !service.spec.image_id.empty() && spec.image_id != service.spec.image_id;
  const bool config_changed = label_of(spec.labels, label::config_hash) != service.config_hash;
  if (config_changed) return differences(spec, service.spec, image_changed);
  if (image_changed) return "image " + service.spec.image + " changed";
  for (const std::string& provider : shared_services(service.spec)) {
    const auto state = states_.find(provider);
    if (state != states_.end() && state->second.replaced) return "shares with " + provider + ", which is recreated";
  }
  return "";
}

/// depends_on with `restart: true`: the dependents are down while what they need is replaced, and start after it.
void Planner::stop_dependents(const Service& service, Steps& after) {
  const auto dependents = restarted_with_.find(service.name);
  if (dependents == restarted_with_.end()) return;
  for (const Service* dependent : dependents->second) {
    for (const Found* found : found_of(dependent->name)) {
      if (removed_.contains(found->name())) continue;
      if (const auto early = stopped_.find(found->name()); early != stopped_.end()) {
        after.push_back(early->second);
        continue;
      }
      if (found->info->state != ContainerState::running) continue;
      const std::string why = "depends on " + service.name + ", which is recreated";
      after.push_back(stopped_[found->name()] = stop(*found, why));
      stop_reason_[found->name()] = service.name + " was recreated";
    }
  }
}

Result<> Planner::recreate(const Service& service, ServiceState& state, const Found& found, const std::string& why) {
  Slot slot{.name = container_name(desired_, service, found.number > 0 ? found.number : 1),
            .number = found.number, .found = &found, .start_reason = "recreated", .replaced = true};
  state.replaced = true;
  ASSIGN_OR_RETURN(auto spec, replica(service, slot.number, slot.name));
  Steps after = resources_of(spec);
  stop_dependents(service, after);
  if (const auto early = stopped_.find(found.name()); early != stopped_.end()) after.push_back(early->second);
  if (const auto off = disconnected_.find(found.name()); off != disconnected_.end()) {
    after.insert(after.end(), off->second.begin(), off->second.end());
  }
  for (const auto& provider : shared_services(service.spec)) {
    for (const auto& other : states_[provider].slots) {
      if (other.made) after.push_back(*other.made);
    }
  }
  if (const auto freed = name_freed_.find(slot.name); freed != name_freed_.end()) after.push_back(freed->second);
  const bool running = found.info->state == ContainerState::running || found.info->state == ContainerState::paused;
  slot.made = add(action::RecreateContainer{.spec = std::move(spec), .old_id = found.info->id, .timeout = options_.stop_timeout,
                                            .renew_volumes = options_.renew_anonymous_volumes},
                  why, std::move(after), running ? Hazard::downtime : Hazard::none);
  remember_freed(found.info->spec, *slot.made);
  if (found.name() != slot.name) name_freed_[found.name()] = *slot.made;
  state.slots.push_back(std::move(slot));
  return {};
}

void Planner::keep(const Service& service, ServiceState& state, const Found& found) {
  Slot slot{.name = found.name(), .number = found.number, .found = &found};
  if (disconnected_.contains(found.name())) slot.made = reconnect(found, service.spec.networks);
  if (const auto why = stop_reason_.find(found.name()); why != stop_reason_.end()) {
    slot.start_reason = why->second;
    if (!slot.made) slot.made = stopped_[found.name()];
  } else {
    switch (found.info->state) {
      case ContainerState::running: note("Container", found.name(), "Running"); break;
      case ContainerState::paused: slot.start_reason = "is paused"; break;
      case ContainerState::restarting: slot.start_reason = "is restarting"; break;
      case ContainerState::created: slot.start_reason = "never started"; break;
      case ContainerState::exited:
      case ContainerState::dead: slot.start_reason = "is not running"; break;
    }
  }
  state.slots.push_back(std::move(slot));
}

Result<> Planner::create(const Service& service, ServiceState& state, int number) {
  Slot slot{.name = container_name(desired_, service, number), .number = number, .start_reason = "new"};
  state.replaced = true;
  ASSIGN_OR_RETURN(auto spec, replica(service, number, slot.name));
  Steps after = resources_of(spec);
  for (const auto& provider : shared_services(service.spec)) {
    for (const auto& other : states_[provider].slots) {
      if (other.made) after.push_back(*other.made);
    }
  }
  if (const auto freed = name_freed_.find(slot.name); freed != name_freed_.end()) after.push_back(freed->second);
  slot.made = add(action::CreateContainer{std::move(spec)}, "not there", std::move(after));
  state.slots.push_back(std::move(slot));
  return {};
}

void Planner::start_all(bool only_existing) {
  for (const Service* service : order_) {
    const Steps ready = wait_for(*service, only_existing);
    start(*service, state_of(*service), ready);
  }
  if (options_.wait) wait_until_ready();
}

Steps Planner::wait_for(const Service& service, bool only_existing) {
  Steps ready;
  for (const auto& edge : service.depends_on) {
    const auto dependency = states_.find(edge.service);
    if (dependency == states_.end()) continue;  // --no-deps, or an optional one that is not enabled
    if (only_existing && dependency->second.slots.empty()) continue;
    const Steps steps = wait_for(dependency->second, edge);
    ready.insert(ready.end(), steps.begin(), steps.end());
  }
  return ready;
}

Steps Planner::wait_for(const ServiceState& dependency, const Dependency& edge) {
  using Until = action::WaitContainer::Condition;
  Steps ready;
  for (const Slot& slot : dependency.slots) {
    if (edge.condition == Condition::started) {
      if (slot.started) ready.push_back(*slot.started);
      continue;
    }
    const bool healthy = edge.condition == Condition::healthy;
    const std::string key = slot.name + (healthy ? "/healthy" : "/completed") + (edge.required ? "" : "/optional");
    auto [known, fresh] = waits_.try_emplace(key);
    if (fresh) {
      // A container that goes on running and is healthy needs no step; Docker Compose still says so.
      if (!slot.started && healthy && slot.found != nullptr && slot.found->info->health == HealthState::healthy) {
        note("Container", slot.name, "Waiting");
        note("Container", slot.name, "Healthy");
      } else {
        const auto step = add(action::WaitContainer{.name = slot.name, .condition = healthy ? Until::healthy : Until::completed,
                                                    .timeout = std::nullopt},
                              "a service depends on it",
                              slot.started ? Steps{*slot.started} : Steps{});
        out_.plan.steps[step].optional = !edge.required;
        known->second.push_back(step);
      }
    }
    ready.insert(ready.end(), known->second.begin(), known->second.end());
  }
  return ready;
}

void Planner::start(const Service& service, ServiceState& state, const Steps& ready) {
  for (Slot& slot : state.slots) {
    if (slot.start_reason.empty()) continue;
    Steps after = ready;
    if (slot.made) after.push_back(*slot.made);
    const auto& spec = service.spec;
    const Steps ports = freed_ports(spec);
    after.insert(after.end(), ports.begin(), ports.end());
    for (const auto& provider : shared_services(spec)) {
      for (const auto& other : states_[provider].slots) {
        if (other.started) after.push_back(*other.started);
      }
    }
    const bool paused = slot.start_reason == "is paused";
    slot.started = paused ? add(action::UnpauseContainer{slot.name}, slot.start_reason, std::move(after))
                          : add(action::StartContainer{slot.name}, slot.start_reason, std::move(after));
  }
}

/// up --wait
void Planner::wait_until_ready() {
  for (const auto& service : desired_.services) {
    for (const Slot& slot : states_[service.name].slots) {
      const bool ready = !slot.started && slot.found != nullptr && slot.found->info->state == ContainerState::running &&
                         (slot.found->info->health == HealthState::none || slot.found->info->health == HealthState::healthy);
      if (ready) {
        note("Container", slot.name, "Waiting");
        note("Container", slot.name, "Healthy");
        continue;
      }
      add(action::WaitContainer{.name = slot.name, .condition = action::WaitContainer::Condition::healthy_or_running,
                                .timeout = options_.wait_timeout},
          "--wait", slot.started ? Steps{*slot.started} : Steps{});
    }
  }
}

Result<> Planner::start_existing() {
  for (const Service* service : order_) {
    ServiceState& state = state_of(*service);
    for (const Found* found : found_of(service->name)) keep(*service, state, *found);
    if (state.slots.empty() && service->replicas > 0) {
      return base::make_error(ErrorKind::not_found, "service \"" + service->name + "\" has no container to start");
    }
  }
  // `start` says nothing of what runs already.
  std::erase_if(out_.notes, [](const Progress& progress) { return progress.status == "Running"; });
  start_all(true);
  return {};
}

Result<> Planner::create_one_off(const Service& one_off) {
  Steps after = wait_for(one_off, false);
  ASSIGN_OR_RETURN(auto spec, replica(one_off, 0, one_off.fixed_name));
  const Steps resources = resources_of(spec);
  after.insert(after.end(), resources.begin(), resources.end());
  const Steps ports = freed_ports(spec);
  after.insert(after.end(), ports.begin(), ports.end());
  for (const auto& provider : shared_services(one_off.spec)) {
    for (const auto& other : states_[provider].slots) {
      if (other.started) after.push_back(*other.started);
    }
  }
  add(action::CreateContainer{std::move(spec)}, "run", std::move(after));
  return {};
}

}  // namespace compose::reconcile
