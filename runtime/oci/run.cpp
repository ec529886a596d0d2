// create, run, start.
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/sys.h"
#include "runtime/linux/hooks.h"
#include "runtime/linux/tty.h"
#include "runtime/oci/destroy.h"
#include "runtime/oci/foreground.h"
#include "runtime/oci/launch.h"
#include "runtime/oci/logging.h"
#include "runtime/oci/verbs.h"

namespace runtime::oci {

using base::ErrorKind;
using base::Result;
namespace sys = base::sys;

namespace {

Result<CreateOptions> create_options(const Global& global, const Arguments& arguments) {
  CreateOptions options;
  options.root = global.root;
  options.cgroups = global.cgroups;
  options.id = arguments.positional.front();
  if (arguments.has("bundle")) options.bundle = arguments.value("bundle");
  options.config_file = arguments.value("config");
  options.console_socket = arguments.value("console-socket");
  options.pid_file = arguments.value("pid-file");
  options.pidfd_socket = arguments.value("pidfd-socket");
  options.no_pivot = arguments.has("no-pivot");
  options.no_new_keyring = arguments.has("no-new-keyring");
  options.tiny_init = arguments.has("init");
  ASSIGN_OR_RETURN(const auto preserve, arguments.number("preserve-fds"));
  ASSIGN_OR_RETURN(const auto rootfs, arguments.number("rootfs-fd"));
  if (preserve.value_or(0) < 0 || preserve.value_or(0) > 65536)
    return base::make_error(ErrorKind::invalid, "--preserve-fds: out of range");
  options.preserve_fds = static_cast<unsigned>(preserve.value_or(0));
  // sd_listen_fds(3): the caller's activation sockets belong to the container's program.
  if (const char* sockets = std::getenv("LISTEN_FDS")) options.listen_fds = static_cast<unsigned>(std::clamp(std::atoi(sockets), 0, 1024));
  options.rootfs_fd = static_cast<int>(rootfs.value_or(-1));
  return options;
}

}  // namespace

Result<int> verb_create(const Global& global, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto options, create_options(global, arguments));
  options.wait_for_start = true;
  options.child_of_caller = true;
  ASSIGN_OR_RETURN(auto launched, Launched::make(options));
  launched.commit();
  return 0;
}

Result<int> verb_run(const Global& global, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto options, create_options(global, arguments));
  options.child_of_caller = arguments.has("detach");
  if (options.child_of_caller) {
    ASSIGN_OR_RETURN(auto launched, Launched::make(options));
    TRY(launched.finish());
    launched.commit();
    launched.notify().wait(launched.pid(), launched.pidfd());
    return 0;
  }
  // Before init exists, so that no signal falls between.
  ASSIGN_OR_RETURN(const auto signals, block_signals());
  ASSIGN_OR_RETURN(auto launched, Launched::make(options));
  if (auto done = launched.finish(); !done) {
    if (const auto terminal = launched.take_terminal(); terminal.valid()) print_terminal(terminal.borrow());
    return std::move(done).error();
  }
  launched.commit();
  ASSIGN_OR_RETURN(const int code, wait_in_foreground({.pid = launched.pid(), .pidfd = launched.pidfd(),
                                                       .signals = signals.borrow(), .terminal = launched.take_terminal(),
                                                       .notify = &launched.notify()}));
  if (!arguments.has("keep")) TRY(destroy_ended(launched.state(), launched.record(), launched.config().hooks.poststop));
  // Nothing is left to take back; the kernel closes and frees at once what destructors would one by one.
  ::_exit(code);
}

Result<int> verb_start(const Global& global, const Arguments& arguments) {
  const std::string& id = arguments.positional.front();
  ASSIGN_OR_RETURN(const auto dir, StateDir::open(global.root, id));
  ASSIGN_OR_RETURN(const auto record, dir.load());
  const Status status = current_status(dir, record);
  if (status != Status::created)
    return base::make_error(ErrorKind::invalid, "cannot start container \"" + id + "\" that is not created: " +
                                                    std::string(to_string(status)));
  ASSIGN_OR_RETURN(auto notify, NotifyRelay::open(dir));
  base::UniqueFd pidfd;
  if (notify.socket().valid()) {
    ASSIGN_OR_RETURN(pidfd, sys::pidfd_open(record.pid));
  }
  ASSIGN_OR_RETURN(auto connection, sys::connect_unix(dir.start_socket(), SOCK_SEQPACKET));
  // From here it counts as running; a second start does not find the socket.
  TRY(sys::unlink(dir.start_socket()));
  TRY(wait_for_exec(SyncSocket(std::move(connection))));
  ASSIGN_OR_RETURN(const auto config, dir.load_config());
  auto done = run_hooks(config.hooks.poststart, hook_run(record, Status::running), "poststart");
  if (done) {
    notify.wait(record.pid, pidfd.borrow());
    return 0;
  }
  // config.md, "Lifecycle": a failing poststart hook stops the container, which is then deleted.
  if (auto gone = destroy(global.root, id, Force::yes); !gone) report_warning(gone.error());
  return std::move(done).error();
}

}  // namespace runtime::oci
