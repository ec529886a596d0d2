#pragma once
// (desired, observed, options) → plan. Docker Compose 2.40's rules; pure; linear in services, containers and dependencies.
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "compose/reconcile/desired.h"
#include "compose/reconcile/observed.h"
#include "engine/api/plan.h"

namespace compose::reconcile {

enum class Verb : std::uint8_t { up, create, start, stop, restart, kill, remove, pause, unpause, down };
enum class Recreate : std::uint8_t { diverged, force, never };
enum class RemoveImages : std::uint8_t { none, local, all };

struct Options {
  Verb verb = Verb::up;
  /// Services the user named; empty = all. Desired::services holds these and their dependencies (unless --no-deps).
  std::set<std::string> services;
  Recreate recreate = Recreate::diverged;        ///< for named services
  Recreate recreate_deps = Recreate::diverged;   ///< for the others
  bool remove_orphans = false;
  bool ignore_orphans = false;                   ///< COMPOSE_IGNORE_ORPHANS: neither report nor remove
  bool renew_anonymous_volumes = false;          ///< -V
  bool recreate_volumes = false;                 ///< the user agreed to lose the data of volumes whose config changed
  bool wait = false;                             ///< up --wait
  std::optional<engine::Nanoseconds> wait_timeout;
  std::optional<engine::Nanoseconds> stop_timeout;  ///< -t
  std::string signal = "SIGKILL";                ///< kill
  bool volumes = false;                          ///< down -v, rm -v
  RemoveImages remove_images = RemoveImages::none;
  bool stop_first = false;                       ///< rm -s
  bool one_offs = false;                         ///< rm also takes stopped containers of `run`
  bool no_deps = false;                          ///< restart: leave dependents alone
};

struct Target {
  std::string container, service;
  int number = 0;
};

/// A plan and what there is to tell beside it.
struct Decision {
  engine::Plan plan;
  std::vector<engine::Progress> notes;           ///< already so: "Container demo-web-1 Running"
  std::vector<std::string> warnings;             ///< one line each
  std::vector<std::string> orphans;              ///< containers left alone; the warning names them
  std::vector<std::string> changed_volumes;      ///< differ from the file and were kept (see recreate_volumes)
  std::vector<Target> targets;                   ///< containers of the desired services as they will be, sorted by service and number
};

/// Errors: not_found   an external network or volume is missing; a service has no container to start
///         invalid     more than one replica of a service with container_name
///         exists      a network or volume of that name belongs to something else
base::Result<Decision> reconcile(const Desired& desired, const Observed& observed, const Options& options);

/// The plan of `compose run`: the dependencies of `spec`'s service brought up as `options` say, then `spec` created (not
/// started: the caller attaches first, then starts it). `desired` holds the dependencies; the service itself only when it was selected otherwise.
base::Result<Decision> reconcile_run(const Desired& desired, const Observed& observed, const Options& options,
                                     const Service& one_off);

}  // namespace compose::reconcile
