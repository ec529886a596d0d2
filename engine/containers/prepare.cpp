// prepare(): everything a start needs, from root to config.json.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/containers/containers.h"
#include "engine/containers/limits.h"
#include "engine/containers/mounts.h"
#include "engine/containers/names.h"
#include "engine/containers/root.h"
#include "engine/containers/security.h"
#include "engine/containers/user.h"
#include "engine/logs/format.h"
#include "runtime/spec/docker_defaults.h"
#include "runtime/spec/json.h"
#include "volumes/volumes.h"

namespace engine::containers {
namespace {

namespace spec_ns = runtime::spec;
namespace docker = runtime::spec::docker;

constexpr std::string_view peer_prefix = "container:";

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

bool joins(const std::string& mode) { return mode.starts_with(peer_prefix); }

Result<Peer> peer_of(const StartOptions& options, const std::string& mode) {
  const auto name = mode.substr(peer_prefix.size());
  const auto found = options.peers.find(name);
  if (found == options.peers.end() || found->second.pid <= 0)
    return base::make_error(base::ErrorKind::not_found, "container '" + name + "' is not running");
  return found->second;
}

bool cgroup2_host() {
  struct statfs info{};
  return ::statfs("/sys/fs/cgroup", &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC;
}

Result<> check_mode(const char* attribute, const std::string& mode, const std::set<std::string>& known) {
  if (known.contains(mode) || (joins(mode) && known.contains("container:"))) return {};
  return invalid(std::string(attribute) + ": unknown mode '" + mode + "'");
}

/// Only what a namespace of the container's own holds may be set. Source: moby opts/opts.go ValidateSysctl, runtime-spec "sysctl".
Result<> check_sysctl(const ContainerSpec& spec, const std::string& name) {
  static const std::set<std::string> ipc{"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
                                         "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"};
  if (name.starts_with("net.")) {
    if (spec.network_mode == "host") return invalid("sysctl '" + name + "' not allowed in host network namespace");
    return {};
  }
  if (ipc.contains(name) || name.starts_with("fs.mqueue.")) {
    if (spec.ipc_mode == "host") return invalid("sysctl '" + name + "' not allowed in host ipc namespace");
    return {};
  }
  if (name == "kernel.domainname" || name == "kernel.hostname") {
    if (spec.uts_mode == "host") return invalid("sysctl '" + name + "' not allowed in host uts namespace");
    return {};
  }
  return invalid("sysctl '" + name + "' is not separate for containers, so it cannot be set for one");
}

Result<> validate_modes(const ContainerSpec& spec) {
  TRY(check_mode("network_mode", spec.network_mode, {"", "none", "host", "bridge", "default", "container:"}));
  TRY(check_mode("pid", spec.pid_mode, {"", "host", "private", "container:"}));
  TRY(check_mode("ipc", spec.ipc_mode, {"", "host", "private", "shareable", "none", "container:"}));
  TRY(check_mode("uts", spec.uts_mode, {"", "host"}));
  TRY(check_mode("userns_mode", spec.userns_mode, {"", "host"}));
  TRY(check_mode("cgroup", spec.cgroup_mode, {"", "host", "private"}));
  if (spec.uts_mode == "host" && !spec.hostname.empty()) return invalid("conflicting options: hostname and uts: host");
  if (joins(spec.network_mode) && !spec.hostname.empty()) return invalid("conflicting options: hostname and network_mode: " + spec.network_mode);
  return {};
}

/// Namespaces in Docker's order; those joined come as descriptors.
Result<std::vector<spec_ns::Namespace>> namespaces(const ContainerSpec& spec, const StartOptions& options, FdTable& fds) {
  std::vector<spec_ns::Namespace> out{{"mount", ""}};
  const auto join = [&](const std::string& mode, const char* type, const char* file) -> Result<> {
    ASSIGN_OR_RETURN(const auto peer, peer_of(options, mode));
    ASSIGN_OR_RETURN(auto fd, base::sys::open("/proc/" + std::to_string(peer.pid) + "/ns/" + file, O_RDONLY));
    out.push_back({type, fds.add_path(std::move(fd))});
    return {};
  };
  if (joins(spec.network_mode)) {
    TRY(join(spec.network_mode, "network", "net").with("network_mode"));
  } else if (options.netns.valid()) {
    ASSIGN_OR_RETURN(auto fd, base::sys::dup(options.netns));
    out.push_back({"network", fds.add_path(std::move(fd))});
  } else if (spec.network_mode != "host") {
    out.push_back({"network", ""});
  }
  if (spec.uts_mode != "host") out.push_back({"uts", ""});
  if (joins(spec.pid_mode)) TRY(join(spec.pid_mode, "pid", "pid").with("pid"));
  else if (spec.pid_mode != "host") out.push_back({"pid", ""});
  if (joins(spec.ipc_mode)) TRY(join(spec.ipc_mode, "ipc", "ipc").with("ipc"));
  else if (spec.ipc_mode != "host") out.push_back({"ipc", ""});
  const bool own_cgroup = spec.cgroup_mode.empty() ? cgroup2_host() && !spec.privileged : spec.cgroup_mode == "private";
  if (own_cgroup) out.push_back({"cgroup", ""});
  return out;
}

/// The host name the container will have.
Result<std::string> effective_hostname(const ContainerSpec& spec, const StartOptions& options) {
  if (joins(spec.network_mode)) {
    ASSIGN_OR_RETURN(const auto peer, peer_of(options, spec.network_mode));
    return peer.hostname;
  }
  if (spec.hostname.empty() && (spec.network_mode == "host" || spec.uts_mode == "host")) {
    char name[256] = "";
    TRY(base::sys::wrap("gethostname", ::gethostname(name, sizeof name - 1)));
    return std::string(name);
  }
  return hostname(spec, options.id);
}

std::string read_or_empty(const char* path) {
  auto text = base::sys::read_file(path);
  return text ? *std::move(text) : std::string();
}

HostsInput hosts_input(const ContainerSpec& spec, const std::string& host, const std::vector<Endpoint>& endpoints,
                       const std::string& gateway, const std::string& gateway_v6) {
  const bool host_network = spec.network_mode == "host";
  return {host, endpoints, gateway, gateway_v6, host_network ? read_or_empty("/etc/hosts") : "", host_network};
}

/// Writes hosts, resolv.conf and hostname (unless a joined container's serve) and mounts them where the spec mounts nothing itself.
Result<std::vector<spec_ns::Mount>> name_files(const ContainerSpec& spec, const StartOptions& options, const std::string& host) {
  auto folder = paths::container(options.id);
  if (joins(spec.network_mode)) {
    ASSIGN_OR_RETURN(const auto peer, peer_of(options, spec.network_mode));
    folder = paths::container(peer.id);
  } else {
    const bool dns_server = options.dns_server && spec.network_mode != "host" && spec.network_mode != "none";
    const auto hosts = hosts_input(spec, host, options.endpoints, options.host_gateway, options.host_gateway_v6);
    TRY(base::sys::write_file(folder / "hosts", hosts_text(spec, hosts)));
    TRY(base::sys::write_file(folder / "resolv.conf", resolv_text(spec, {read_or_empty("/etc/resolv.conf"), dns_server})));
    TRY(base::sys::write_file(folder / "hostname", host + "\n"));
  }
  std::vector<spec_ns::Mount> mounts;
  for (const auto* name : {"resolv.conf", "hostname", "hosts"}) {
    spec_ns::Mount mount{"/etc/" + std::string(name), "bind", (folder / name).string(), {"rbind", "rprivate"}, {}, {}};
    if (spec.read_only) mount.options.emplace_back("rro");
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

/// /dev/shm when it is not simply a new tmpfs.
Result<std::optional<spec_ns::Mount>> shared_memory(const ContainerSpec& spec, const StartOptions& options, FdTable& fds) {
  const auto mount = [](std::string source) {
    return spec_ns::Mount{"/dev/shm", "bind", std::move(source), {"rbind", "rprivate"}, {}, {}};
  };
  if (spec.ipc_mode == "host") return std::optional(mount("/dev/shm"));
  if (!joins(spec.ipc_mode)) return std::optional<spec_ns::Mount>();
  ASSIGN_OR_RETURN(const auto peer, peer_of(options, spec.ipc_mode));
  ASSIGN_OR_RETURN(auto tree, volumes::clone_from(peer.pid, "/dev/shm").with("sharing /dev/shm of " + spec.ipc_mode));
  return std::optional(mount(fds.add_path(std::move(tree))));
}

Result<> set_security(const ContainerSpec& spec, const Identity& who, spec_ns::Config& config) {
  ASSIGN_OR_RETURN(const auto security, parse_security(spec.security_opt));
  ASSIGN_OR_RETURN(const auto capabilities,
                   docker::tweak_capabilities({.add = spec.cap_add, .drop = spec.cap_drop, .privileged = spec.privileged}));
  auto& process = *config.process;
  process.capabilities = docker::capability_sets(capabilities, who.uid == 0);
  process.no_new_privileges = security.no_new_privileges;
  if (!security.apparmor.empty() && security.apparmor != "unconfined") process.apparmor_profile = security.apparmor;
  if (!spec.privileged && !security.system_paths_unconfined) {
    config.linux_.masked_paths = docker::masked_paths();
    const auto thermal = docker::masked_thermal_paths();
    config.linux_.masked_paths.insert(config.linux_.masked_paths.end(), thermal.begin(), thermal.end());
    config.linux_.readonly_paths = docker::readonly_paths();
  }
  if (security.writable_cgroups) {
    for (auto& mount : config.mounts)
      if (mount.destination == "/sys/fs/cgroup") std::erase(mount.options, "ro");
  }
  if (security.seccomp == Security::Seccomp::profile) {
    std::string text = security.seccomp_profile;
    if (!text.starts_with('{')) {
      ASSIGN_OR_RETURN(text, base::sys::read_file(security.seccomp_profile));
    }
    ASSIGN_OR_RETURN(config.linux_.seccomp, docker::seccomp_from_profile(text, capabilities));
  } else if (security.seccomp == Security::Seccomp::builtin && (!spec.privileged || security.seccomp_given)) {
    config.linux_.seccomp = docker::seccomp_profile(capabilities);
  }
  return {};
}

Result<> set_devices(const ContainerSpec& spec, spec_ns::Config& config) {
  ASSIGN_OR_RETURN(auto asked, devices(spec.devices, spec.device_cgroup_rules));
  ASSIGN_OR_RETURN(auto limits, resources(spec.resources));
  config.linux_.resources = std::move(limits);
  auto& rules = config.linux_.resources->devices;
  if (spec.privileged) {
    config.linux_.devices = host_devices();
    const auto named = [&](const spec_ns::Device& node) {
      return std::any_of(asked.nodes.begin(), asked.nodes.end(), [&](const auto& each) { return each.path == node.path; });
    };
    std::erase_if(config.linux_.devices, named);
    rules.push_back(docker::allow_all_devices());
  } else {
    rules = docker::device_rules();
    rules.insert(rules.end(), asked.rules.begin(), asked.rules.end());
  }
  config.linux_.devices.insert(config.linux_.devices.end(), asked.nodes.begin(), asked.nodes.end());
  return {};
}

Result<spec_ns::Process> make_process(const ContainerSpec& spec, const images::ImageConfig& image, const Identity& who, const std::string& host) {
  spec_ns::Process process;
  process.terminal = spec.tty;
  process.cwd = !spec.working_dir.empty() ? spec.working_dir : !image.working_dir.empty() ? image.working_dir : "/";
  if (!process.cwd.starts_with('/'))
    return invalid("the working directory '" + process.cwd + "' is invalid, it needs to be an absolute path");
  // The runtime makes what is missing of it, and "gone/.." would be made as well.
  process.cwd = std::filesystem::path(process.cwd).lexically_normal().string();
  if (process.cwd.size() > 1 && process.cwd.ends_with('/')) process.cwd.pop_back();
  process.env = environment(spec, image, host);
  ASSIGN_OR_RETURN(process.args, command_line(spec, image));
  ASSIGN_OR_RETURN(process.rlimits, rlimits(spec.ulimits));
  if (spec.oom_score_adj != 0) process.oom_score_adj = spec.oom_score_adj;
  process.user = {.uid = who.uid, .gid = who.gid, .umask = {}, .additional_gids = who.groups};
  return process;
}

/// The container's own mounts replace the defaults at the same place, as in Docker.
void add_mounts(std::vector<spec_ns::Mount> own, std::vector<spec_ns::Mount>& all) {
  for (const auto& mount : own)
    std::erase_if(all, [&](const spec_ns::Mount& each) { return each.destination == mount.destination; });
  for (auto& mount : own) all.push_back(std::move(mount));
}

/// All mounts in the order they are made: shallow targets first.
Result<> set_mounts(const MountContext& context, const std::string& host, FdTable& fds, spec_ns::Config& config) {
  const auto& [spec, options, root, run_dir] = context;
  ASSIGN_OR_RETURN(auto own, open_mounts(context, fds));
  ASSIGN_OR_RETURN(auto names, name_files(spec, options, host));
  ASSIGN_OR_RETURN(auto shm, shared_memory(spec, options, fds));
  if (spec.ipc_mode == "none")
    std::erase_if(config.mounts, [](const auto& mount) { return mount.destination == "/dev/shm" || mount.destination == "/dev/mqueue"; });
  std::vector<spec_ns::Mount> extra;
  if (shm) extra.push_back(*std::move(shm));
  for (auto& mount : names) extra.push_back(std::move(mount));
  add_mounts(std::move(own), extra);
  std::stable_sort(extra.begin(), extra.end(), [](const auto& a, const auto& b) {
    return std::count(a.destination.begin(), a.destination.end(), '/') < std::count(b.destination.begin(), b.destination.end(), '/');
  });
  add_mounts(std::move(extra), config.mounts);
  return {};
}

std::string annotation_list(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

Result<Prepared> assemble(const ContainerSpec& spec, const images::Image& image, const StartOptions& options) {
  Prepared prepared;
  prepared.bundle = paths::container(options.id);
  TRY(base::sys::make_directories(prepared.bundle, 0710));
  ASSIGN_OR_RETURN(auto root, mount_root(image.layer_dirs, writable_layer(options.id)).with("mounting the root file system"));
  const base::Fd root_fd = root.borrow();
  FdTable fds(options.first_fd);
  prepared.rootfs_number = fds.add(std::move(root));

  ASSIGN_OR_RETURN(const auto host, effective_hostname(spec, options));
  ASSIGN_OR_RETURN(const auto accounts, read_accounts(root_fd));
  ASSIGN_OR_RETURN(const auto who, identify(spec.user.empty() ? image.config.user : spec.user, spec.group_add, accounts).with("user"));
  spec_ns::Config config;
  ASSIGN_OR_RETURN(config.process, make_process(spec, image.config, who, host));
  config.root = {.path = "rootfs", .readonly = spec.read_only};
  if (spec.uts_mode != "host") {
    config.hostname = host;
    config.domainname = spec.domainname;
  }
  config.mounts = docker::mounts({.shm_size_bytes = spec.shm_size_bytes > 0 ? spec.shm_size_bytes : 64 << 20, .privileged = spec.privileged});
  config.annotations = spec.annotations;
  if (!spec.group_add.empty()) config.annotations["compose.group_add"] = annotation_list(spec.group_add);  // exec adds them again
  TRY(set_security(spec, who, config));
  TRY(set_devices(spec, config));
  ASSIGN_OR_RETURN(config.linux_.namespaces, namespaces(spec, options, fds));
  if (spec.network_mode != "host" && !joins(spec.network_mode)) config.linux_.sysctl = docker::sysctls();
  for (const auto& [name, value] : spec.sysctls) config.linux_.sysctl[name] = value;
  config.linux_.cgroups_path = cgroup_path(spec, options.id);
  TRY(set_mounts({spec, options, root_fd, paths::container_run(spec.project, options.id)}, host, fds, config));

  prepared.command = config.process->args;
  prepared.config_json = spec_ns::to_json(config);
  TRY(base::sys::replace_file(prepared.bundle / "config.json", prepared.config_json, 0600));
  prepared.fds = std::move(fds.fds);
  prepared.cgroup = config.linux_.cgroups_path;
  ASSIGN_OR_RETURN(prepared.stop_signal, stop_signal(spec, image.config));
  prepared.tty = spec.tty;
  prepared.init = spec.init;
  return prepared;
}

}  // namespace

Result<> validate(const ContainerSpec& spec) {
  TRY(validate_modes(spec));
  TRY(parse_security(spec.security_opt));
  TRY(docker::tweak_capabilities({.add = spec.cap_add, .drop = spec.cap_drop, .privileged = spec.privileged}));
  TRY(rlimits(spec.ulimits));
  for (const auto& rule : spec.device_cgroup_rules) TRY(parse_device_rule(rule));
  for (const auto& [name, value] : spec.sysctls) TRY(check_sysctl(spec, name));
  for (const auto& mount : spec.mounts) {
    if (mount.type != MountType::tmpfs) continue;
    TRY(volumes::tmpfs_words({.options = mount.tmpfs_options}).with("tmpfs " + mount.target));
  }
  if (!spec.stop_signal.empty()) TRY(parse_signal(spec.stop_signal).with("stop_signal"));
  if (!spec.working_dir.empty() && !spec.working_dir.starts_with('/'))
    return invalid("the working directory '" + spec.working_dir + "' is invalid, it needs to be an absolute path");
  TRY(logs::parse_settings(spec.log_driver, spec.log_options));
  return {};
}

Result<Prepared> prepare(const ContainerSpec& spec, const images::Image& image, const StartOptions& options) {
  TRY(validate(spec));
  return assemble(spec, image, options);
}

Result<> update_hosts(const ContainerSpec& spec, const std::string& id, const std::vector<Endpoint>& endpoints,
                      const std::string& host_gateway, const std::string& host_gateway_v6) {
  if (joins(spec.network_mode)) return {};
  const auto input = hosts_input(spec, hostname(spec, id), endpoints, host_gateway, host_gateway_v6);
  return base::sys::write_file(paths::container(id) / "hosts", hosts_text(spec, input));
}

}  // namespace engine::containers
