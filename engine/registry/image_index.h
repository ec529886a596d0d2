#pragma once
// Indexes made here: one name for the images of several platforms (image-spec image-index.md).
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/images/image_store.h"
#include "engine/store/store.h"

namespace engine::registry {

using base::Result;

/// Makes an index of images that are in the store, in this order, and gives it `names`, each a tag. On this machine the names mean
/// `main`; push sends the index and every image. Layers are compressed now. Returns the index's digest.
Result<std::string> name_index(store::Store& store, const std::vector<std::string>& image_ids, const std::string& main,
                               const std::vector<std::string>& names);

/// Gives `names` to an index whose images are in the store: `manifests` are its manifests' digests with the ids of their images, all of them.
Result<> keep_index(store::Store& store, const std::string& bytes, const std::vector<std::pair<std::string, std::string>>& manifests,
                    const std::string& main, const std::vector<std::string>& names);

struct StoredIndex {
  std::string bytes, digest;
  std::vector<images::Image> images;     ///< of its manifests, in order
};
/// The index behind a name, when it was made here and all of it is still there.
Result<std::optional<StoredIndex>> stored_index(store::Store& store, const images::Reference& reference);

}  // namespace engine::registry
