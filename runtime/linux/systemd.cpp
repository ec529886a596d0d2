#include "runtime/linux/systemd.h"

#include <sys/types.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "base/sys.h"
#include "runtime/linux/cgroup_plan.h"
#include "runtime/linux/dbus.h"
#include "runtime/linux/text.h"

namespace runtime {

using base::ErrorKind;
using base::Result;

Result<SystemdUnit> systemd_unit(const std::string& cgroups_path, const std::string& id, bool rootless) {
  SystemdUnit unit{.name = "compose-" + id + ".scope", .slice = rootless ? "user.slice" : "system.slice"};
  if (cgroups_path.empty()) return unit;
  const std::size_t first = cgroups_path.find(':');
  const std::size_t second = first == std::string::npos ? first : cgroups_path.find(':', first + 1);
  if (second == std::string::npos || cgroups_path.find(':', second + 1) != std::string::npos || cgroups_path.find('/') != std::string::npos)
    return base::make_error(ErrorKind::invalid, "linux.cgroupsPath: '" + cgroups_path + "' is not SLICE:PREFIX:NAME, which --systemd-cgroup needs");
  if (first > 0) unit.slice = cgroups_path.substr(0, first);
  const std::string prefix = cgroups_path.substr(first + 1, second - first - 1), name = cgroups_path.substr(second + 1);
  if (name.empty() || name.ends_with(".slice") || !unit.slice.ends_with(".slice"))
    return base::make_error(ErrorKind::invalid, "linux.cgroupsPath: '" + cgroups_path + "' names no scope in a slice");
  unit.name = name.ends_with(".scope") ? name : (prefix.empty() ? "" : prefix + "-") + name + ".scope";
  return unit;
}

std::vector<UnitProperty> unit_properties(const spec::Resources& resources, bool unified) {
  std::vector<UnitProperty> out;
  const auto number = [&](const char* name, std::uint64_t value) { out.push_back({.name = name, .type = 't', .text = {}, .number = value}); };
  constexpr std::uint64_t infinity = ~std::uint64_t{0};
  const auto limit = [&](const char* name, std::int64_t value) { number(name, value < 0 ? infinity : static_cast<std::uint64_t>(value)); };
  if (resources.memory) {
    const auto& memory = *resources.memory;
    if (memory.limit && *memory.limit != 0) limit(unified ? "MemoryMax" : "MemoryLimit", *memory.limit);
    if (unified && memory.reservation) limit("MemoryLow", *memory.reservation);
    // swap counts memory too in runtime-spec and v1, not in v2.
    if (unified && memory.swap && memory.limit && *memory.limit > 0) limit("MemorySwapMax", *memory.swap < 0 ? -1 : *memory.swap - *memory.limit);
  }
  if (resources.cpu) {
    const auto& cpu = *resources.cpu;
    if (cpu.shares && *cpu.shares != 0) number(unified ? "CPUWeight" : "CPUShares", unified ? cpu_weight_from_shares(*cpu.shares) : *cpu.shares);
    if (cpu.quota && *cpu.quota != 0) {
      const std::uint64_t period = cpu.period.value_or(0) != 0 ? *cpu.period : 100000;
      // Microseconds a second, in steps of 10 ms, which is what systemd can express.
      const std::uint64_t each_second = *cpu.quota < 0 ? infinity : static_cast<std::uint64_t>(*cpu.quota) * 1000000 / period;
      number("CPUQuotaPerSecUSec", each_second == infinity ? infinity : (each_second + 9999) / 10000 * 10000);
    }
  }
  if (resources.pids_limit) limit("TasksMax", least_pids(*resources.pids_limit));
  return out;
}

namespace {

/// "'text'", "true", "42", "uint64 42" …
std::optional<UnitProperty> simple_value(std::string_view text) {
  UnitProperty out;
  if (text.size() >= 2 && (text.front() == '\'' || text.front() == '"') && text.back() == text.front()) {
    out.text = text.substr(1, text.size() - 2);
    return out;
  }
  if (text == "true" || text == "false") {
    out.type = 'b';
    out.number = text == "true";
    return out;
  }
  static constexpr std::pair<std::string_view, char> kinds[] = {{"uint32 ", 'u'}, {"uint64 ", 't'}, {"int32 ", 'i'}, {"int64 ", 'x'}};
  out.type = 'i';
  for (const auto& [word, type] : kinds)
    if (text.starts_with(word)) {
      out.type = type;
      text.remove_prefix(word.size());
      break;
    }
  const char* const end = text.data() + text.size();
  if (text.starts_with('-')) {
    std::int64_t value = 0;
    const auto read = std::from_chars(text.data(), end, value);
    if (read.ec != std::errc() || read.ptr != end || out.type == 'u' || out.type == 't') return std::nullopt;
    out.number = static_cast<std::uint64_t>(value);
    return out;
  }
  const auto read = std::from_chars(text.data(), end, out.number);
  if (text.empty() || read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return out;
}

constexpr std::string_view annotation_start = "org.systemd.property.";

}  // namespace

Result<std::vector<UnitProperty>> annotated_properties(const std::map<std::string, std::string>& annotations) {
  std::vector<UnitProperty> out;
  for (const auto& [key, text] : annotations) {
    if (!key.starts_with(annotation_start)) continue;
    auto value = simple_value(text);
    if (!value) return base::make_error(ErrorKind::invalid, "annotation " + key + ": '" + text + "' is not a string, boolean or number");
    value->name = key.substr(annotation_start.size());
    out.push_back(*std::move(value));
  }
  return out;
}

std::string systemd_cgroup(std::string_view proc_cgroup) {
  std::string unified, named;
  for_each_word(proc_cgroup, '\n', [&](std::string_view line) {
    if (line.starts_with("0::")) unified = line.substr(3);
    if (const auto at = line.find(":name=systemd:"); at != std::string_view::npos) named = line.substr(at + 14);
  });
  // A hybrid machine's unified hierarchy is systemd's too, unless nobody moved the process there.
  return unified.size() > 1 ? unified : named.empty() ? unified : named;
}

namespace {

using Clock = std::chrono::steady_clock;
constexpr const char* manager_interface = "org.freedesktop.systemd1.Manager";

/// The manager's private socket when it is there (root's own is always reachable, also without a bus), else the bus.
Result<dbus::Connection> connect() {
  // unix:path=/x,guid=…;…: the first of that kind.
  const auto bus_path = [](const char* variable) {
    const char* address = std::getenv(variable);
    const std::string_view text(address ? address : "");
    if (!text.starts_with("unix:path=")) return std::string();
    return std::string(text.substr(10, text.find_first_of(",;") == std::string_view::npos ? std::string_view::npos : text.find_first_of(",;") - 10));
  };
  const bool user = ::geteuid() != 0;
  if (const auto path = bus_path(user ? "DBUS_SESSION_BUS_ADDRESS" : "DBUS_SYSTEM_BUS_ADDRESS"); !path.empty())
    return dbus::Connection::open(path, true);
  const char* runtime_dir = std::getenv("XDG_RUNTIME_DIR");
  const std::string folder = user ? (runtime_dir ? runtime_dir : "/run/user/" + std::to_string(::geteuid())) : "/run";
  auto direct = dbus::Connection::open(folder + "/systemd/private", false);
  if (direct) return direct;
  auto through_bus = dbus::Connection::open(user ? folder + "/bus" : "/run/dbus/system_bus_socket", true);
  if (through_bus) return through_bus;
  return base::make_error(ErrorKind::not_found, "--systemd-cgroup: systemd can't be reached: " + direct.error().text() + "; " +
                                                    through_bus.error().text());
}

dbus::Message manager_call(const dbus::Connection& connection, const char* member, const char* signature, const dbus::Writer& body) {
  return {.path = "/org/freedesktop/systemd1", .interface = manager_interface, .member = member,
          .destination = connection.bus() ? "org.freedesktop.systemd1" : "", .signature = signature, .body = body.bytes()};
}

void write_property(dbus::Writer& out, const UnitProperty& property) {
  out.align(8).text(property.name).signature(std::string_view(&property.type, 1));
  switch (property.type) {
    case 's': out.text(property.text); return;
    case 't':
    case 'x': out.number64(property.number); return;
    default: out.number32(static_cast<std::uint32_t>(property.number)); return;
  }
}

/// Makes the manager tell us about jobs. Errors of it are not ours: the wait will show.
Result<> subscribe(dbus::Connection& connection, Clock::time_point deadline) {
  if (connection.bus()) {
    dbus::Writer rule;
    rule.text("type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'");
    TRY(connection.call({.path = "/org/freedesktop/DBus", .interface = "org.freedesktop.DBus", .member = "AddMatch",
                         .destination = "org.freedesktop.DBus", .signature = "s", .body = rule.bytes()}, deadline));
  }
  (void)connection.call(manager_call(connection, "Subscribe", "", {}), deadline).has_value();
  return {};
}

/// Waits for the end of the job in `reply`; "done", "failed", "canceled" …
Result<std::string> job_result(dbus::Connection& connection, const dbus::Message& reply, Clock::time_point deadline) {
  const std::string job = dbus::Reader(reply.body).text();
  std::string result;
  TRY(connection.wait_for(
      [&](const dbus::Message& message) {
        if (message.member != "JobRemoved") return false;
        dbus::Reader in(message.body);
        (void)in.number32();
        if (in.text() != job) return false;
        (void)in.text();
        result = in.text();
        return true;
      },
      deadline));
  return result;
}

}  // namespace

Result<> start_unit(const SystemdUnit& unit, pid_t pid, const std::string& description, const std::vector<UnitProperty>& properties) {
  const auto deadline = Clock::now() + std::chrono::seconds(60);
  ASSIGN_OR_RETURN(auto connection, connect());
  TRY(subscribe(connection, deadline));
  dbus::Writer body;
  body.text(unit.name).text("replace").array(8, [&](dbus::Writer& list) {
    write_property(list, {.name = "Description", .type = 's', .text = description, .number = 0});
    write_property(list, {.name = "Slice", .type = 's', .text = unit.slice, .number = 0});
    write_property(list, {.name = "Delegate", .type = 'b', .text = {}, .number = 1});
    list.align(8).text("PIDs").signature("au").array(4, [&](dbus::Writer& pids) { pids.number32(static_cast<std::uint32_t>(pid)); });
    for (const char* name : {"MemoryAccounting", "CPUAccounting", "TasksAccounting", "IOAccounting"})
      write_property(list, {.name = name, .type = 'b', .text = {}, .number = 1});
    write_property(list, {.name = "DefaultDependencies", .type = 'b', .text = {}, .number = 0});
    for (const auto& property : properties) write_property(list, property);
  });
  body.array(8, [](dbus::Writer&) {});
  ASSIGN_OR_RETURN(const auto reply, connection.call(manager_call(connection, "StartTransientUnit", "ssa(sv)a(sa(sv))", body), deadline));
  ASSIGN_OR_RETURN(const auto result, job_result(connection, reply, deadline));
  if (result != "done") return base::make_error(ErrorKind::internal, "systemd: starting " + unit.name + ": " + result);
  return {};
}

Result<> set_unit_properties(const std::string& unit, const std::vector<UnitProperty>& properties) {
  if (properties.empty()) return {};
  const auto deadline = Clock::now() + std::chrono::seconds(25);
  ASSIGN_OR_RETURN(auto connection, connect());
  dbus::Writer body;
  body.text(unit).boolean(true).array(8, [&](dbus::Writer& list) {
    for (const auto& property : properties) write_property(list, property);
  });
  TRY(connection.call(manager_call(connection, "SetUnitProperties", "sba(sv)", body), deadline));
  return {};
}

Result<> stop_unit(const std::string& unit) {
  const auto deadline = Clock::now() + std::chrono::seconds(25);
  ASSIGN_OR_RETURN(auto connection, connect());
  TRY(subscribe(connection, deadline));
  dbus::Writer stop, reset;
  stop.text(unit).text("replace");
  reset.text(unit);
  const auto reply = connection.call(manager_call(connection, "StopUnit", "ss", stop), deadline);
  // A scope ends by itself with its last process: then there is nothing to stop.
  if (reply) TRY(job_result(connection, *reply, deadline));
  (void)connection.call(manager_call(connection, "ResetFailedUnit", "s", reset), deadline).has_value();
  return {};
}

}  // namespace runtime
