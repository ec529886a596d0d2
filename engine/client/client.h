#pragma once
// How programs talk to the engine. Reads go to the store and the kernel and need no supervisor; what changes something goes
// to the project's supervisor, started when absent. Plain blocking calls, one thread.
#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/api/outcome.h"
#include "engine/api/plan.h"
#include "engine/api/types.h"

namespace engine::client {

// ---- reading: store + kernel ----------------------------------------------------------------------------------------

/// Everything of `project`, and the networks and volumes whose names are in `also` (external ones of any project).
/// Running containers are checked against the kernel: one whose process is gone and has no supervisor to tell its exit
/// code shows as exited without a code. An empty engine gives an empty snapshot. Blocks: disk only.
base::Result<Snapshot> snapshot(const std::string& project, const std::vector<std::string>& also = {});
/// Everything on the machine: `ls`, `volumes`, orphan hunting.
base::Result<Snapshot> snapshot_all();
/// By name, full id or unique id prefix. Error not_found.
base::Result<ContainerInfo> container(const std::string& name_or_id);

struct Generation {
  std::int64_t number = 0;
  WallNs created = 0;
  std::string json;                 ///< what Plan::generation_json was
};
/// Newest first.
base::Result<std::vector<Generation>> generations(const std::string& project);

struct ExecOptions {
  std::vector<std::string> command;
  std::string user, working_dir;    ///< "" = the container's
  std::vector<std::string> env;     ///< added to the container's
  bool tty = false, privileged = false, detach = false;
  unsigned rows = 0, columns = 0;   ///< of the terminal; 0 = unknown
};
/// `compose-runtime exec`, ready to be spawned by the caller with its own standard input, output and error; its exit code is the
/// command's. With options.tty the caller adds "--console-socket PATH" (or its own way to a terminal) before the last argument.
struct ExecCommand {
  std::string program;              ///< full path of compose-runtime
  std::vector<std::string> arguments;  ///< argv; the last one is the container's id
  base::UniqueFd process;           ///< must become descriptor `process_number` of the program
  int process_number = 3;
  std::string id;
};
/// Error: not_found; unavailable when it does not run or is paused, with Docker's sentence; invalid (unknown user, no command).
base::Result<ExecCommand> exec_command(const std::string& name_or_id, const ExecOptions& options);
/// Pids of every process of a running container, init first.
base::Result<std::vector<pid_t>> processes(const ContainerInfo& container);

// ---- events ---------------------------------------------------------------------------------------------------------

struct EventsOptions {
  WallNs since = 0;                 ///< 0 with `follow`: from now on; 0 without: all that is kept
  WallNs until = 0;                 ///< 0 = no end
  bool follow = true;
  base::Fd interrupt;               ///< readable: stop. May be none.
};
/// Calls `on_event` in order, until it returns false, `until` passes, `interrupt` is readable or (no follow) all are told.
/// Needs no supervisor and lives on over its restarts.
base::Result<> events(const std::string& project, const EventsOptions& options,
                      const std::function<bool(const Event&)>& on_event);
/// Where `events` with `follow` would start now: take it, then act, then follow from it and miss nothing.
WallNs now();

// ---- changing: through the supervisor -------------------------------------------------------------------------------

/// Makes sure that a supervisor serves `project`: starts keeper and supervisor when there is none. A few ms.
/// Error: unavailable with the supervisor's own words when it cannot start.
base::Result<> ensure_supervisor(const std::string& project);
/// True when one answers; starts none.
bool supervisor_runs(const std::string& project);
/// Whenever something of the project is recorded as running (or has to be restarted after a reboot or a kill of both
/// processes) but nobody watches it, starts the supervisor. Reads only, when all is well. Verbs that only show call it first.
base::Result<> revive(const std::string& project);

enum class OnInterrupt : std::uint8_t {
  go_on,    ///< keep executing and watching
  cancel,   ///< start no further step, let running ones finish (waits end at once); the outcome says cancelled
  detach,   ///< return at once with `cancelled`; the supervisor goes on with the plan
};
struct ExecuteOptions {
  std::function<void(const Progress&)> on_progress;
  base::Fd interrupt;               ///< a signalfd or eventfd of the caller, who reads it in on_interrupt; may be none
  std::function<OnInterrupt()> on_interrupt;  ///< absent: cancel
};
/// Has the supervisor execute `plan` and returns when it is done. A supervisor killed meanwhile is started anew and told the
/// plan again: every step is idempotent. An Error is about the talk itself; failures of steps are in the Outcome.
base::Result<Outcome> execute(const std::string& project, const Plan& plan, const ExecuteOptions& options);

/// Waits until the container is not running any more (and will not be restarted) and tells its exit code; absent = unknown.
base::Result<std::optional<int>> wait(const std::string& project, const std::string& name, base::Fd interrupt = {});

struct AttachOptions {
  base::Fd input;                   ///< forwarded to its standard input when valid (container has stdin_open or tty)
  base::Fd output;                  ///< standard output, or the terminal's
  base::Fd error;                   ///< standard error; with a tty nothing comes here
  std::string detach_keys = "\x10\x11";  ///< ctrl-p ctrl-q; only with a tty. "" = none
  bool no_detach_keys = false;
  base::Fd interrupt;               ///< readable: on_interrupt is called; may be none. Also for SIGWINCH.
  enum class Next : std::uint8_t { go_on, detach, resized };
  std::function<Next()> on_interrupt;  ///< absent: detach. resized: the size of `output`'s terminal is sent
};
struct AttachResult {
  bool detached = false;
  std::optional<int> exit_code;     ///< when it ended
};
/// An attachment that is connected: made before the start of a container so that nothing it prints is missed.
class Attachment {
 public:
  Attachment(Attachment&&) noexcept;
  Attachment& operator=(Attachment&&) noexcept;
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;
  ~Attachment();
  /// Moves bytes until the container ends or the caller detaches. With a tty the caller has put `input` in raw mode.
  /// A supervisor that is killed meanwhile is followed by the next: it waits a moment for us before it reads on.
  base::Result<AttachResult> run(const AttachOptions& options);

 private:
  friend base::Result<Attachment> attach(const std::string& project, const std::string& name);
  Attachment(std::string project, std::string name, base::UniqueFd socket, std::string rest);
  base::Result<bool> hear_out(const AttachOptions& options, AttachResult& result);
  base::Result<bool> reconnect(AttachResult& result);
  std::string project_, name_;
  base::UniqueFd socket_;
  std::string rest_;
};
/// The container may be running or about to be started. What it printed before is in its log, not here.
/// Error: not_found.
base::Result<Attachment> attach(const std::string& project, const std::string& name);
/// Sets the size of a container's terminal.
base::Result<> resize(const std::string& project, const std::string& name, unsigned rows, unsigned columns);

}  // namespace engine::client
