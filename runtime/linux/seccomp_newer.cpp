#include "runtime/linux/seccomp_newer.h"

#include <linux/audit.h>
#include <linux/seccomp.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

namespace runtime {
namespace {

struct Newer {
  std::string_view name;
  std::uint32_t number;
};
// include/uapi/asm-generic/unistd.h of Linux 6.18, from where libseccomp 2.5.4 ends.
constexpr Newer newer[] = {{"set_mempolicy_home_node", 450}, {"cachestat", 451}, {"fchmodat2", 452},
                           {"map_shadow_stack", 453}, {"futex_wake", 454}, {"futex_wait", 455}, {"futex_requeue", 456},
                           {"statmount", 457}, {"listmount", 458}, {"lsm_get_self_attr", 459}, {"lsm_set_self_attr", 460},
                           {"lsm_list_modules", 461}, {"mseal", 462}, {"setxattrat", 463}, {"getxattrat", 464},
                           {"listxattrat", 465}, {"removexattrat", 466}, {"open_tree_attr", 467}, {"file_getattr", 468},
                           {"file_setattr", 469}, {"listns", 470}};
constexpr std::uint32_t last_known = 470;
constexpr std::uint32_t x32_bit = 0x40000000;

std::optional<std::uint32_t> audit_architecture(std::string_view name) {
  if (name == "SCMP_ARCH_X86_64" || name == "SCMP_ARCH_X32") return AUDIT_ARCH_X86_64;
  if (name == "SCMP_ARCH_X86") return AUDIT_ARCH_I386;
  if (name == "SCMP_ARCH_AARCH64") return AUDIT_ARCH_AARCH64;
  if (name == "SCMP_ARCH_ARM") return AUDIT_ARCH_ARM;
  return std::nullopt;
}

constexpr std::uint32_t native_architecture =
#if defined(__x86_64__)
    AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
    AUDIT_ARCH_AARCH64;
#else
#error "name this architecture for linux/seccomp"
#endif

sock_filter statement(std::uint16_t code, std::uint32_t value) { return sock_filter{code, 0, 0, value}; }
sock_filter jump(std::uint16_t code, std::uint32_t value, std::uint8_t yes, std::uint8_t no) {
  return sock_filter{code, yes, no, value};
}

}  // namespace

std::optional<std::uint32_t> newer_syscall(std::string_view name) {
  for (const Newer& entry : newer)
    if (entry.name == name) return entry.number;
  return std::nullopt;
}

void prepend_newer(std::vector<sock_filter>& program, const std::vector<NewerRule>& rules, const NewerOptions& options) {
  std::vector<std::uint32_t> architectures{native_architecture};
  bool x32 = false;
  for (const auto& name : options.architectures) {
    x32 = x32 || name == "SCMP_ARCH_X32";
    if (const auto arch = audit_architecture(name); arch && std::find(architectures.begin(), architectures.end(), *arch) == architectures.end())
      architectures.push_back(*arch);
  }
  const bool default_is_errno = (options.default_action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO &&
                                (options.default_action & SECCOMP_RET_DATA) != ENOSYS;
  if (rules.empty() && !default_is_errno) return;

  std::vector<sock_filter> decide;  // accumulator: the number without the x32 bit
  for (const NewerRule& rule : rules) {
    if (rule.action == options.default_action) continue;
    decide.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, rule.number, 0, 1));
    decide.push_back(statement(BPF_RET | BPF_K, rule.action));
  }
  if (default_is_errno) {
    decide.push_back(jump(BPF_JMP | BPF_JGT | BPF_K, last_known, 0, 1));
    decide.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
  }
  // Older numbers, and what a debugger blanked (-1), go on to the compiled filter.
  const std::uint32_t first = newer[0].number;
  std::vector<sock_filter> head;
  head.push_back(statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
  for (std::size_t index = 0; index < architectures.size(); ++index) {
    // A hit jumps behind the unconditional jump that the tests end with.
    const auto left = static_cast<std::uint8_t>(architectures.size() - index);
    head.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, architectures[index], left, 0));
  }
  std::vector<sock_filter> number;
  number.push_back(statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  const auto body = static_cast<std::uint32_t>(decide.size());
  number.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, 0xffffffff, 0, 1));
  number.push_back(statement(BPF_JMP | BPF_JA, body + 2 + (x32 ? 1 : 0)));
  if (x32) number.push_back(statement(BPF_ALU | BPF_AND | BPF_K, ~x32_bit));
  number.push_back(jump(BPF_JMP | BPF_JGE | BPF_K, first, 1, 0));
  number.push_back(statement(BPF_JMP | BPF_JA, body));
  // After the architecture tests: a miss of all falls into this jump.
  head.push_back(statement(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(number.size() + decide.size())));

  head.insert(head.end(), number.begin(), number.end());
  head.insert(head.end(), decide.begin(), decide.end());
  program.insert(program.begin(), head.begin(), head.end());
}

}  // namespace runtime
