#pragma once
// The way from files to a plan that up, create, scale, plan and run share.
#include "compose/cli/context.h"
#include "compose/cli/images_ready.h"
#include "compose/reconcile/reconcile.h"

namespace compose::cli {

struct Request {
  std::vector<std::string> services;
  std::vector<std::string> scale;          ///< "web=3"
  bool no_deps = false;
  bool yes = false;                        ///< to losing the data of volumes that changed
  bool ensure_images = true;               ///< false: plan with what is there
  ImagePolicy images;
  reconcile::Options options;
};

struct Prepared {
  model::Project project;
  reconcile::Desired desired;
  reconcile::Observed observed;
  reconcile::Decision decision;
};

/// Files → images → plan. Asks about changed volumes on a terminal.
base::Result<Prepared> prepare(Request request);

/// "web=3" applied to the project. Error invalid or not_found in Docker Compose's words.
base::Result<> apply_scale(model::Project& project, const std::vector<std::string>& scale);

/// What a generation records: the resolved project with the images that ran.
std::string generation_of(const model::Project& project, const reconcile::ImageIds& images);

struct AttachedOptions {
  std::vector<std::string> attach;         ///< services; empty = those the user named (or all)
  std::set<std::string> no_attach;
  bool attach_dependencies = false;
  bool no_prefix = false, no_colour = false, timestamps = false;
  bool abort_on_exit = false, abort_on_failure = false;
  std::string exit_code_from;
  std::optional<engine::Nanoseconds> stop_timeout;
  bool watch = false;                      ///< `watch` runs beside it
  std::vector<std::string> watched;        ///< the services it is to watch; empty = all
};

/// Whether `watch` has something to do. Error invalid in Docker Compose's words.
base::Result<> can_watch(const model::Project& project, const std::vector<std::string>& services);

/// `up` without -d: carries the plan out while printing logs; stops the services at Ctrl-C. Returns the exit code.
base::Result<int> run_attached(const Prepared& prepared, const std::set<std::string>& named, const AttachedOptions& options);

}  // namespace compose::cli
