#include "runtime/linux/scheduling.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "runtime/linux/text.h"

namespace runtime {

using base::ErrorKind;
using base::Result;
namespace sys = base::sys;

namespace {

struct Word {
  std::string_view name;
  unsigned value;
};
constexpr Word policies[] = {{"SCHED_OTHER", SCHED_OTHER}, {"SCHED_FIFO", SCHED_FIFO}, {"SCHED_RR", SCHED_RR},
                             {"SCHED_BATCH", SCHED_BATCH}, {"SCHED_ISO", 4}, {"SCHED_IDLE", SCHED_IDLE},
                             {"SCHED_DEADLINE", 6}};
// linux/sched.h; that header and the C library's can't both be included.
constexpr Word policy_flags[] = {{"SCHED_FLAG_RESET_ON_FORK", 0x01}, {"SCHED_FLAG_RECLAIM", 0x02},
                                 {"SCHED_FLAG_DL_OVERRUN", 0x04},    {"SCHED_FLAG_KEEP_POLICY", 0x08},
                                 {"SCHED_FLAG_KEEP_PARAMS", 0x10},   {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
                                 {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40}};
constexpr Word io_classes[] = {{"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", 3}};

template <std::size_t n>
Result<unsigned> look_up(const Word (&table)[n], const std::string& word, const char* property) {
  for (const Word& entry : table)
    if (entry.name == word) return entry.value;
  return base::make_error(ErrorKind::invalid, concat({property, ": unknown '", word, "'"}));
}

/// sched_setattr(2) of Linux 3.14, version 0.
struct SchedulerAttributes {
  std::uint32_t size = sizeof(SchedulerAttributes), policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0, deadline = 0, period = 0;
};

/// sched(7): 1024 ns ≤ runtime ≤ deadline ≤ period < 2^63 ns. The kernel itself would only say "invalid argument".
Result<> check_deadline(const spec::Scheduler& wanted) {
  const auto wrong = [](std::string what) {
    return base::make_error(ErrorKind::invalid, "process.scheduler: sched_setattr: `SCHED_DEADLINE` " + std::move(what));
  };
  constexpr std::uint64_t least = 1024, most = std::uint64_t{1} << 63;
  if (!wanted.runtime) return wrong("requires `runtime`");
  if (!wanted.deadline) return wrong("requires `deadline`");
  const std::uint64_t runtime = *wanted.runtime, deadline = *wanted.deadline, period = wanted.period;
  if (runtime == 0) return wrong("runtime must be greater than 0");
  if (runtime < least || runtime >= most)
    return wrong("runtime " + std::to_string(runtime) + " must be between " + std::to_string(least) + " and 2^63 ns");
  if (runtime > deadline) return wrong("runtime " + std::to_string(runtime) + " must be <= deadline " + std::to_string(deadline));
  if (period != 0 && deadline > period)
    return wrong("deadline " + std::to_string(deadline) + " must be <= period " + std::to_string(period));
  return {};
}

Result<SchedulerAttributes> attributes_of(const spec::Scheduler& wanted) {
  SchedulerAttributes out;
  ASSIGN_OR_RETURN(out.policy, look_up(policies, wanted.policy, "process.scheduler.policy"));
  for (const auto& name : wanted.flags) {
    ASSIGN_OR_RETURN(const unsigned flag, look_up(policy_flags, name, "process.scheduler.flags"));
    out.flags |= flag;
  }
  if (wanted.nice < -20 || wanted.nice > 19)
    return base::make_error(ErrorKind::invalid, "process.scheduler.nice: must be -20 to 19");
  out.nice = wanted.nice;
  out.priority = static_cast<std::uint32_t>(wanted.priority);
  out.runtime = wanted.runtime.value_or(0);
  out.deadline = wanted.deadline.value_or(0);
  out.period = wanted.period;
  if (wanted.policy == "SCHED_DEADLINE") TRY(check_deadline(wanted));
  return out;
}

Result<int> io_priority_value(const spec::IoPriority& wanted) {
  ASSIGN_OR_RETURN(const unsigned class_number, look_up(io_classes, wanted.class_name, "process.ioPriority.class"));
  if (wanted.priority < 0 || wanted.priority > 7)
    return base::make_error(ErrorKind::invalid, "process.ioPriority.priority: must be 0 to 7");
  return static_cast<int>(class_number << 13) | wanted.priority;
}

Result<cpu_set_t> cpu_set(const std::string& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  bool valid = !cpus.empty();
  for_each_word(cpus, ',', [&](std::string_view part) {
    char* end = nullptr;
    const std::string text(part);
    const long first = std::strtol(text.c_str(), &end, 10);
    long last = first;
    if (end != text.c_str() && *end == '-') {
      const char* start = end + 1;
      last = std::strtol(start, &end, 10);
      if (end == start) valid = false;
    }
    if (end == text.c_str() || *end != '\0' || first < 0 || last < first || last >= CPU_SETSIZE) valid = false;
    for (long cpu = first; valid && cpu <= last; ++cpu) CPU_SET(static_cast<std::size_t>(cpu), &set);
  });
  if (!valid) return base::make_error(ErrorKind::invalid, "process.execCPUAffinity: '" + cpus + "' is not a list of cpus");
  return set;
}

}  // namespace

std::vector<std::string> known_policies() {
  std::vector<std::string> out;
  for (const Word& policy : policies) out.emplace_back(policy.name);
  return out;
}

Result<> check_scheduling(const spec::Process& process) {
  if (process.scheduler) TRY(attributes_of(*process.scheduler));
  if (process.io_priority) TRY(io_priority_value(*process.io_priority));
  if (process.exec_cpu_affinity)
    for (const auto* cpus : {&process.exec_cpu_affinity->initial, &process.exec_cpu_affinity->final})
      if (!cpus->empty()) TRY(cpu_set(*cpus));
  return {};
}

Result<> set_affinity(const std::string& cpus) {
  if (cpus.empty()) return {};
  ASSIGN_OR_RETURN(const auto set, cpu_set(cpus));
  TRY(sys::wrap("process.execCPUAffinity", ::sched_setaffinity(0, sizeof set, &set)));
  return {};
}

void reset_affinity() {
  // sched_setaffinity(2): cpus the machine or the cpuset does not have are left out. 8192 is the kernel's largest NR_CPUS.
  std::array<unsigned char, 1024> all;
  all.fill(0xff);
  (void)::syscall(SYS_sched_setaffinity, 0, all.size(), all.data());
}

Result<> apply_scheduling(const spec::Process& process) {
  if (process.scheduler) {
    ASSIGN_OR_RETURN(auto attributes, attributes_of(*process.scheduler));
    TRY(sys::wrap("process.scheduler", ::syscall(SYS_sched_setattr, 0, &attributes, 0)));
  }
  if (process.io_priority) {
    ASSIGN_OR_RETURN(const int value, io_priority_value(*process.io_priority));
    TRY(sys::wrap("process.ioPriority", ::syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, value)));
  }
  if (process.exec_cpu_affinity) TRY(set_affinity(process.exec_cpu_affinity->final));
  return {};
}

}  // namespace runtime
