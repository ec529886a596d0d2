#pragma once
// The files of a container as one tree, whether it runs or not.
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/api/types.h"
#include "engine/images/image_store.h"
#include "engine/store/store.h"

namespace engine::files {

using base::Result;

/// A container as the store has it, with what its files are made of.
struct Subject {
  store::ContainerRecord record;
  ContainerSpec spec;
  images::Image image;
  [[nodiscard]] bool runs() const;
};
/// By name, id or id prefix. Error not_found.
Result<Subject> find(store::Store& store, const std::string& name_or_id);

/// The root with its volumes and binds. Of a running container it is what its processes see, tmpfs included. For a stopped one this
/// process gets a mount namespace of its own, in which everything is mounted: call it once, before any thread is started.
/// Names must be resolved inside it by openat2(RESOLVE_IN_ROOT): links in it are the container's.
/// Errors: not_found (a layer, a volume), permission, io.
/// Source: proc(5) /proc/PID/root; mount_namespaces(7).
Result<base::UniqueFd> open_view(store::Store& store, const Subject& subject);

/// The root of a running container alone, without what is mounted in it: image and writable layer. Error unavailable: it does not run.
Result<base::UniqueFd> open_own_root(const Subject& subject);

}  // namespace engine::files
