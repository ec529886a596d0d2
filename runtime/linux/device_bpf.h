#pragma once
#include <linux/bpf.h>

#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/linux/cgroup_plan.h"

namespace runtime {

/// The program the kernel asks at every device access in a cgroup2: returns 1 to allow. Pure.
/// Source: linux/bpf.h bpf_cgroup_dev_ctx; the last rule that fits decides.
std::vector<bpf_insn> device_program(const DeviceRules& rules);

/// Loads and attaches it, replacing programs attached to this very folder before (`update`).
/// Allow-all without exceptions attaches nothing.
base::Result<> attach_device_program(base::Fd cgroup, const DeviceRules& rules);

}  // namespace runtime
