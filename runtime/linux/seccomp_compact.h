#pragma once
#include <linux/filter.h>

#include <vector>

namespace runtime {

/// The same filter in fewer instructions. Neighbouring system calls mostly share an answer, so one search over ranges of numbers
/// takes the place of a comparison for each: of Docker's default profile less than half is left, and a call is decided in a dozen
/// steps. Loading costs the kernel in proportion (it checks, translates, and tries every number: seccomp_cache_prepare()).
///
/// Exact, not a heuristic: a filter is constant between the numbers that it compares with, so each interval is tried once; what
/// looks at arguments is kept instruction by instruction. A program with anything libseccomp does not emit, and one that would
/// not become shorter, is given back as it is. Source: linux/Documentation/userspace-api/seccomp_filter.rst, networking/filter.rst.
std::vector<sock_filter> compact_seccomp(const std::vector<sock_filter>& program);

}  // namespace runtime
