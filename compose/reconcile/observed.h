#pragma once
// What the engine holds of a project, indexed the way decisions need it.
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "compose/reconcile/desired.h"
#include "engine/api/types.h"

namespace compose::reconcile {

/// A container and what its labels say.
struct Found {
  const engine::ContainerInfo* info = nullptr;  ///< into Observed::snapshot
  std::string service;
  int number = 0;                               ///< 0 = no usable label
  bool one_off = false;
  [[nodiscard]] const std::string& name() const { return info->spec.name; }
};

/// Owns the snapshot; the pointers stay valid when it is moved, not when it is copied.
struct Observed {
  std::string project;
  engine::Snapshot snapshot;
  std::vector<Found> containers;                                 ///< of the project, sorted by name
  std::map<std::string, std::vector<std::size_t>> by_service;    ///< indexes into `containers`, without one-offs, by number
  std::unordered_map<std::string, const engine::NetworkInfo*> networks;  ///< by engine name, others' too
  std::unordered_map<std::string, const engine::VolumeInfo*> volumes;

  Observed() = default;
  Observed(Observed&&) = default;
  Observed& operator=(Observed&&) = default;
  Observed(const Observed&) = delete;
  Observed& operator=(const Observed&) = delete;
};

/// `snapshot` may hold things of other projects (external networks and volumes); their containers are left out.
Observed observed(engine::Snapshot snapshot, const std::string& project);

/// What can be known of a project without its file: its services and their dependencies, read back from labels.
/// Enough for every verb but up, create, run and scale.
Desired desired_from(const Observed& observed);

/// "" when there is no such label.
std::string_view label_of(const engine::Labels& labels, std::string_view name);

}  // namespace compose::reconcile
