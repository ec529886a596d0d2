#include "runtime/linux/seccomp.h"

#include <elf.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "runtime/linux/seccomp_compact.h"
#include "runtime/linux/seccomp_newer.h"
#include "runtime/linux/text.h"

namespace runtime {

using base::ErrorKind;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

struct Word {
  std::string_view name;
  std::uint32_t value;
};

constexpr Word architectures[] = {
    {"SCMP_ARCH_X86", SCMP_ARCH_X86}, {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64}, {"SCMP_ARCH_X32", SCMP_ARCH_X32},
    {"SCMP_ARCH_ARM", SCMP_ARCH_ARM}, {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64}, {"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS},
    {"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64}, {"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32},
    {"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL}, {"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64},
    {"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32}, {"SCMP_ARCH_PPC", SCMP_ARCH_PPC},
    {"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64}, {"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE}, {"SCMP_ARCH_S390", SCMP_ARCH_S390},
    {"SCMP_ARCH_S390X", SCMP_ARCH_S390X}, {"SCMP_ARCH_PARISC", SCMP_ARCH_PARISC},
    {"SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64}, {"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64}};

constexpr Word operators[] = {{"SCMP_CMP_NE", SCMP_CMP_NE}, {"SCMP_CMP_LT", SCMP_CMP_LT}, {"SCMP_CMP_LE", SCMP_CMP_LE},
                              {"SCMP_CMP_EQ", SCMP_CMP_EQ}, {"SCMP_CMP_GE", SCMP_CMP_GE}, {"SCMP_CMP_GT", SCMP_CMP_GT},
                              {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};

constexpr Word filter_flags[] = {{"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
                                 {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
                                 {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
                                 {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 1U << 5}};

template <std::size_t n>
Result<std::uint32_t> look_up(const Word (&table)[n], std::string_view word, const char* what) {
  for (const Word& entry : table)
    if (entry.name == word) return entry.value;
  return base::make_error(ErrorKind::invalid, concat({"linux.seccomp: unknown ", what, " '", word, "'"}));
}

Result<std::uint32_t> action_value(std::string_view action, std::optional<std::uint32_t> number) {
  const std::uint32_t errno_or_data = number.value_or(1) & 0xffff;
  if (action == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (action == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(errno_or_data);
  if (action == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(errno_or_data);
  if (action == "SCMP_ACT_KILL" || action == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
  if (action == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  if (action == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (action == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  if (action == "SCMP_ACT_NOTIFY") return SCMP_ACT_NOTIFY;
  return base::make_error(ErrorKind::invalid, concat({"linux.seccomp: unknown action '", action, "'"}));
}

Result<> check_result(int number, const char* what) {
  if (number == 0) return {};
  return base::errno_error(-number, concat({"linux.seccomp: ", what}));
}

/// A libseccomp filter that is released at the end.
struct Context {
  scmp_filter_ctx filter = nullptr;
  explicit Context(std::uint32_t default_action) : filter(::seccomp_init(default_action)) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() {
    if (filter) ::seccomp_release(filter);
  }
};

Result<> add_architectures(scmp_filter_ctx filter, const spec::Seccomp& profile) {
  for (const auto& name : profile.architectures) {
    ASSIGN_OR_RETURN(const std::uint32_t arch, look_up(architectures, name, "architecture"));
    const int added = ::seccomp_arch_add(filter, arch);
    if (added == 0 || added == -EEXIST) continue;
    if (added == -EDOM) continue;  // other byte order than the native one: such programs can't run here anyway
    TRY(check_result(added, "adding an architecture"));
  }
  return {};
}

Result<std::vector<scmp_arg_cmp>> comparisons(const spec::SeccompRule& rule) {
  std::vector<scmp_arg_cmp> out;
  for (const auto& argument : rule.args) {
    ASSIGN_OR_RETURN(const std::uint32_t op, look_up(operators, argument.op, "operator"));
    if (argument.index > 5) return base::make_error(ErrorKind::invalid, "linux.seccomp: argument index above 5");
    scmp_arg_cmp compare{};
    compare.arg = argument.index;
    compare.op = static_cast<scmp_compare>(op);
    compare.datum_a = argument.value;
    compare.datum_b = argument.value_two;
    // OCI: value is the mask and valueTwo the datum, which is libseccomp's order too.
    out.push_back(compare);
  }
  return out;
}

Result<> add_rule(scmp_filter_ctx filter, std::uint32_t action, int number, const std::vector<scmp_arg_cmp>& args) {
  const auto add = [&](std::span<const scmp_arg_cmp> chosen) {
    return ::seccomp_rule_add_array(filter, action, number, static_cast<unsigned>(chosen.size()), chosen.data());
  };
  // Several conditions on one argument: libseccomp can't AND them; as runc and crun do, each makes a rule of its own.
  std::array<int, 6> uses{};
  for (const auto& compare : args) ++uses[compare.arg];
  if (std::ranges::none_of(uses, [](int count) { return count > 1; }))
    return check_result(add(args), "adding a rule");
  for (const auto& compare : args) TRY(check_result(add(std::span(&compare, 1)), "adding a rule"));
  return {};
}

Result<> add_rules(scmp_filter_ctx filter, const spec::Seccomp& profile, std::uint32_t default_action,
                   std::vector<NewerRule>& newer, bool& notifies) {
  for (const auto& rule : profile.syscalls) {
    ASSIGN_OR_RETURN(const std::uint32_t action, action_value(rule.action, rule.errno_ret));
    if (action == SCMP_ACT_NOTIFY) notifies = true;
    // As under runc: until the execve nobody could tell an error, or pass the listener on, without the agent's leave.
    if (action == SCMP_ACT_NOTIFY && std::ranges::find(rule.names, "write") != rule.names.end())
      return base::make_error(ErrorKind::invalid, "linux.seccomp: SCMP_ACT_NOTIFY cannot be used for the write syscall");
    ASSIGN_OR_RETURN(const auto args, comparisons(rule));
    for (const std::string& name : rule.names) {
      const int number = ::seccomp_syscall_resolve_name(name.c_str());
      if (number != __NR_SCMP_ERROR) {
        if (action != default_action) TRY(add_rule(filter, action, number, args).with(name));
        continue;
      }
      const auto known = newer_syscall(name);
      if (!known) continue;
      if (!args.empty())
        return base::make_error(ErrorKind::unsupported, "linux.seccomp: arguments of '" + name + "' can't be compared");
      newer.push_back({.number = *known, .action = action});
    }
  }
  return {};
}

Result<std::vector<sock_filter>> exported(scmp_filter_ctx filter) {
  ASSIGN_OR_RETURN(const auto memory, sys::memfd_create("seccomp", 0));
  TRY(check_result(::seccomp_export_bpf(filter, memory.number()), "compiling"));
  const off_t size = ::lseek(memory.number(), 0, SEEK_END);
  std::vector<sock_filter> program(static_cast<std::size_t>(size) / sizeof(sock_filter));
  if (::pread(memory.number(), program.data(), program.size() * sizeof(sock_filter), 0) != size)
    return base::make_error(ErrorKind::internal, "linux.seccomp: reading the compiled filter");
  return program;
}

Result<unsigned> flags_of(const spec::Seccomp& profile) {
  // Without flags runc and crun spare the program the speculation barrier.
  if (!profile.flags) return static_cast<unsigned>(SECCOMP_FILTER_FLAG_SPEC_ALLOW);
  unsigned flags = 0;
  for (const auto& name : *profile.flags) {
    ASSIGN_OR_RETURN(const std::uint32_t flag, look_up(filter_flags, name, "flag"));
    flags |= flag;
  }
  return flags;
}

}  // namespace

Result<SeccompFilter> compile_seccomp(const spec::Seccomp& profile, Compact compact) {
  SeccompFilter out;
  ASSIGN_OR_RETURN(out.flags, flags_of(profile));
  ASSIGN_OR_RETURN(const std::uint32_t default_action, action_value(profile.default_action, profile.default_errno_ret));
  if (default_action == SCMP_ACT_NOTIFY)
    return base::make_error(ErrorKind::invalid, "linux.seccomp: SCMP_ACT_NOTIFY can't be the default action");
  const Context context(default_action);
  if (!context.filter) return base::make_error(ErrorKind::exhausted, "linux.seccomp: out of memory");
  TRY(add_architectures(context.filter, profile));
  // A binary tree over the numbers: fewer steps a call, and the kernel's own analysis at load time is quicker too.
  (void)::seccomp_attr_set(context.filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  std::vector<NewerRule> newer;
  TRY(add_rules(context.filter, profile, default_action, newer, out.notifies));
  // An agent that is named gets its descriptor, whether a rule asks it yet or not.
  if (!profile.listener_path.empty()) out.notifies = true;
  ASSIGN_OR_RETURN(out.program, exported(context.filter));
  std::vector<std::string> names = profile.architectures;
  prepend_newer(out.program, newer, {.default_action = default_action, .architectures = std::move(names)});
  if (compact == Compact::yes) out.program = compact_seccomp(out.program);
  return out;
}

namespace {

constexpr std::string_view cache_magic = "compose-seccomp-2\n";

void append(std::string& out, std::string_view text) {
  out += text;
  out += '\0';
}

/// Everything the compiled program depends on, as text.
std::string cache_key(const spec::Seccomp& profile) {
  std::string key(cache_magic);
  const auto* version = ::seccomp_version();
  key += std::to_string(version->major) + "." + std::to_string(version->minor) + "." + std::to_string(version->micro) + "\n";
  append(key, profile.default_action);
  append(key, profile.default_errno_ret ? std::to_string(*profile.default_errno_ret) : "-");
  append(key, profile.listener_path.empty() ? "-" : "listener");
  for (const auto& name : profile.architectures) append(key, name);
  append(key, profile.flags ? "flags" : "no flags");
  if (profile.flags)
    for (const auto& name : *profile.flags) append(key, name);
  for (const auto& rule : profile.syscalls) {
    append(key, "rule");
    append(key, rule.action);
    append(key, rule.errno_ret ? std::to_string(*rule.errno_ret) : "-");
    for (const auto& name : rule.names) append(key, name);
    for (const auto& argument : rule.args) {
      append(key, argument.op);
      append(key, std::to_string(argument.index) + " " + std::to_string(argument.value) + " " +
                      std::to_string(argument.value_two));
    }
  }
  return key;
}

std::string cache_name(std::string_view key) {
  std::uint64_t hash = 14695981039346656037ULL;  // FNV-1a; a collision only costs a recompilation, the key is compared
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
  return digits;
}

struct CacheHeader {
  std::uint32_t key_size = 0, instructions = 0, flags = 0, notifies = 0;
};

std::optional<SeccompFilter> read_cache(const std::string& path, std::string_view key) {
  const auto text = sys::read_file(path, 1 << 20);
  CacheHeader header;
  if (!text || text->size() < sizeof header) return std::nullopt;
  std::memcpy(&header, text->data(), sizeof header);
  const std::size_t program_size = header.instructions * sizeof(sock_filter);
  if (header.instructions == 0 || header.instructions > BPF_MAXINSNS || header.key_size != key.size() ||
      text->size() != sizeof header + key.size() + program_size || text->compare(sizeof header, key.size(), key) != 0)
    return std::nullopt;
  SeccompFilter out;
  out.flags = header.flags;
  out.notifies = header.notifies != 0;
  out.program.resize(header.instructions);
  std::memcpy(out.program.data(), text->data() + sizeof header + key.size(), program_size);
  return out;
}

}  // namespace

Result<SeccompFilter> cached_seccomp(const spec::Seccomp& profile, const std::string& folder) {
  const std::string key = cache_key(profile);
  const std::string path = folder + "/" + cache_name(key);
  if (auto known = read_cache(path, key)) return std::move(*known);
  ASSIGN_OR_RETURN(auto filter, compile_seccomp(profile));
  const CacheHeader header{.key_size = static_cast<std::uint32_t>(key.size()),
                           .instructions = static_cast<std::uint32_t>(filter.program.size()),
                           .flags = filter.flags, .notifies = filter.notifies};
  std::string text(reinterpret_cast<const char*>(&header), sizeof header);
  text += key;
  text.append(reinterpret_cast<const char*>(filter.program.data()), filter.program.size() * sizeof(sock_filter));
  if (sys::make_directories(folder, 0700)) (void)!sys::replace_file(path, text, 0600).has_value();
  return filter;
}

Result<> check_syscall_names(const spec::Seccomp& profile) {
  for (const auto& rule : profile.syscalls)
    for (const std::string& name : rule.names)
      if (::seccomp_syscall_resolve_name(name.c_str()) == __NR_SCMP_ERROR && !newer_syscall(name))
        return base::make_error(ErrorKind::invalid, "linux.seccomp: unknown system call '" + name + "'");
  return {};
}

Result<UniqueFd> load_seccomp(const SeccompFilter& filter) {
  sock_fprog program{};
  program.len = static_cast<unsigned short>(filter.program.size());
  program.filter = const_cast<sock_filter*>(filter.program.data());
  unsigned flags = filter.flags | (filter.notifies ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0U);
  // seccomp(2): both can return a number, so the kernel wants to know which.
  if (filter.notifies && flags & SECCOMP_FILTER_FLAG_TSYNC) flags |= SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
  ASSIGN_OR_RETURN(const long listener,
                   sys::wrap("linux.seccomp: loading", ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program)));
  return UniqueFd(filter.notifies ? static_cast<int>(listener) : -1);
}

}  // namespace runtime
