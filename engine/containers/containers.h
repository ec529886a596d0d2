#pragma once
// From what a container shall be (ContainerSpec + image) to what the runtime is given: a root, mounts, an OCI config.
// Functions only: nothing here keeps or decides engine state. Blocking; thread-safe for different containers.
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/api/types.h"
#include "engine/images/image_store.h"
#include "healthcheck/health.h"

namespace engine::containers {

using base::Result;

// ---- Pure helpers: what spec and image say together -------------------------------------------------------------------

/// The mounts the container gets, later targets replacing earlier equal ones: the image's VOLUMEs as anonymous volumes, volumes_from's,
/// then spec.mounts. Anonymous volumes have source "": the caller names and creates them, and records target → name.
/// `volumes_from` holds the containers named by spec.volumes_from. Errors: invalid (target not absolute), not_found (volumes_from).
Result<std::vector<MountSpec>> all_mounts(const ContainerSpec& spec, const images::ImageConfig& image,
                                          const std::map<std::string, ContainerInfo>& volumes_from = {});
/// Entrypoint + command as run. An entrypoint in the spec drops the image's command. Error invalid: nothing to run.
Result<std::vector<std::string>> command_line(const ContainerSpec& spec, const images::ImageConfig& image);
/// PATH, HOSTNAME, TERM (tty), then the image's, then the spec's; "KEY" alone removes.
std::vector<std::string> environment(const ContainerSpec& spec, const images::ImageConfig& image, const std::string& hostname);
/// spec.hostname, else the first 12 digits of the id.
std::string hostname(const ContainerSpec& spec, const std::string& id);
/// The signal number for stopping: spec's, else image's, else SIGTERM. Error invalid: unknown name.
Result<int> stop_signal(const ContainerSpec& spec, const images::ImageConfig& image);
/// "SIGTERM", "term", "15", "RTMIN+3" → number. Error invalid.
Result<int> parse_signal(const std::string& text);
/// The probe to run, spec's fields over the image's; absent when there is none or it is NONE.
std::optional<healthcheck::Spec> health_spec(const ContainerSpec& spec, const images::ImageConfig& image);
/// "/compose/PROJECT/ID", or below spec.cgroup_parent. One subtree a project.
std::string cgroup_path(const ContainerSpec& spec, const std::string& id);
/// The project's subtree "/compose/PROJECT": removed with the last container.
std::string project_cgroup(const std::string& project);

// ---- Preparing a start ------------------------------------------------------------------------------------------------

/// A file descriptor for the runtime process. config_json refers to it by `number`.
struct PassedFd {
  base::UniqueFd fd;
  int number = -1;
};

/// Another container, running, whose namespaces are joined.
struct Peer {
  pid_t pid = 0;
  std::string id;                                  ///< network_mode: its hosts, resolv.conf and hostname files are shared
  std::string hostname;                            ///< hostname(its spec, its id)
};

struct StartOptions {
  std::string id;                                  ///< 64 hex digits
  std::vector<MountSpec> mounts;                   ///< all_mounts(), anonymous volumes named
  std::map<std::string, VolumeSpec> volumes;       ///< by name: every volume in `mounts`
  std::map<std::string, std::vector<std::filesystem::path>> image_mounts;  ///< image reference → layer_dirs, for MountType::image
  /// container:NAME of network_mode, pid_mode, ipc_mode → NAME's init.
  std::map<std::string, Peer> peers;
  /// A running container (pid, target) that has a tmpfs volume mounted, by volume name: the mount is shared with it. Needed for volumes
  /// whose driver_opts say type tmpfs: each mount of those is otherwise empty and its own.
  std::map<std::string, std::pair<pid_t, std::string>> volume_holders;
  base::Fd netns;                                  ///< the container's network namespace; none with network_mode host
  std::vector<Endpoint> endpoints;                 ///< for the hosts file
  std::string host_gateway;                        ///< what host-gateway stands for in extra_hosts; "" = none known
  std::string host_gateway_v6;
  bool dns_server = true;                          ///< 127.0.0.11 answers in the container's network namespace
  int first_fd = 10;                               ///< the first number of Prepared::fds
};

/// All a start needs. Dropping it undoes every mount (they are detached).
struct Prepared {
  std::string config_json;         ///< also written to paths::container(id)/config.json
  std::filesystem::path bundle;    ///< paths::container(id)
  std::vector<PassedFd> fds;       ///< the root, mounts and namespaces; config_json says /proc/self/fd/NUMBER
  int rootfs_number = -1;          ///< which of `fds` is the root: --rootfs-fd
  std::vector<std::string> command;
  std::string cgroup;              ///< cgroup_path()
  int stop_signal = 15;
  bool tty = false;
  bool init = false;               ///< spec.init: pass --init to the runtime
};

/// Mounts the root, opens every mount and namespace, writes hosts, resolv.conf, hostname and config.json below
/// paths::container(id). May be called again for every start: the writable layer is kept, the rest is made anew.
/// Errors name the offending attribute: invalid (user not in the image's passwd, bad capability, device, option …), not_found (bind
/// source, volume), unsupported (kernel), io. Nothing is left behind but the container's folder.
Result<Prepared> prepare(const ContainerSpec& spec, const images::Image& image, const StartOptions& options);

/// Checks what can be checked without touching anything (capabilities, security_opt, ulimits, sysctls, modes, signals, log
/// options): for `create`, so that mistakes are reported before something is stopped.
Result<> validate(const ContainerSpec& spec);

// ---- Names: the files a running container reads -------------------------------------------------------------------------

/// Writes /etc/hosts anew (after connect or disconnect of a network), in place: the container has this inode mounted.
Result<> update_hosts(const ContainerSpec& spec, const std::string& id, const std::vector<Endpoint>& endpoints,
                      const std::string& host_gateway, const std::string& host_gateway_v6 = {});

// ---- Exec ---------------------------------------------------------------------------------------------------------------

struct ExecOptions {
  std::vector<std::string> command;
  std::string user, working_dir;       ///< "" = the container's
  std::vector<std::string> env;        ///< over the container's; "KEY" alone removes
  bool tty = false, privileged = false;
  unsigned rows = 0, columns = 0;      ///< of the terminal; 0 = unknown
};
/// process.json for `compose-runtime exec --process`: the container's process (from its config.json) with `options` over it.
/// `root` is the container's root as it is now (/proc/PID/root): users are looked up there.
/// Errors: invalid (no command, unknown user), not_found (config.json).
Result<std::string> exec_process(const std::string& id, base::Fd root, const ExecOptions& options);
/// The same from the text of config.json. Pure but for reading `root`.
Result<std::string> exec_process_json(const std::string& config_json, base::Fd root, const ExecOptions& options);

}  // namespace engine::containers
