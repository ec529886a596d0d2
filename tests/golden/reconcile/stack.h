#pragma once
// Desired and observed stacks in a few words, for plans compared as text.
#include <string>
#include <vector>

#include "compose/reconcile/labels.h"
#include "compose/reconcile/reconcile.h"
#include "compose/reconcile/text.h"

namespace golden {

using namespace compose::reconcile;

struct ServiceOptions {
  int replicas = 1;
  std::string hash = "h1", image = "img", image_id = "sha256:1", fixed_name;
  std::vector<Dependency> depends_on;
  std::vector<std::string> networks = {"default"}, volumes;
  std::vector<engine::PortBinding> ports;
  std::string network_mode;
  bool generated_image = false;
};

class Wanted {
 public:
  explicit Wanted(std::string project = "demo") { desired_.project = std::move(project); }
  Wanted& service(const std::string& name, ServiceOptions options = {}) {
    Service out;
    out.name = name;
    out.replicas = options.replicas;
    out.fixed_name = options.fixed_name;
    out.config_hash = options.hash;
    out.generated_image = options.generated_image;
    out.depends_on = options.depends_on;
    auto& spec = out.spec;
    spec.project = desired_.project;
    spec.image = options.image;
    spec.image_id = options.image_id;
    spec.network_mode = options.network_mode;
    if (options.network_mode.empty()) {
      for (const auto& network : options.networks) spec.networks.push_back({.network = desired_.project + "_" + network});
    }
    for (const auto& volume : options.volumes) spec.mounts.push_back({.source = desired_.project + "_" + volume, .target = "/" + volume});
    spec.ports = options.ports;
    spec.labels[std::string(label::project)] = desired_.project;
    spec.labels[std::string(label::service)] = name;
    spec.labels[std::string(label::config_hash)] = options.hash;
    spec.labels[std::string(label::one_off)] = "False";
    desired_.services.push_back(std::move(out));
    desired_.known_services.insert(name);
    return *this;
  }
  Wanted& network(const std::string& key, const std::string& hash = "n1", bool external = false) {
    Network out{.key = key, .spec = {}, .config_hash = hash, .external = external};
    out.spec.name = external ? key : desired_.project + "_" + key;
    out.spec.project = desired_.project;
    out.spec.labels = {{std::string(label::project), desired_.project}, {std::string(label::network), key}, {std::string(label::config_hash), hash}};
    desired_.networks.push_back(std::move(out));
    return *this;
  }
  Wanted& volume(const std::string& key, const std::string& hash = "v1", bool external = false) {
    Volume out{.key = key, .spec = {}, .config_hash = hash, .external = external};
    out.spec.name = external ? key : desired_.project + "_" + key;
    out.spec.project = desired_.project;
    out.spec.labels = {{std::string(label::project), desired_.project}, {std::string(label::volume), key}, {std::string(label::config_hash), hash}};
    desired_.volumes.push_back(std::move(out));
    return *this;
  }
  operator const Desired&() const { return desired_; }  // NOLINT: a test reads like its input
  [[nodiscard]] const Desired& get() const { return desired_; }

 private:
  Desired desired_;
};

/// The engine after `desired` came up, to be bent.
class There {
 public:
  There() = default;
  explicit There(const Desired& desired, engine::ContainerState state = engine::ContainerState::running) : project_(desired.project) {
    for (const auto& network : desired.networks) this->network(network.spec);
    for (const auto& volume : desired.volumes) snapshot_.volumes.push_back({.spec = volume.spec, .mountpoint = {}, .created = 0});
    for (const auto& service : desired.services) {
      for (int number = 1; number <= service.replicas; ++number) container(desired, service, number, state);
    }
  }
  There& container(const Desired& desired, const Service& service, int number, engine::ContainerState state) {
    engine::ContainerInfo info;
    info.spec = service.spec;
    info.spec.name = container_name(desired, service, number);
    info.spec.labels[std::string(label::number)] = std::to_string(number);
    info.id = "id-of-" + info.spec.name;
    info.state = state;
    for (const auto& mount : info.spec.mounts) info.volumes[mount.target] = mount.source;
    snapshot_.containers.push_back(std::move(info));
    return *this;
  }
  There& network(const engine::NetworkSpec& spec) {
    snapshot_.networks.push_back({.spec = spec, .id = {}, .subnets = {}, .created = 0});
    return *this;
  }
  There& state(const std::string& name, engine::ContainerState state) {
    at(name).state = state;
    return *this;
  }
  There& healthy(const std::string& name, engine::HealthState health = engine::HealthState::healthy) {
    at(name).health = health;
    return *this;
  }
  There& label_of(const std::string& name, std::string_view key, const std::string& value) {
    at(name).spec.labels[std::string(key)] = value;
    return *this;
  }
  engine::ContainerInfo& at(const std::string& name) {
    for (auto& info : snapshot_.containers) {
      if (info.spec.name == name) return info;
    }
    throw std::out_of_range(name);
  }
  [[nodiscard]] Observed get(const std::string& project = "demo") const { return observed(snapshot_, project_.empty() ? project : project_); }
  engine::Snapshot snapshot_;

 private:
  std::string project_;
};

/// The plan's text behind a line break, so that expectations read as a block; an error is text as well.
inline std::string plan_of(const Desired& desired, const Observed& seen, const Options& options = {}) {
  const auto decision = reconcile(desired, seen, options);
  if (!decision) return "error: " + decision.error().text();
  return "\n" + to_text(decision->plan);
}

inline std::string notes_of(const Desired& desired, const Observed& seen, const Options& options = {}) {
  const auto decision = reconcile(desired, seen, options);
  if (!decision) return "error: " + decision.error().text();
  std::string text;
  for (const auto& note : decision->notes) text += note.object + " " + note.name + " " + note.status + "\n";
  for (const auto& warning : decision->warnings) text += "warning: " + warning + "\n";
  return text;
}

inline Dependency on(const std::string& service, Condition condition = Condition::started, bool restart = false, bool required = true) {
  return {service, condition, restart, required};
}

}  // namespace golden
