// System calls that filters and missing capabilities are about. Each is made so that it harms nothing where it is allowed.
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "probe.h"

namespace probe {

namespace {

/// A procfs in a user and pid namespace of one's own: the kernel wants one that hides nothing to be there already.
int mount_own_procfs() {
  const pid_t outer = ::fork();
  if (outer == 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID) != 0) std::_Exit(errno);
    const pid_t inner = ::fork();
    if (inner == 0) std::_Exit(::mount("proc", "/tmp", "proc", 0, nullptr) == 0 ? 0 : errno);
    int status = 0;
    ::waitpid(inner, &status, 0);
    std::_Exit(WEXITSTATUS(status));
  }
  int status = 0;
  ::waitpid(outer, &status, 0);
  errno = WEXITSTATUS(status);
  return errno == 0 ? 0 : -1;
}

}  // namespace

std::string call(const std::string& name) {
  if (name == "unshare") return outcome(::unshare(CLONE_NEWUTS));
  if (name == "unshare-user") return outcome(::unshare(CLONE_NEWUSER));
  if (name == "mount") return outcome(::mount("none", "/tmp", "tmpfs", 0, nullptr));
  if (name == "umount") return outcome(::umount2("/tmp", MNT_DETACH));
  if (name == "sethostname") return outcome(::sethostname("changed", 7));
  if (name == "keyctl") return outcome(::syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
  if (name == "personality") return outcome(::personality(0x0080000));  // READ_IMPLIES_EXEC is 0x0400000
  if (name == "vsock") return outcome(::socket(40, SOCK_STREAM, 0));
  if (name == "raw") return outcome(::socket(AF_INET, SOCK_RAW, 1));
  if (name == "clone3") return outcome(::syscall(SYS_clone3, nullptr, 0));
  if (name == "bpf") return outcome(::syscall(SYS_bpf, 99, nullptr, 0));
  if (name == "ptrace") return outcome(::syscall(SYS_ptrace, 99, 0, 0, 0));
  if (name == "chroot") return outcome(::chroot("/"));
  if (name == "open-by-handle") return outcome(::syscall(SYS_open_by_handle_at, -1, nullptr, 0));
  if (name == "getcwd") return outcome(::syscall(SYS_getcwd, nullptr, 0) < 0 ? 0 : 0);
  if (name == "mkdirat") return outcome(::mkdir("/tmp/made-by-probe", 0755));
  if (name == "fchmodat2") return outcome(::syscall(452, AT_FDCWD, "/inside-the-container", 0644, 0));
  if (name == "future") return outcome(::syscall(900));
  if (name == "own-procfs") return outcome(mount_own_procfs());
  if (name == "setgroups") return outcome(::syscall(SYS_setgroups, 0, nullptr));
  return "unknown";
}

}  // namespace probe
