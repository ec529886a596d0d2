#pragma once
// `config --resolve-image-digests`: image names with the digest their registry has for them now.
#include <map>
#include <set>
#include <string>

#include "base/result.h"
#include "compose/model/project.h"

namespace compose::cli {

/// Each name of `images` → "docker.io/library/redis:7@sha256:…"; one that has a digest keeps it and loses its tag. Asks the
/// registries through compose-image, several at once. Errors: invalid (no image name); unavailable with the registry's words.
base::Result<std::map<std::string, std::string>> pinned_images(const std::set<std::string>& images);

/// The same for the images of all services, in place.
base::Result<> pin_digests(model::Project& project);

}  // namespace compose::cli
