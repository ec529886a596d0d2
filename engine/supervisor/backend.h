#pragma once
// What a supervisor does to the machine, behind one interface so that its decisions can be tested without root.
// Every call blocks and runs on a worker thread; several run at once for different containers. All are idempotent: after a
// crash half-way they are simply called again.
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/api/types.h"
#include "engine/store/store.h"
#include "healthcheck/health.h"

namespace engine::supervisor {

using base::Result;

/// The streams of a container as its process gets them: FIFOs opened read-write, so that a missing reader blocks the writer instead of
/// killing it. Unused with a terminal, which the start makes.
struct Streams {
  base::UniqueFd input;     ///< none: /dev/null
  base::UniqueFd output, error;
};

/// What follows from spec and image together and is needed while it runs.
struct Traits {
  std::vector<std::string> command;
  int stop_signal = 15;
  std::optional<healthcheck::Spec> health;
};

struct Started {
  pid_t pid = 0;
  base::UniqueFd pidfd;
  base::UniqueFd terminal;  ///< master side, with spec.tty
  std::vector<Endpoint> endpoints;
  std::vector<PortBinding> ports;
};

/// A command in a running container.
struct ExecRequest {
  std::vector<std::string> command;
  std::string user, working_dir;
  std::vector<std::string> env;
  bool privileged = false;
};
struct Exec {
  base::ChildProcess process;
  base::UniqueFd output;    ///< what it prints, both streams; non-blocking
};

class Backend {
 public:
  virtual ~Backend() = default;

  // ---- containers
  /// Checks the specification, makes its folder and its anonymous volumes (those of `old` are taken over, by target), and returns the row
  /// to be inserted. Changes no row of containers.
  virtual Result<store::ContainerRecord> make(const ContainerSpec& spec, const std::optional<store::ContainerRecord>& old) = 0;
  virtual Result<Traits> traits(const ContainerSpec& spec) = 0;
  /// Namespaces, mounts, addresses, ports, names and the process. On failure nothing of it is left.
  virtual Result<Started> start(const store::ContainerRecord& record, const ContainerSpec& spec, Streams streams) = 0;
  /// Takes a running container over from a killed supervisor: names and ports are served again.
  virtual Result<> adopt(const store::ContainerRecord& record, const ContainerSpec& spec) = 0;
  /// The pid of a start that a killed supervisor did not get to record; none when the runtime knows no such container.
  virtual Result<std::optional<pid_t>> find(const std::string& id) = 0;
  /// Takes the interfaces of containers that ended away, all in one go: the kernel waits some 25 ms for readers, once for a
  /// group and once for each link otherwise. release() does it for one that was left out. Best effort.
  virtual void cut_links(const std::vector<std::pair<store::ContainerRecord, ContainerSpec>>& containers) = 0;
  /// After its end (or a start cut short): frees addresses, names, ports, cgroup and what the runtime keeps, and kills what is left in its cgroup.
  virtual Result<> release(const store::ContainerRecord& record, const ContainerSpec& spec) = 0;
  /// Deletes folder and run folder; `volumes`: the anonymous ones as well. The row goes last, and is not touched here.
  virtual Result<> remove(const store::ContainerRecord& record, const ContainerSpec& spec, bool volumes) = 0;
  /// True when the kernel's OOM killer struck in its cgroup. Asked after the end, before release().
  virtual bool oom_killed(const store::ContainerRecord& record, const ContainerSpec& spec) = 0;
  virtual Result<> freeze(const store::ContainerRecord& record, const ContainerSpec& spec, bool frozen) = 0;
  virtual Result<Exec> exec(const store::ContainerRecord& record, const ContainerSpec& spec, const ExecRequest& request) = 0;
  /// `record` has the endpoints as they are; the new ones are returned. A container that does not run only changes its specification.
  virtual Result<std::vector<Endpoint>> connect(const store::ContainerRecord& record, const ContainerSpec& spec,
                                                const NetworkAttachment& attachment) = 0;
  virtual Result<std::vector<Endpoint>> disconnect(const store::ContainerRecord& record, const ContainerSpec& spec,
                                                   const std::string& network) = 0;

  // ---- the rest. Missing things are removed with success; equal things are created with success.
  virtual Result<> create_network(const NetworkSpec& spec) = 0;
  virtual Result<> remove_network(const std::string& name) = 0;
  virtual Result<> create_volume(const VolumeSpec& spec) = 0;
  virtual Result<> remove_volume(const std::string& name) = 0;
  virtual Result<> remove_image(const std::string& reference) = 0;
  /// Nothing is under way: lets go of what would only make the next work faster.
  virtual void rest() {}
  /// The supervisor is about to end; `empty`: the project has no container left, so nothing of it may stay on the machine.
  virtual Result<> close(bool empty) = 0;
};

}  // namespace engine::supervisor
