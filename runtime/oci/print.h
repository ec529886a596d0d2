#pragma once
#include <string_view>

#include "base/sys.h"

namespace runtime::oci {

/// Results go to standard output, whole.
inline base::Result<> print(std::string_view text) { return base::sys::write_all(base::Fd(1), text); }

}  // namespace runtime::oci
