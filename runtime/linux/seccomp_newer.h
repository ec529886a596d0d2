#pragma once
// System calls newer than Debian 12's libseccomp (2.5.4). Since Linux 5.1 every architecture numbers new ones alike, so a few
// instructions put before the compiled filter serve them all.
#include <linux/filter.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace runtime {

struct NewerRule {
  std::uint32_t number = 0, action = 0;
};

/// The number of a call libseccomp does not know; nothing for a name we don't know either.
std::optional<std::uint32_t> newer_syscall(std::string_view name);

struct NewerOptions {
  std::uint32_t default_action = 0;
  std::vector<std::string> architectures;  ///< of the profile; only these are answered, the filter decides on the rest
};

/// Puts the rules, and ENOSYS for calls newer than every known one when the default action is an errno, before `program`. Pure.
void prepend_newer(std::vector<sock_filter>& program, const std::vector<NewerRule>& rules, const NewerOptions& options);

}  // namespace runtime
