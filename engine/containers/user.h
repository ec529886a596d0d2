#pragma once
// Who a process in a container is: the image's passwd and group files, read as Docker reads them.
// Source: github.com/moby/sys/user GetExecUser, GetAdditionalGroups; moby daemon/oci_linux.go getUser().
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::containers {

struct Identity {
  std::uint32_t uid = 0, gid = 0;
  std::vector<std::uint32_t> groups;  ///< the primary one first, each once
  std::string home;                   ///< "" = not in passwd
};

struct Accounts {
  std::string passwd, group;  ///< texts of the files; "" when missing
  bool has_passwd = false;
};

/// Reads /etc/passwd and /etc/group below `root`; links are followed inside it. Missing files are empty.
base::Result<Accounts> read_accounts(base::Fd root);

/// `user` is "", "name", "uid", and either with ":group" or ":gid". Names must exist; numbers need not. Errors: invalid.
base::Result<Identity> identify(const std::string& user, const std::vector<std::string>& group_add, const Accounts& accounts);

}  // namespace engine::containers
