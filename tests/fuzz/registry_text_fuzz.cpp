// What a registry and the machine's files say: manifests and indexes, WWW-Authenticate, registries.conf.
#include <cstdlib>
#include <string_view>

#include "engine/images/reference.h"
#include "engine/registry/client.h"
#include "engine/registry/manifest.h"
#include "engine/registry/settings.h"
#include "engine/registry/encoding.h"
#include "engine/registry/tar.h"

using namespace engine::registry;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const char* type : {"", "application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8"}) {
    const auto manifest = parse_manifest(text, type);
    if (!manifest) continue;
    // Digests become paths: nothing else may pass.
    for (const auto& child : manifest->children)
      if (!engine::images::is_digest(child.digest)) std::abort();
    for (const auto& layer : manifest->layers)
      if (!engine::images::is_digest(layer.digest) || layer.size < 0) std::abort();
    if (manifest->is_index) (void)choose_platform(*manifest, "linux/arm64/v8", "x");
  }
  (void)parse_challenges(text);
  (void)parse_registries_conf(text);
  (void)decode_base64(text);
  (void)http_date_s(std::string(text));
  return 0;
}
