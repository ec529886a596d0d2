#include "compose/cli/images_ready.h"

#include <algorithm>
#include <set>

#include "compose/cli/context.h"
#include "compose/cli/globals.h"
#include "compose/cli/output.h"
#include "compose/cli/progress.h"
#include "compose/cli/workers.h"
#include "engine/client/reads.h"
#include "engine/images/image_store.h"

namespace compose::cli {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

std::string image_of(const model::Project& project, const model::Service& service) {
  return reconcile::image_name(project, service, globals().compatibility);
}

struct Known {
  std::string id;
  engine::WallNs referenced = 0;
};

/// Every image the services name (and mount) that is on the machine.
Result<std::map<std::string, Known>> look_up(const model::Project& project) {
  std::map<std::string, Known> known;
  ASSIGN_OR_RETURN(auto* store, engine::client::store_to_read());
  if (!store) return known;
  engine::images::ImageStore images(*store);
  std::set<std::string> asked;
  const auto ask = [&](const std::string& name) -> Result<> {
    if (!asked.insert(name).second) return {};
    auto image = images.resolve(name);
    if (image) {
      known[name] = {image->id, image->referenced};
    } else if (image.error().kind != ErrorKind::not_found) {
      return std::move(image).error();
    }
    return {};
  };
  for (const auto& [name, service] : project.services) {
    TRY(ask(image_of(project, service)));
    for (const auto& volume : service.volumes) {
      if (volume.type == "image") TRY(ask(volume.source));
    }
  }
  return known;
}

/// pull_policy daily, weekly, every_<duration>: how old a pulled image may get.
std::optional<std::int64_t> refresh_after(const model::Service& service, const std::string& policy) {
  constexpr std::int64_t day = 86'400'000'000'000;
  if (policy == "daily") return day;
  if (policy == "weekly") return 7 * day;
  if (policy.starts_with("every_")) return parse_duration(policy.substr(6));
  if (policy == "refresh") return parse_duration(service.pull_refresh_after);
  return std::nullopt;
}

enum class Need : std::uint8_t { nothing, pull, build, pull_else_build };

/// What Docker Compose's mustPull and mustBuild come to.
Need need_of(const model::Service& service, const Known* known, const ImagePolicy& options) {
  const std::string policy = options.pull.empty() || options.pull == "policy" ? service.pull_policy : options.pull;
  const bool can_build = service.build.has_value() && !options.no_build;
  if (can_build && (options.build || policy == "build")) return Need::build;
  const bool can_pull = !service.image.empty() && policy != "never" && policy != "build";
  bool fresh = known != nullptr && policy != "always";
  if (const auto limit = refresh_after(service, policy); limit && known != nullptr) fresh = wall_now() - known->referenced < *limit;
  if (fresh) return Need::nothing;
  if (known != nullptr && can_build && policy == "always" && service.image.empty()) return Need::nothing;
  // A service with both is built, unless its policy asks for the registry first.
  const bool pull_first = policy == "always" || policy == "missing" || policy == "if_not_present" || refresh_after(service, policy).has_value();
  if (can_build && !(can_pull && pull_first)) return known == nullptr ? Need::build : Need::nothing;
  if (!can_pull) return Need::nothing;
  return can_build ? Need::pull_else_build : Need::pull;
}

Result<reconcile::ImageIds> all_or_error(const model::Project& project, const std::map<std::string, Known>& known) {
  reconcile::ImageIds ids;
  for (const auto& [name, service] : project.services) {
    if (service.provider) continue;
    const std::string image = image_of(project, service);
    const auto found = known.find(image);
    if (found == known.end()) return make_error(ErrorKind::not_found, "No such image: " + image);
    ids[image] = found->second.id;
  }
  return ids;
}

}  // namespace

Result<reconcile::ImageIds> known_images(const model::Project& project) {
  ASSIGN_OR_RETURN(const auto known, look_up(project));
  reconcile::ImageIds ids;
  for (const auto& [name, image] : known) ids[name] = image.id;
  return ids;
}

Result<reconcile::ImageIds> ensure_images(const model::Project& project, const ImagePolicy& policy) {
  ASSIGN_OR_RETURN(auto known, look_up(project));
  std::vector<std::string> pull, build;
  PullOptions pull_options{.quiet = policy.quiet_pull, .ignore_failures = false, .buildable = {}};
  for (const auto& [name, service] : project.services) {
    if (service.provider) continue;
    const auto found = known.find(image_of(project, service));
    switch (need_of(service, found == known.end() ? nullptr : &found->second, policy)) {
      case Need::nothing: break;
      case Need::build: build.push_back(name); break;
      case Need::pull_else_build: pull_options.buildable[name] = true; [[fallthrough]];
      case Need::pull: pull.push_back(name); break;
    }
  }
  if (pull.empty() && build.empty()) return all_or_error(project, known);
  if (globals().dry_run) {
    const auto writer = make_progress("Building");
    for (const auto& name : pull) writer->change({name, "Pulled", ""});
    for (const auto& name : build) writer->change({image_of(project, project.services.at(name)), "Built", ""});
    writer->finish();
    reconcile::ImageIds ids;
    for (const auto& [name, image] : known) ids[name] = image.id;
    return ids;
  }
  if (!pull.empty()) {
    ASSIGN_OR_RETURN(const bool pulled, pull_services(project, pull, pull_options));
    if (!pulled) return shown();
    ASSIGN_OR_RETURN(known, look_up(project));
    for (const auto& [name, yes] : pull_options.buildable) {
      if (!known.contains(image_of(project, project.services.at(name)))) build.push_back(name);
    }
  }
  if (!build.empty()) {
    ASSIGN_OR_RETURN(const bool built, build_services(project, build, {.arguments = {}, .ssh = {}, .no_cache = false, .pull = false,
                                                                         .quiet = policy.quiet_build, .push = false}));
    if (!built) return shown();
  }
  ASSIGN_OR_RETURN(known, look_up(project));
  return all_or_error(project, known);
}

}  // namespace compose::cli
