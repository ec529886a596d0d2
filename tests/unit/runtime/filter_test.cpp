// Compiled filters and device programs, run by small interpreters of the instructions they use.
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <catch2/catch.hpp>
#include <cstddef>

#include "runtime/linux/device_bpf.h"
#include "runtime/linux/seccomp.h"
#include "runtime/spec/docker_defaults.h"

using namespace runtime;

namespace {

/// What the kernel would answer: classic BPF over seccomp_data.
std::uint32_t answer(const std::vector<sock_filter>& program, const seccomp_data& data) {
  std::uint32_t accumulator = 0, index = 0;
  std::array<std::uint32_t, 16> memory{};
  for (std::size_t at = 0; at < program.size(); ++at) {
    const sock_filter& step = program[at];
    const auto jump = [&](bool taken) { at += taken ? step.jt : step.jf; };
    switch (step.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        REQUIRE(step.k + 4 <= sizeof data);
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&data) + step.k, 4);
        break;
      case BPF_LD | BPF_W | BPF_MEM: accumulator = memory.at(step.k); break;
      case BPF_ST: memory.at(step.k) = accumulator; break;
      case BPF_MISC | BPF_TAX: index = accumulator; break;
      case BPF_MISC | BPF_TXA: accumulator = index; break;
      case BPF_ALU | BPF_AND | BPF_K: accumulator &= step.k; break;
      case BPF_JMP | BPF_JA: at += step.k; break;
      case BPF_JMP | BPF_JEQ | BPF_K: jump(accumulator == step.k); break;
      case BPF_JMP | BPF_JGT | BPF_K: jump(accumulator > step.k); break;
      case BPF_JMP | BPF_JGE | BPF_K: jump(accumulator >= step.k); break;
      case BPF_JMP | BPF_JSET | BPF_K: jump((accumulator & step.k) != 0); break;
      case BPF_RET | BPF_K: return step.k;
      default: FAIL("unexpected instruction " << step.code);
    }
  }
  FAIL("ran off the end");
  return 0;
}

std::uint32_t ask(const SeccompFilter& filter, int number, std::uint64_t first = 0, std::uint32_t arch = AUDIT_ARCH_X86_64) {
  seccomp_data data{};
  data.nr = number;
  data.arch = arch;
  data.args[0] = first;
  return answer(filter.program, data);
}

constexpr std::uint32_t denied = SECCOMP_RET_ERRNO | 1, missing = SECCOMP_RET_ERRNO | 38;

/// cgroup device context through eBPF; only what device_program() emits.
bool device_allowed(const DeviceRules& rules, std::uint32_t type, std::uint32_t access, std::uint32_t major, std::uint32_t minor) {
  const auto program = device_program(rules);
  const std::array<std::uint32_t, 3> context{access << 16 | type, major, minor};
  std::array<std::uint64_t, 11> registers{};
  for (std::size_t at = 0; at < program.size(); ++at) {
    const bpf_insn& step = program[at];
    auto& target = registers[step.dst_reg];
    const auto immediate = static_cast<std::uint32_t>(step.imm);
    const auto jump = [&](bool taken) { if (taken) at += static_cast<std::size_t>(step.off); };
    switch (step.code) {
      case BPF_LDX | BPF_MEM | BPF_W: target = context.at(static_cast<std::size_t>(step.off) / 4); break;
      case BPF_ALU64 | BPF_MOV | BPF_K: target = immediate; break;
      case BPF_ALU | BPF_MOV | BPF_X: target = registers[step.src_reg]; break;
      case BPF_ALU | BPF_AND | BPF_K: target &= immediate; break;
      case BPF_ALU | BPF_RSH | BPF_K: target >>= immediate; break;
      case BPF_JMP32 | BPF_JNE | BPF_K: jump(static_cast<std::uint32_t>(target) != immediate); break;
      case BPF_JMP32 | BPF_JEQ | BPF_K: jump(static_cast<std::uint32_t>(target) == immediate); break;
      case BPF_JMP32 | BPF_JNE | BPF_X: jump(static_cast<std::uint32_t>(target) != static_cast<std::uint32_t>(registers[step.src_reg])); break;
      case BPF_JMP | BPF_EXIT: return registers[0] != 0;
      default: FAIL("unexpected instruction " << static_cast<int>(step.code));
    }
  }
  FAIL("ran off the end");
  return false;
}

}  // namespace

#if defined(__x86_64__)
TEST_CASE("Docker's default filter answers as libseccomp and its profile say") {
  const auto filter = compile_seccomp(spec::docker::seccomp_profile(spec::docker::default_capabilities()));
  REQUIRE(filter);
  CHECK(ask(*filter, SYS_read) == SECCOMP_RET_ALLOW);
  CHECK(ask(*filter, SYS_mount) == denied);
  CHECK(ask(*filter, SYS_clone, 0x00000011) == SECCOMP_RET_ALLOW);
  CHECK(ask(*filter, SYS_clone, 0x10000000) == denied);  // CLONE_NEWUSER
  CHECK(ask(*filter, SYS_clone3) == missing);
  CHECK(ask(*filter, SYS_personality, 0x20008) == SECCOMP_RET_ALLOW);
  CHECK(ask(*filter, SYS_personality, 0x40000) == denied);
  CHECK(ask(*filter, SYS_socket, 40) == denied);
  CHECK(ask(*filter, SYS_socket, 2) == SECCOMP_RET_ALLOW);
}

TEST_CASE("calls newer than the library are answered on every architecture of the profile") {
  const auto filter = compile_seccomp(spec::docker::seccomp_profile(spec::docker::default_capabilities()));
  REQUIRE(filter);
  for (const std::uint32_t arch : std::initializer_list<std::uint32_t>{AUDIT_ARCH_X86_64, AUDIT_ARCH_I386}) {
    CHECK(ask(*filter, 452, 0, arch) == SECCOMP_RET_ALLOW);  // fchmodat2
    CHECK(ask(*filter, 462, 0, arch) == SECCOMP_RET_ALLOW);  // mseal
    CHECK(ask(*filter, 459, 0, arch) == denied);             // lsm_get_self_attr needs CAP_SYS_ADMIN
    CHECK(ask(*filter, 900, 0, arch) == missing);            // not known to anyone yet
  }
  CHECK(ask(*filter, 452 | 0x40000000) == SECCOMP_RET_ALLOW);  // x32
  CHECK(ask(*filter, -1) != SECCOMP_RET_ALLOW);
  CHECK(ask(*filter, SYS_read, 0, AUDIT_ARCH_S390) != SECCOMP_RET_ALLOW);
}

TEST_CASE("an allowing profile stays allowing for unknown calls") {
  spec::Seccomp profile;
  profile.default_action = "SCMP_ACT_ALLOW";
  profile.syscalls.push_back({.names = {"mkdir", "mseal", "no_such_call"}, .action = "SCMP_ACT_ERRNO", .errno_ret = 5, .args = {}});
  const auto filter = compile_seccomp(profile);
  REQUIRE(filter);
  CHECK(ask(*filter, SYS_mkdir) == (SECCOMP_RET_ERRNO | 5));
  CHECK(ask(*filter, 462) == (SECCOMP_RET_ERRNO | 5));
  CHECK(ask(*filter, 900) == SECCOMP_RET_ALLOW);
}
#endif

TEST_CASE("words a filter does not know are errors that name them") {
  const auto message = [](const std::function<void(spec::Seccomp&)>& change) {
    auto profile = spec::docker::seccomp_profile({});
    change(profile);
    const auto filter = compile_seccomp(profile);
    return filter ? "accepted" : filter.error().message;
  };
  CHECK(message([](auto& profile) { profile.default_action = "X"; }) == "linux.seccomp: unknown action 'X'");
  CHECK(message([](auto& profile) { profile.architectures.emplace_back("SCMP_ARCH_VAX"); }) == "linux.seccomp: unknown architecture 'SCMP_ARCH_VAX'");
  CHECK(message([](auto& profile) { profile.flags = {"F"}; }) == "linux.seccomp: unknown flag 'F'");
  CHECK(message([](auto& profile) { profile.syscalls[2].args[0].op = "O"; }) == "linux.seccomp: unknown operator 'O'");
  CHECK(message([](auto& profile) { profile.default_action = "SCMP_ACT_NOTIFY"; }).find("NOTIFY") != std::string::npos);
}

TEST_CASE("the device program lets through what the rules do, the last that fits deciding") {
  const auto rules = effective_device_rules(spec::docker::device_rules());
  constexpr std::uint32_t block = BPF_DEVCG_DEV_BLOCK, character = BPF_DEVCG_DEV_CHAR;
  constexpr std::uint32_t mknod = BPF_DEVCG_ACC_MKNOD, read = BPF_DEVCG_ACC_READ, write = BPF_DEVCG_ACC_WRITE;
  CHECK(device_allowed(rules, character, read | write, 1, 3));
  CHECK(device_allowed(rules, character, read, 136, 77));
  CHECK(device_allowed(rules, block, mknod, 8, 0));
  CHECK_FALSE(device_allowed(rules, block, mknod | read, 8, 0));
  CHECK_FALSE(device_allowed(rules, character, read, 10, 229));
  DeviceRules open;
  open.exceptions = {{.allow = false, .type = "c", .major = 10, .minor = {}, .access = "w"}};
  CHECK(device_allowed(open, character, read, 10, 5));
  CHECK_FALSE(device_allowed(open, character, read | write, 10, 5));
  CHECK(device_allowed(open, block, write, 10, 5));
}
