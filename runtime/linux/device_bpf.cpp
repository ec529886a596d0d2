#include "runtime/linux/device_bpf.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"

namespace runtime {
namespace {

using base::Result;
using base::UniqueFd;

bpf_insn instruction(int code, int destination, int source, int offset, std::int32_t immediate) {
  bpf_insn out{};
  out.code = static_cast<__u8>(code);
  out.dst_reg = static_cast<__u8>(destination & 15);
  out.src_reg = static_cast<__u8>(source & 15);
  out.off = static_cast<__s16>(offset);
  out.imm = immediate;
  return out;
}

bpf_insn load_context(int into, int offset) { return instruction(BPF_LDX | BPF_MEM | BPF_W, into, BPF_REG_1, offset, 0); }
bpf_insn set(int into, std::int32_t value) { return instruction(BPF_ALU64 | BPF_MOV | BPF_K, into, 0, 0, value); }
bpf_insn copy(int into, int from) { return instruction(BPF_ALU | BPF_MOV | BPF_X, into, from, 0, 0); }
bpf_insn finish() { return instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }

constexpr int type_register = BPF_REG_2, access_register = BPF_REG_3, major_register = BPF_REG_4,
              minor_register = BPF_REG_5, scratch = BPF_REG_6;

std::int32_t access_bits(const std::string& letters) {
  std::int32_t bits = 0;
  for (const char letter : letters)
    bits |= letter == 'r' ? BPF_DEVCG_ACC_READ : letter == 'w' ? BPF_DEVCG_ACC_WRITE : BPF_DEVCG_ACC_MKNOD;
  return bits;
}

constexpr std::int32_t all_access = BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD;

/// The tests of one rule, each jumping past it when it does not fit, then its verdict.
void add_rule(std::vector<bpf_insn>& out, const spec::DeviceRule& rule) {
  std::vector<bpf_insn> block;
  std::vector<std::size_t> misses;
  const auto jump_unless = [&](int code, int reg, std::int32_t value) {
    misses.push_back(block.size());
    block.push_back(instruction(BPF_JMP32 | code | BPF_K, reg, 0, 0, value));
  };
  if (rule.type == "c" || rule.type == "b")
    jump_unless(BPF_JNE, type_register, rule.type == "c" ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK);
  if (const std::int32_t bits = access_bits(rule.access); bits != all_access) {
    block.push_back(copy(scratch, access_register));
    // An allow rule must cover every right asked for; a deny rule fits when it covers any of them.
    block.push_back(instruction(BPF_ALU | BPF_AND | BPF_K, scratch, 0, 0, bits));
    if (rule.allow) {
      misses.push_back(block.size());
      block.push_back(instruction(BPF_JMP32 | BPF_JNE | BPF_X, scratch, access_register, 0, 0));
    } else {
      jump_unless(BPF_JEQ, scratch, 0);
    }
  }
  if (rule.major && *rule.major >= 0) jump_unless(BPF_JNE, major_register, static_cast<std::int32_t>(*rule.major));
  if (rule.minor && *rule.minor >= 0) jump_unless(BPF_JNE, minor_register, static_cast<std::int32_t>(*rule.minor));
  block.push_back(set(BPF_REG_0, rule.allow ? 1 : 0));
  block.push_back(finish());
  for (const std::size_t at : misses) block[at].off = static_cast<__s16>(block.size() - at - 1);
  out.insert(out.end(), block.begin(), block.end());
}

Result<long> bpf(int command, bpf_attr& attributes, std::string_view what) {
  return base::sys::wrap(what, ::syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

/// Programs attached to this folder itself.
std::vector<__u32> attached_programs(base::Fd cgroup) {
  std::vector<__u32> ids(64);
  bpf_attr attributes{};
  attributes.query.target_fd = static_cast<__u32>(cgroup.number());
  attributes.query.attach_type = BPF_CGROUP_DEVICE;
  attributes.query.prog_ids = reinterpret_cast<std::uintptr_t>(ids.data());
  attributes.query.prog_cnt = static_cast<__u32>(ids.size());
  if (!bpf(BPF_PROG_QUERY, attributes, "bpf query")) return {};
  ids.resize(attributes.query.prog_cnt);
  return ids;
}

void detach(base::Fd cgroup, __u32 id) {
  bpf_attr by_id{};
  by_id.prog_id = id;
  auto opened = bpf(BPF_PROG_GET_FD_BY_ID, by_id, "bpf program");
  if (!opened) return;
  const UniqueFd program(static_cast<int>(*opened));
  bpf_attr attributes{};
  attributes.target_fd = static_cast<__u32>(cgroup.number());
  attributes.attach_bpf_fd = static_cast<__u32>(program.number());
  attributes.attach_type = BPF_CGROUP_DEVICE;
  (void)bpf(BPF_PROG_DETACH, attributes, "bpf detach").has_value();
}

}  // namespace

std::vector<bpf_insn> device_program(const DeviceRules& rules) {
  std::vector<bpf_insn> out;
  // access_type = rights << 16 | type (linux/bpf.h).
  out.push_back(load_context(type_register, 0));
  out.push_back(instruction(BPF_ALU | BPF_AND | BPF_K, type_register, 0, 0, 0xffff));
  out.push_back(load_context(access_register, 0));
  out.push_back(instruction(BPF_ALU | BPF_RSH | BPF_K, access_register, 0, 0, 16));
  out.push_back(load_context(major_register, 4));
  out.push_back(load_context(minor_register, 8));
  for (auto rule = rules.exceptions.rbegin(); rule != rules.exceptions.rend(); ++rule) add_rule(out, *rule);
  out.push_back(set(BPF_REG_0, rules.allow_by_default ? 1 : 0));
  out.push_back(finish());
  return out;
}

Result<> attach_device_program(base::Fd cgroup, const DeviceRules& rules) {
  const auto before = attached_programs(cgroup);
  if (!(rules.allow_by_default && rules.exceptions.empty())) {
    const auto code = device_program(rules);
    bpf_attr load{};
    load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    load.insns = reinterpret_cast<std::uintptr_t>(code.data());
    load.insn_cnt = static_cast<__u32>(code.size());
    load.license = reinterpret_cast<std::uintptr_t>("Apache-2.0");
    auto loaded = bpf(BPF_PROG_LOAD, load, "loading the device program");
    if (!loaded) return std::move(loaded).error();
    const UniqueFd program(static_cast<int>(*loaded));
    bpf_attr attach{};
    attach.target_fd = static_cast<__u32>(cgroup.number());
    attach.attach_bpf_fd = static_cast<__u32>(program.number());
    attach.attach_type = BPF_CGROUP_DEVICE;
    attach.attach_flags = BPF_F_ALLOW_MULTI;
    TRY(bpf(BPF_PROG_ATTACH, attach, "attaching the device program"));
  }
  for (const __u32 id : before) detach(cgroup, id);
  return {};
}

}  // namespace runtime
