#pragma once
// linux.memoryPolicy of runtime-spec 1.3: where the process' memory comes from on machines with several memory nodes.
#include <string>
#include <vector>

#include "base/result.h"
#include "runtime/spec/spec.h"

namespace runtime {

/// set_mempolicy(2)'s arguments.
struct MemoryPolicyCall {
  int mode = 0;                        ///< MPOL_… with its MPOL_F_… flags
  std::vector<unsigned long> nodes;    ///< bit mask; empty = none given
};

/// Error naming an unknown mode or flag, or a bad node list. Whether mode and nodes fit together is the kernel's to say. Pure.
base::Result<MemoryPolicyCall> memory_policy_call(const spec::MemoryPolicy& policy);
/// For the calling process and its children.
base::Result<> apply_memory_policy(const MemoryPolicyCall& call);

std::vector<std::string> known_memory_modes();
std::vector<std::string> known_memory_flags();

}  // namespace runtime
