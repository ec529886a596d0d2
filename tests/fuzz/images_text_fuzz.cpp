// References and image configs.
#include <cstdlib>
#include <string_view>

#include "engine/images/config.h"
#include "engine/images/reference.h"

using namespace engine::images;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto reference = parse_reference(text)) {
    // A name in its full form is the same name.
    const auto again = parse_reference(reference->full());
    if (!again || again->full() != reference->full()) std::abort();
    const auto familiar = parse_reference(reference->familiar());
    if (!familiar || familiar->full() != reference->full()) std::abort();
    // It becomes part of paths and URLs.
    if (reference->path.find("..") != std::string::npos || reference->path.starts_with('/')) std::abort();
  }
  if (is_digest(text) && text.find('/') != std::string_view::npos) std::abort();
  if (const auto config = parse_config(text)) {
    const auto json = to_json(*config);
    const auto again = parse_config(json);
    if (!again || to_json(*again) != json) std::abort();
  }
  (void)parse_time(text);
  return 0;
}
