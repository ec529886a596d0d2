#include "compose/reconcile/planner.h"

#include <algorithm>

#include "compose/reconcile/labels.h"

namespace compose::reconcile {

using namespace engine;
using base::ErrorKind;
using base::Result;

std::vector<const Service*> dependency_order(const Desired& desired) {
  std::map<std::string_view, const Service*> by_name;
  for (const auto& service : desired.services) by_name[service.name] = &service;
  std::unordered_map<std::string_view, std::size_t> missing;
  std::unordered_map<std::string_view, std::vector<const Service*>> dependents;
  std::set<std::string_view> ready;
  for (const auto& service : desired.services) {
    std::size_t count = 0;
    for (const auto& dependency : service.depends_on) {
      if (!by_name.contains(dependency.service)) continue;
      ++count;
      dependents[by_name[dependency.service]->name].push_back(&service);
    }
    missing[service.name] = count;
    if (count == 0) ready.insert(service.name);
  }
  std::vector<const Service*> order;
  std::set<std::string_view> done;
  while (!ready.empty()) {
    const auto name = *ready.begin();
    ready.erase(ready.begin());
    order.push_back(by_name[name]);
    done.insert(name);
    for (const Service* dependent : dependents[name]) {
      if (--missing[dependent->name] == 0) ready.insert(dependent->name);
    }
  }
  // The loader refuses cycles; labels of old containers may still hold one. Nothing is lost: they come last, by name.
  for (const auto& [name, service] : by_name) {
    if (!done.contains(name)) order.push_back(service);
  }
  return order;
}

const Service* find_service(const Desired& desired, const std::string& name) {
  const auto found = std::lower_bound(desired.services.begin(), desired.services.end(), name,
                                      [](const Service& service, const std::string& key) { return service.name < key; });
  return found != desired.services.end() && found->name == name ? &*found : nullptr;
}

std::string container_name(const Desired& desired, const Service& service, int number) {
  if (!service.fixed_name.empty()) return service.fixed_name;
  return desired.project + desired.separator + service.name + desired.separator + std::to_string(number);
}

Planner::Planner(const Desired& desired, const Observed& observed, const Options& options)
    : desired_(desired), observed_(observed), options_(options), order_(dependency_order(desired)) {
  for (const auto& service : desired.services) {
    states_[service.name].service = &service;
    for (const auto& dependency : service.depends_on) {
      if (dependency.restart) restarted_with_[dependency.service].push_back(&service);
    }
  }
}

StepIndex Planner::add(Action action, std::string reason, Steps after, Hazard hazard) {
  std::sort(after.begin(), after.end());
  after.erase(std::unique(after.begin(), after.end()), after.end());
  out_.plan.steps.push_back({.action = std::move(action), .reason = std::move(reason), .hazard = hazard, .after = std::move(after)});
  return out_.plan.steps.size() - 1;
}

void Planner::note(std::string object, std::string name, std::string status) {
  out_.notes.push_back({.object = std::move(object), .name = std::move(name), .status = std::move(status), .error = {}});
}

bool Planner::named(const std::string& service) const {
  return options_.services.empty() || options_.services.contains(service);
}

std::vector<const Found*> Planner::found_of(const std::string& service) const {
  std::vector<const Found*> result;
  const auto found = observed_.by_service.find(service);
  if (found == observed_.by_service.end()) return result;
  for (const std::size_t index : found->second) result.push_back(&observed_.containers[index]);
  return result;
}

ServiceState& Planner::state_of(const Service& service) { return states_[service.name]; }

StepIndex Planner::stop(const Found& found, const std::string& reason, Steps after) {
  const bool running = found.info->state == ContainerState::running || found.info->state == ContainerState::paused;
  const auto step = add(action::StopContainer{found.name(), options_.stop_timeout}, reason, std::move(after),
                        running ? Hazard::downtime : Hazard::none);
  remember_freed(found.info->spec, step);
  return step;
}

StepIndex Planner::remove(const Found& found, const std::string& reason, Steps after, bool volumes) {
  const auto step = add(action::RemoveContainer{.name = found.name(), .volumes = volumes}, reason, std::move(after),
                        volumes && !found.info->volumes.empty() ? Hazard::data_loss : Hazard::none);
  name_freed_[found.name()] = step;
  removed_.insert(found.name());
  return step;
}

namespace {

std::string port_key(const std::string& protocol, int port) { return protocol + "/" + std::to_string(port); }

/// Every host port a binding may take. A range is at most 65535 long, and the loader bounds it.
template <class Visit>
void each_host_port(const ContainerSpec& spec, const Visit& visit) {
  for (const auto& binding : spec.ports) {
    if (binding.host_port == 0) continue;
    const int last = std::max<int>(binding.host_port, binding.host_port_last);
    for (int port = binding.host_port; port <= last; ++port) visit(port_key(binding.protocol, port));
  }
}

}  // namespace

void Planner::remember_freed(const ContainerSpec& spec, StepIndex step) {
  each_host_port(spec, [&](const std::string& key) { port_freed_[key] = step; });
}

Steps Planner::freed_ports(const ContainerSpec& spec) const {
  Steps steps;
  if (port_freed_.empty()) return steps;
  each_host_port(spec, [&](const std::string& key) {
    if (const auto found = port_freed_.find(key); found != port_freed_.end()) steps.push_back(found->second);
  });
  return steps;
}

/// The container whose namespaces or volumes "service:NAME" means: the first one.
Result<std::string> Planner::provider_of(const std::string& service) const {
  const auto state = states_.find(service);
  if (state != states_.end() && !state->second.slots.empty()) return state->second.slots.front().name;
  const auto found = found_of(service);
  if (!found.empty()) return found.front()->name();
  return base::make_error(ErrorKind::not_found, "service \"" + service + "\" has no container to share with");
}

Result<ContainerSpec> Planner::replica(const Service& service, int number, const std::string& name) const {
  ContainerSpec spec = service.spec;
  spec.name = name;
  if (number > 0) spec.labels[std::string(label::number)] = std::to_string(number);
  for (std::string* mode : {&spec.network_mode, &spec.pid_mode, &spec.ipc_mode, &spec.uts_mode}) {
    if (!mode->starts_with("service:")) continue;
    ASSIGN_OR_RETURN(const std::string provider, provider_of(mode->substr(8)));
    *mode = "container:" + provider;
  }
  for (std::string& source : spec.volumes_from) {
    if (!source.starts_with("service:")) continue;
    const auto suffix = source.find(':', 8);
    ASSIGN_OR_RETURN(const std::string provider, provider_of(source.substr(8, suffix == std::string::npos ? suffix : suffix - 8)));
    source = provider + (suffix == std::string::npos ? "" : source.substr(suffix));
  }
  return spec;
}

Decision Planner::finish() {
  for (const auto& service : desired_.services) {
    for (const auto& slot : states_[service.name].slots) out_.targets.push_back({slot.name, service.name, slot.number});
  }
  return std::move(out_);
}

Result<Decision> reconcile(const Desired& desired, const Observed& observed, const Options& options) {
  Planner planner(desired, observed, options);
  switch (options.verb) {
    case Verb::up:
      TRY(planner.bring_up());
      planner.start_all(false);
      break;
    case Verb::create: TRY(planner.bring_up()); break;
    case Verb::start: TRY(planner.start_existing()); break;
    case Verb::stop: planner.stop_all(); break;
    case Verb::restart: planner.restart_all(); break;
    case Verb::kill: planner.kill_all(); break;
    case Verb::remove: planner.remove_stopped(); break;
    case Verb::pause: planner.pause_all(true); break;
    case Verb::unpause: planner.pause_all(false); break;
    case Verb::down: planner.take_down(); break;
  }
  return planner.finish();
}

Result<Decision> reconcile_run(const Desired& desired, const Observed& observed, const Options& options,
                               const Service& one_off) {
  Planner planner(desired, observed, options);
  TRY(planner.bring_up());
  planner.start_all(false);
  TRY(planner.create_one_off(one_off));
  return planner.finish();
}

}  // namespace compose::reconcile
