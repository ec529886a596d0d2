#include "runtime/spec/docker_defaults.h"

#include <unistd.h>

#include "base/sys.h"
#include "runtime/spec/capability_names.h"

namespace runtime::spec::docker {

std::vector<std::string> default_capabilities() {
  return {"CAP_CHOWN",  "CAP_DAC_OVERRIDE", "CAP_FSETID",  "CAP_FOWNER",           "CAP_MKNOD",
          "CAP_NET_RAW", "CAP_SETGID",      "CAP_SETUID",  "CAP_SETFCAP",          "CAP_SETPCAP",
          "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"};
}

std::vector<std::string> all_capabilities() {
  // Docker reads its effective set; what our bounding or permitted set lacks could not be given anyway.
  std::uint64_t held = ~std::uint64_t{0};
  if (const auto status = base::sys::read_file("/proc/self/status"))
    for (const std::string_view line : {"CapPrm:\t", "CapBnd:\t"})
      if (const auto at = status->find(line); at != std::string::npos)
        held &= std::strtoull(status->c_str() + at + line.size(), nullptr, 16);
  std::vector<std::string> out;
  for (unsigned number = 0; number < capability_names.size(); ++number)
    if (held >> number & 1) out.emplace_back(capability_names[number]);
  return out;
}

namespace {

/// "net_admin" → "CAP_NET_ADMIN"; Error invalid for a name no kernel knows. "ALL" stays.
base::Result<std::string> normalise(std::string_view word) {
  std::string name(word);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (name == "ALL") return name;
  if (!name.starts_with("CAP_")) name = "CAP_" + name;
  if (!capability_number(name))
    return base::make_error(base::ErrorKind::invalid, "unknown capability '" + std::string(word) + "'");
  return name;
}

base::Result<std::vector<std::string>> normalise_all(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  for (const auto& word : words) {
    ASSIGN_OR_RETURN(auto name, normalise(word));
    out.push_back(std::move(name));
  }
  return out;
}

bool contains(const std::vector<std::string>& list, std::string_view item) {
  return std::ranges::find(list, item) != list.end();
}

}  // namespace

base::Result<std::vector<std::string>> tweak_capabilities(const CapabilityChange& change) {
  ASSIGN_OR_RETURN(const auto add, normalise_all(change.add));
  ASSIGN_OR_RETURN(const auto drop, normalise_all(change.drop));
  if (change.privileged) return all_capabilities();
  // moby oci/caps TweakCapabilities: "add ALL" starts from everything, "drop ALL" from nothing, else from the defaults.
  std::vector<std::string> from;
  if (contains(add, "ALL"))
    from = all_capabilities();
  else if (!contains(drop, "ALL"))
    from = default_capabilities();
  std::vector<std::string> out;
  for (const auto& name : from)
    if (!contains(drop, name)) out.push_back(name);
  for (const auto& name : add)
    if (name != "ALL" && !contains(out, name)) out.push_back(name);
  return out;
}

Capabilities capability_sets(const std::vector<std::string>& capabilities, bool) {
  // Docker lists the three sets whoever runs; execve by another user than root empties effective and permitted by itself.
  return {.bounding = capabilities, .effective = capabilities, .inheritable = {}, .permitted = capabilities, .ambient = {}};
}

std::vector<std::string> masked_paths() {
  return {"/proc/asound",        "/proc/acpi",        "/proc/interrupts",  "/proc/kcore",
          "/proc/keys",          "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
          "/proc/sched_debug",   "/proc/scsi",        "/sys/firmware",     "/sys/devices/virtual/powercap"};
}

std::vector<std::string> masked_thermal_paths() {
  std::vector<std::string> out;
  const long cpus = ::sysconf(_SC_NPROCESSORS_CONF);
  for (long cpu = 0; cpu < cpus; ++cpu) {
    auto path = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/thermal_throttle";
    if (::access(path.c_str(), F_OK) == 0) out.push_back(std::move(path));
  }
  return out;
}

std::vector<std::string> readonly_paths() {
  return {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
}

std::vector<DeviceRule> device_rules() {
  std::vector<DeviceRule> out{{.allow = false, .type = "", .major = {}, .minor = {}, .access = "rwm"}};
  static constexpr std::pair<int, int> allowed[] = {{1, 5}, {1, 3}, {1, 9}, {1, 8}, {5, 0}, {5, 1}, {1, 7}};
  for (const auto& [major, minor] : allowed)
    out.push_back({.allow = true, .type = "c", .major = major, .minor = minor, .access = "rwm"});
  return out;
}

DeviceRule allow_all_devices() { return {.allow = true, .type = "", .major = {}, .minor = {}, .access = "rwm"}; }

std::vector<Mount> mounts(const MountChoice& choice) {
  const std::vector<std::string> strict{"nosuid", "noexec", "nodev"};
  auto sys = strict, cgroup = strict;
  if (!choice.privileged) {
    sys.emplace_back("ro");
    cgroup.emplace_back("ro");
  }
  const auto mount = [](const char* destination, const char* type, const char* source, std::vector<std::string> options) {
    return Mount{.destination = destination, .type = type, .source = source, .options = std::move(options),
                 .uid_mappings = {}, .gid_mappings = {}};
  };
  std::vector<Mount> out;
  out.push_back(mount("/proc", "proc", "proc", strict));
  out.push_back(mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}));
  out.push_back(mount("/dev/pts", "devpts", "devpts",
                      {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}));
  out.push_back(mount("/sys", "sysfs", "sysfs", sys));
  out.push_back(mount("/sys/fs/cgroup", "cgroup", "cgroup", cgroup));
  out.push_back(mount("/dev/mqueue", "mqueue", "mqueue", strict));
  if (choice.own_shm)
    out.push_back(mount("/dev/shm", "tmpfs", "shm",
                        {"nosuid", "noexec", "nodev", "mode=1777", "size=" + std::to_string(choice.shm_size_bytes)}));
  return out;
}

std::vector<Namespace> namespaces(bool private_cgroup) {
  std::vector<Namespace> out{{"mount", ""}, {"network", ""}, {"uts", ""}, {"pid", ""}, {"ipc", ""}};
  if (private_cgroup) out.push_back({"cgroup", ""});
  return out;
}

std::map<std::string, std::string> sysctls() {
  return {{"net.ipv4.ip_unprivileged_port_start", "0"}, {"net.ipv4.ping_group_range", "0 2147483647"}};
}

Config config() {
  Config out;
  auto& process = out.process.emplace();
  process.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  process.user.additional_gids = {0};
  process.capabilities = capability_sets(default_capabilities(), true);
  process.oom_score_adj = 0;
  out.mounts = mounts();
  auto& linux_object = out.linux_;
  linux_object.namespaces = namespaces();
  linux_object.masked_paths = masked_paths();
  linux_object.readonly_paths = readonly_paths();
  linux_object.sysctl = sysctls();
  linux_object.resources.emplace().devices = device_rules();
  linux_object.seccomp = seccomp_profile(default_capabilities());
  return out;
}

}  // namespace runtime::spec::docker
