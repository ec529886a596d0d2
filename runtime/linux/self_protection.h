#pragma once
#include "base/result.h"

namespace runtime {

/// CVE-2019-5736: a container's program can be a link to /proc/self/exe; it then runs this very file, and a neighbour may open it
/// for writing once it ends. Unless our file is out of reach already (read-only mount or sealed memfd), executes this program again
/// from a detached read-only mount of itself, which leaves no trace and copies nothing. Returns when that is done or not needed.
base::Result<> protect_own_file(char** argv);

/// Set before main() by whoever has made sure of that already (runtime/oci/entry.cpp).
extern bool own_file_out_of_reach;

}  // namespace runtime
