#pragma once
// Files of this machine kept the same in a container: what `compose watch` does.
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/store/store.h"

namespace engine::files {

using base::Result;

struct SyncItem {
  std::string host;                    ///< absolute; when nothing is there, the target goes
  std::string target;                  ///< absolute, in the container
};
/// Makes each target what its host file is: a file or link is written anew and belongs to root, what is gone is removed with all below
/// it; folders come with their files. No link in the container leads out of it. Errors: not_found (the container), invalid (a target
/// that is not below the root), those of unpack().
Result<> sync(store::Store& store, const std::string& container, const std::vector<SyncItem>& items);

}  // namespace engine::files
