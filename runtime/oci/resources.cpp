// update.
#include <unistd.h>

#include "base/sys.h"
#include "runtime/linux/cgroup.h"
#include "runtime/linux/systemd.h"
#include "runtime/linux/device_bpf.h"
#include "runtime/linux/text.h"
#include "runtime/oci/state.h"
#include "runtime/oci/verbs.h"
#include "runtime/spec/json.h"

namespace runtime::oci {

using base::ErrorKind;
using base::Result;
namespace sys = base::sys;

namespace {

Result<std::string> read_all_input() {
  std::string out;
  std::array<char, 65536> buffer;
  while (true) {
    ASSIGN_OR_RETURN(const std::size_t count, sys::read(base::Fd(0), buffer));
    if (count == 0) return out;
    if (out.size() > 16u << 20) return base::make_error(ErrorKind::exhausted, "standard input is too long");
    out.append(buffer.data(), count);
  }
}

/// "512m", "2G" or plain bytes; -1 is unlimited.
Result<std::optional<std::int64_t>> bytes(const Arguments& arguments, std::string_view name) {
  std::string text = arguments.value(name);
  if (text.empty()) return std::optional<std::int64_t>();
  int shift = 0;
  constexpr std::string_view units = "kmgt";
  if (text.size() > 1 && (text.back() == 'b' || text.back() == 'B')) text.pop_back();
  if (const auto at = units.find(static_cast<char>(std::tolower(static_cast<unsigned char>(text.back())))); at != std::string_view::npos) {
    shift = 10 * (static_cast<int>(at) + 1);
    text.pop_back();
  }
  char* end = nullptr;
  const long long number = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || (number > 0 && number > (INT64_MAX >> shift)))
    return base::make_error(ErrorKind::invalid, concat({"--", name, ": '", arguments.value(name), "' is not a size"}));
  return std::optional<std::int64_t>(number < 0 ? number : number << shift);
}

template <class T>
Result<> take(const Arguments& arguments, std::string_view name, std::optional<T>& into) {
  ASSIGN_OR_RETURN(const auto number, arguments.number(name));
  if (!number) return {};
  if (!std::in_range<T>(*number)) return base::make_error(ErrorKind::invalid, concat({"--", name, ": out of range"}));
  into = static_cast<T>(*number);
  return {};
}

Result<spec::Resources> from_flags(const Arguments& arguments) {
  spec::Resources out;
  auto& memory = out.memory.emplace();
  ASSIGN_OR_RETURN(memory.limit, bytes(arguments, "memory"));
  ASSIGN_OR_RETURN(memory.reservation, bytes(arguments, "memory-reservation"));
  ASSIGN_OR_RETURN(memory.swap, bytes(arguments, "memory-swap"));
  ASSIGN_OR_RETURN(memory.kernel, bytes(arguments, "kernel-memory"));
  ASSIGN_OR_RETURN(memory.kernel_tcp, bytes(arguments, "kernel-memory-tcp"));
  auto& cpu = out.cpu.emplace();
  TRY(take(arguments, "cpu-share", cpu.shares));
  TRY(take(arguments, "cpu-shares", cpu.shares));
  TRY(take(arguments, "cpu-period", cpu.period));
  TRY(take(arguments, "cpu-quota", cpu.quota));
  TRY(take(arguments, "cpu-burst", cpu.burst));
  TRY(take(arguments, "cpu-rt-period", cpu.realtime_period));
  TRY(take(arguments, "cpu-rt-runtime", cpu.realtime_runtime));
  TRY(take(arguments, "cpu-idle", cpu.idle));
  cpu.cpus = arguments.value("cpuset-cpus");
  cpu.mems = arguments.value("cpuset-mems");
  TRY(take(arguments, "pids-limit", out.pids_limit));
  if (arguments.has("blkio-weight")) TRY(take(arguments, "blkio-weight", out.block_io.emplace().weight));
  return out;
}

/// v1: no limit of memory with one of memory and swap together is a contradiction; as under runc the second goes with the first.
void lift_both_limits(const CgroupHost& host, const ContainerRecord& record, spec::Resources& resources) {
  const Hierarchy* home = host.with("memory");
  if (!home || home->unified || !resources.memory || resources.memory->limit != -1 || resources.memory->swap.value_or(0) != 0) return;
  if (::access((home->mount_point + record.cgroup_path + "/memory.memsw.limit_in_bytes").c_str(), F_OK) == 0) resources.memory->swap = -1;
}

/// v1 refuses more time a period than the group above gives, and a realtime runtime above its period: a shorter period is written after
/// the time, a longer one before it.
void order_period_writes(CgroupPlan& plan, const char* period_file, const char* time_file) {
  for (CgroupFolder& folder : plan.folders) {
    const auto period = std::ranges::find(folder.writes, period_file, &CgroupWrite::file);
    const auto time = std::ranges::find(folder.writes, time_file, &CgroupWrite::file);
    if (period == folder.writes.end() || time == folder.writes.end()) continue;
    const auto now = sys::read_file(folder.path + "/" + period_file);
    if (now && std::strtoull(period->value.c_str(), nullptr, 10) < std::strtoull(now->c_str(), nullptr, 10)) std::iter_swap(period, time);
  }
}

/// v1 refuses a memory limit above memory+swap and the reverse: which of two writes goes first depends on the direction.
void order_memory_writes(CgroupPlan& plan) {
  for (CgroupFolder& folder : plan.folders) {
    const auto limit = std::ranges::find(folder.writes, "memory.limit_in_bytes", &CgroupWrite::file);
    const auto both = std::ranges::find(folder.writes, "memory.memsw.limit_in_bytes", &CgroupWrite::file);
    if (limit == folder.writes.end() || both == folder.writes.end()) continue;
    const auto now = sys::read_file(folder.path + "/memory.memsw.limit_in_bytes");
    if (!now) continue;
    const auto current = std::strtoull(now->c_str(), nullptr, 10);
    const auto wanted = std::strtoll(both->value.c_str(), nullptr, 10);
    if (wanted < 0 || static_cast<unsigned long long>(wanted) > current) std::iter_swap(limit, both);
  }
}

}  // namespace

Result<int> verb_update(const Global& global, const Arguments& arguments) {
  const std::string& id = arguments.positional.front();
  ASSIGN_OR_RETURN(const auto dir, StateDir::open(global.root, id));
  ASSIGN_OR_RETURN(const auto record, dir.load());
  if (current_status(dir, record) == Status::stopped)
    return base::make_error(ErrorKind::invalid, "cannot update a stopped container: " + id);
  spec::Resources resources;
  if (arguments.has("resources")) {
    const std::string file = arguments.value("resources");
    ASSIGN_OR_RETURN(const auto text, file == "-" ? read_all_input() : sys::read_file(file, 16 << 20));
    ASSIGN_OR_RETURN(resources, spec::parse_resources(text).with("--resources " + file));
  } else {
    ASSIGN_OR_RETURN(resources, from_flags(arguments));
  }
  ASSIGN_OR_RETURN(const auto host, cgroup_host());
  lift_both_limits(host, record, resources);
  ASSIGN_OR_RETURN(auto plan, plan_cgroup(host, record.cgroup_path, resources));
  order_memory_writes(plan);
  order_period_writes(plan, "cpu.cfs_period_us", "cpu.cfs_quota_us");
  order_period_writes(plan, "cpu.rt_period_us", "cpu.rt_runtime_us");
  if (!record.unit.empty()) TRY(set_unit_properties(record.unit, unit_properties(resources, host.unified_only())));
  TRY(write_limits(plan));
  if (resources.devices.empty() || host.with("devices")) return 0;
  if (const Hierarchy* unified = host.unified()) {
    ASSIGN_OR_RETURN(const auto folder, sys::open(unified->mount_point + record.cgroup_path, O_RDONLY | O_DIRECTORY));
    TRY(attach_device_program(folder.borrow(), effective_device_rules(resources.devices)));
  }
  return 0;
}

}  // namespace runtime::oci
