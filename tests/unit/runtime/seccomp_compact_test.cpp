#include <catch2/catch.hpp>

#include <linux/audit.h>
#include <linux/seccomp.h>

#include <cstring>

#include "runtime/linux/seccomp.h"
#include "runtime/linux/seccomp_compact.h"
#include "runtime/spec/docker_defaults.h"

using namespace runtime;

namespace {

/// The kernel's reading of a program, as far as filters of system calls go. Source: networking/filter.rst.
std::uint32_t answer(const std::vector<sock_filter>& program, const seccomp_data& call) {
  std::uint32_t a = 0;
  for (std::size_t pc = 0; pc < program.size(); ++pc) {
    const auto& i = program[pc];
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS: std::memcpy(&a, reinterpret_cast<const char*>(&call) + i.k, sizeof a); break;
      case BPF_ALU | BPF_AND | BPF_K: a &= i.k; break;
      case BPF_RET | BPF_K: return i.k;
      case BPF_JMP | BPF_JA: pc += i.k; break;
      case BPF_JMP | BPF_JEQ | BPF_K: pc += a == i.k ? i.jt : i.jf; break;
      case BPF_JMP | BPF_JGT | BPF_K: pc += a > i.k ? i.jt : i.jf; break;
      case BPF_JMP | BPF_JGE | BPF_K: pc += a >= i.k ? i.jt : i.jf; break;
      case BPF_JMP | BPF_JSET | BPF_K: pc += (a & i.k) != 0 ? i.jt : i.jf; break;
      default: throw std::runtime_error("an instruction that the kernel takes for none of ours");
    }
  }
  throw std::runtime_error("the program runs past its end");
}

/// Every number that a machine could have, and then some, for every architecture, with arguments that rules compare with.
std::string first_difference(const std::vector<sock_filter>& one, const std::vector<sock_filter>& other) {
  constexpr std::uint32_t architectures[] = {AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0, 1, 2};
  constexpr std::uint64_t arguments[] = {0, 1, 2, 8, 40, 0x20000, 0x20008, 0xffffffff, 0x7e020000, 0x100000000, 0xffffffffffffffff};
  std::vector<std::uint32_t> numbers;
  for (std::uint32_t nr = 0; nr < 700; ++nr) numbers.insert(numbers.end(), {nr, 0x40000000 + nr});
  numbers.insert(numbers.end(), {0x3fffffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff});
  for (const auto arch : architectures)
    for (const auto nr : numbers)
      for (const auto value : arguments) {
        const seccomp_data call{static_cast<int>(nr), arch, 0, {value, value, value, value, value, value}};
        if (answer(one, call) != answer(other, call))
          return "call " + std::to_string(nr) + " of architecture " + std::to_string(arch) + " with " + std::to_string(value);
      }
  return "none";
}

}  // namespace

TEST_CASE("Docker's default profile answers the same in half of the instructions") {
  for (const auto& capabilities : {std::vector<std::string>{}, std::vector<std::string>{"CAP_SYS_ADMIN", "CAP_SYS_PTRACE"}}) {
    const auto profile = spec::docker::seccomp_profile(capabilities);
    const auto plain = compile_seccomp(profile, Compact::no);
    const auto compact = compile_seccomp(profile);
    REQUIRE(plain);
    REQUIRE(compact);
    CHECK(compact->program.size() < plain->program.size() / 2);
    CHECK(first_difference(plain->program, compact->program) == "none");
    CHECK(first_difference(compact->program, compact_seccomp(compact->program)) == "none");
  }
}

TEST_CASE("profiles that deny, trace and compare answer the same when compacted") {
  spec::Seccomp profile;
  profile.default_action = "SCMP_ACT_ALLOW";
  profile.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  for (const char* op : {"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"}) {
    static const std::vector<std::string> names{"read", "write", "clone", "socket", "mmap", "personality", "openat"};
    spec::SeccompRule rule;
    rule.names = {names[profile.syscalls.size()]};
    rule.action = profile.syscalls.size() % 2 == 0 ? "SCMP_ACT_ERRNO" : "SCMP_ACT_TRACE";
    rule.errno_ret = static_cast<unsigned>(profile.syscalls.size() + 1);
    rule.args = {{.index = 1, .value = 8, .value_two = 8, .op = op}};
    profile.syscalls.push_back(rule);
  }
  profile.syscalls.push_back({.names = {"mount", "umount2", "reboot"}, .action = "SCMP_ACT_KILL_PROCESS"});
  const auto plain = compile_seccomp(profile, Compact::no);
  REQUIRE(plain);
  CHECK(first_difference(plain->program, compact_seccomp(plain->program)) == "none");
}

TEST_CASE("a program that is not understood is left alone") {
  const std::vector<sock_filter> odd{{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}, {BPF_MISC | BPF_TAX, 0, 0, 0}, {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  const auto same = compact_seccomp(odd);
  REQUIRE(same.size() == odd.size());
  CHECK(same[1].code == odd[1].code);
  CHECK(compact_seccomp({}).empty());
}
