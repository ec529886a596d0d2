#pragma once
// The texts of build.cache_from and build.cache_to.
#include <string>

#include "base/result.h"

namespace engine::build {

struct CachePlace {
  std::string where;          ///< "docker://NAME" or "oci:FOLDER[:TAG]", as engine/registry/cache.h takes it
  bool whole = false;         ///< mode=max: every step; else only those of the image
  bool may_fail = false;      ///< ignore-error=true
  bool in_image = false;      ///< type=inline: no place of its own
};

/// "NAME", "type=registry,ref=NAME[,mode=max]", "type=local,src=FOLDER" (cache_from), "type=local,dest=FOLDER[,mode=max]"
/// (cache_to), both with tag=; "type=inline" (cache_to). Errors: unsupported (gha, s3, azblob and their like), invalid (an unknown key, no place).
base::Result<CachePlace> parse_cache_place(const std::string& text, bool to);

}  // namespace engine::build
