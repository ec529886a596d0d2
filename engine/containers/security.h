#pragma once
// security_opt, as Docker takes it: "name=value" or "name:value".
#include <string>
#include <vector>

#include "base/result.h"

namespace engine::containers {

struct Security {
  enum class Seccomp : unsigned char { builtin, unconfined, profile };
  Seccomp seccomp = Seccomp::builtin;
  std::string seccomp_profile;       ///< JSON text, or the path of a file with it
  bool no_new_privileges = false;
  bool system_paths_unconfined = false;
  bool writable_cgroups = false;
  std::string apparmor;              ///< profile; "" = none asked for, "unconfined"
  bool seccomp_given = false;        ///< with privileged, only a given profile applies
};

/// Errors: invalid (unknown option or value); unsupported (AppArmor profile or SELinux label on a kernel without).
base::Result<Security> parse_security(const std::vector<std::string>& options);

}  // namespace engine::containers
