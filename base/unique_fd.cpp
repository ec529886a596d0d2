#include "base/unique_fd.h"

#include <unistd.h>

namespace base {
void UniqueFd::reset() {
  if (number_ >= 0) (void)::close(std::exchange(number_, -1));
}
}  // namespace base
