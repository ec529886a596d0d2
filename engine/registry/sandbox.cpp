// Sources: landlock(7); capabilities(7); capset(2) and prctl(2) act on the calling thread alone.
#include "engine/registry/sandbox.h"

#include <linux/capability.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>

#include "base/unique_fd.h"

namespace engine::registry {

namespace {

void drop_capabilities() {
  // Files of any owner, mode, device and attribute; SYS_ADMIN because trusted.* attributes (overlay's marks) want it.
  constexpr std::array kept{CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID,
                            CAP_MKNOD, CAP_SETFCAP, CAP_SYS_ADMIN};
  std::uint64_t mask = 0;
  for (const int capability : kept) mask |= std::uint64_t{1} << static_cast<unsigned>(capability);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return;
  for (unsigned i = 0; i < 2; ++i) {
    const auto part = static_cast<std::uint32_t>(mask >> (32 * i));
    data.at(i).permitted &= part;
    data.at(i).effective &= part;
    data.at(i).inheritable = 0;
  }
  (void)syscall(SYS_capset, &header, data.data());
}

void confine_writes(base::Fd directory) {
  // Rights by Landlock version; newer headers than Debian 12's name them.
  constexpr std::uint64_t refer = 1ULL << 13, truncate = 1ULL << 14;
  std::uint64_t rights = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                         LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                         LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
                         LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_EXECUTE;
  const auto version = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 2) return;  // 1 forbids hard links between directories altogether
  rights |= refer;
  if (version >= 3) rights |= truncate;
  const landlock_ruleset_attr attributes{rights};
  const base::UniqueFd rules(static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!rules.valid()) return;
  if (directory.valid()) {
    landlock_path_beneath_attr beneath{};
    beneath.allowed_access = rights & ~std::uint64_t{LANDLOCK_ACCESS_FS_EXECUTE};
    beneath.parent_fd = directory.number();
    if (syscall(SYS_landlock_add_rule, rules.number(), LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0) return;
  }
  (void)syscall(SYS_landlock_restrict_self, rules.number(), 0);
}

}  // namespace

void confine_thread(base::Fd directory) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return;
  confine_writes(directory);
  drop_capabilities();
}

}  // namespace engine::registry
