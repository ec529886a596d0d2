#include "engine/supervisor/ids.h"

#include <sys/random.h>

#include "base/sys.h"

namespace engine::supervisor {

base::Result<std::string> random_id() {
  std::array<unsigned char, 32> bytes;
  TRY(base::sys::wrap("getrandom", ::getrandom(bytes.data(), bytes.size(), 0)));
  std::string out;
  for (const auto byte : bytes) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

}  // namespace engine::supervisor
