#pragma once
// Making a container: what `create`, `run` and the first half of every start share.
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/linux/cgroup.h"
#include "runtime/linux/hooks.h"
#include "runtime/linux/init.h"
#include "runtime/linux/systemd.h"
#include "runtime/oci/notify.h"
#include "runtime/oci/state.h"
#include "runtime/oci/verbs.h"

namespace runtime::oci {

struct CreateOptions {
  std::string root, id, bundle = ".", config_file, console_socket, pid_file, pidfd_socket;
  CgroupManager cgroups = CgroupManager::direct;
  bool no_pivot = false, no_new_keyring = false, tiny_init = false;
  bool wait_for_start = false;   ///< create: the program runs only after `start`
  bool child_of_caller = false;  ///< create, run --detach: our caller reaps init
  unsigned preserve_fds = 0, listen_fds = 0;
  int rootfs_fd = -1;
};

/// A container whose init stands ready: in its namespaces and cgroups, its root built, its state saved. Destroying it before
/// commit() kills init and removes everything that was made for it.
class Launched {
 public:
  /// Errors name the property of config.json or the step. Nothing is left behind then.
  static base::Result<Launched> make(const CreateOptions& options);
  Launched(Launched&&) noexcept;
  Launched& operator=(Launched&&) = delete;
  Launched(const Launched&) = delete;
  Launched& operator=(const Launched&) = delete;
  ~Launched();

  /// `run`: waits until the program's execve succeeded, then runs the poststart hooks.
  base::Result<> finish();
  /// From here on the container outlives us.
  void commit();

  [[nodiscard]] const ContainerRecord& record() const { return record_; }
  [[nodiscard]] const spec::Config& config() const { return *config_; }
  [[nodiscard]] base::Fd pidfd() const { return pidfd_.borrow(); }
  [[nodiscard]] pid_t pid() const { return record_.pid; }
  /// The terminal's master when there is one and no console socket.
  base::UniqueFd take_terminal() { return std::move(terminal_); }
  /// For `run`: what its program reports. Without a socket when nobody wants to know.
  NotifyRelay& notify() { return notify_; }
  [[nodiscard]] const StateDir& state() const { return state_; }

 private:
  Launched() = default;
  base::Result<> prepare(const CreateOptions& options);
  base::Result<> start_scope();
  base::Result<> bring_net_devices();
  base::Result<> place_root(const CreateOptions& options);
  [[nodiscard]] bool opens_late(const CreateOptions& options) const;
  void plan_sources(const CreateOptions& options);
  base::Result<> open_trees(const CreateOptions& options);
  base::Result<> prepare_files(const CreateOptions& options);
  base::Result<> start_init(const CreateOptions& options);
  [[noreturn]] void become_init(base::UniqueFd sync);
  base::Result<> converse(const CreateOptions& options);
  base::Result<SyncMessage> expect(SyncType type);
  void kill_init();

  std::unique_ptr<spec::Config> config_;
  std::unique_ptr<InitContext> context_;
  ContainerRecord record_;
  StateDir state_;
  ScopedCgroup cgroup_;
  SystemdUnit scope_;   ///< with systemd only
  SyncSocket sync_;
  base::UniqueFd pidfd_, terminal_;
  NotifyRelay notify_;
  bool armed_ = false, ours_ = false;
};

/// Waits until execve happened on the other end of `sync`: the end of the stream after `started`. Errors are the program's.
base::Result<> wait_for_exec(const SyncSocket& sync);

/// What hooks of the host's side get: the state as `status`, and the bundle as working directory.
HookRun hook_run(const ContainerRecord& record, Status status);

/// --pidfd-socket: whoever listens at `path` gets the descriptor.
base::Result<> send_pidfd(const std::string& path, base::Fd pidfd);

/// Where compiled seccomp filters are kept.
std::string seccomp_cache(const std::string& root);

}  // namespace runtime::oci
