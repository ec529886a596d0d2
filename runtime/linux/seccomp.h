#pragma once
#include <linux/filter.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/spec/spec.h"

namespace runtime {

/// A filter ready to load.
struct SeccompFilter {
  std::vector<sock_filter> program;
  unsigned flags = 0;       ///< SECCOMP_FILTER_FLAG_…
  bool notifies = false;    ///< has SCMP_ACT_NOTIFY: loading gives a listener descriptor
};

/// Compiles `profile` for this machine with libseccomp. Errors name the action, architecture or operator that is unknown.
/// Names of system calls this library does not know are looked up in our own table of newer ones; names of neither are left to the
/// default action, as in runc. Calls newer than all known ones answer ENOSYS where the default action is an errno, so that C
/// libraries fall back instead of failing.
enum class Compact { yes, no };  ///< no: as libseccomp made it
base::Result<SeccompFilter> compile_seccomp(const spec::Seccomp& profile, Compact compact = Compact::yes);

/// The same through a cache below `folder`: the compiled program beside the whole profile's text, so no collision can confuse two.
/// The cache is best effort: nothing about it fails a start.
base::Result<SeccompFilter> cached_seccomp(const spec::Seccomp& profile, const std::string& folder);

/// Error naming the first system call that neither libseccomp nor we know. (A profile for newer kernels names such ones: they
/// are left to the default action.)
base::Result<> check_syscall_names(const spec::Seccomp& profile);

/// Loads it into the calling process; gives the listener when the filter notifies. Needs no_new_privs or CAP_SYS_ADMIN.
base::Result<base::UniqueFd> load_seccomp(const SeccompFilter& filter);

}  // namespace runtime
