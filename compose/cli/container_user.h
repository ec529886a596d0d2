#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace compose::cli {

struct ContainerUser {
  unsigned uid = 0, gid = 0;
  std::vector<unsigned> groups;      ///< further ones, from the group file
  std::string home;                  ///< "" = not in the passwd file
};

/// "app", "app:staff", "1000", "1000:1000" by the passwd and group files' texts. Docker's sentences when a name is unknown.
base::Result<ContainerUser> resolve_user(const std::string& wanted, const std::string& passwd, const std::string& group);

/// The same for a running container; its files are read without leaving its root.
base::Result<ContainerUser> resolve_user_in(pid_t pid, const std::string& wanted);

}  // namespace compose::cli
