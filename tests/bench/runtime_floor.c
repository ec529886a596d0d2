// The least a container costs the kernel: clone3, the mounts of a Docker-like bundle, pivot_root, execve, wait. No cgroup, no seccomp
// filter, no capabilities, no JSON, no state. `runtime.py` runs it beside the runtimes.
// usage: runtime_floor ROOTFS PROGRAM
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(long result, const char* what) {
  if (result >= 0) return;
  fprintf(stderr, "runtime_floor: %s: %s\n", what, strerror(errno));
  _exit(125);
}

static void mount_at(const char* type, const char* target, unsigned long flags, const char* data) {
  mkdir(target, 0755);
  check(mount(type, target, type, flags, data), target);
}

static void make_mounts(void) {
  const unsigned long plain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  mount_at("proc", "proc", plain, NULL);
  mount_at("tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
  mount_at("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
  mount_at("sysfs", "sys", plain | MS_RDONLY, NULL);
  mount_at("tmpfs", "sys/fs/cgroup", plain, "mode=755");
  mount_at("mqueue", "dev/mqueue", plain, NULL);
  mount_at("tmpfs", "dev/shm", plain, "mode=1777,size=65536k");
  static const struct { const char* name; unsigned major, minor; } nodes[] = {
      {"dev/null", 1, 3}, {"dev/zero", 1, 5}, {"dev/full", 1, 7}, {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};
  for (unsigned at = 0; at < sizeof nodes / sizeof *nodes; ++at)
    check(mknod(nodes[at].name, S_IFCHR | 0666, makedev(nodes[at].major, nodes[at].minor)), nodes[at].name);
  static const char* const masked[] = {"proc/acpi", "proc/kcore", "proc/keys", "proc/latency_stats", "proc/timer_list", "proc/sched_debug",
                                       "proc/scsi", "sys/firmware", "sys/devices/virtual/powercap", "proc/interrupts", "proc/asound"};
  for (unsigned at = 0; at < sizeof masked / sizeof *masked; ++at) {
    struct stat about;
    if (stat(masked[at], &about) != 0) continue;
    if (S_ISDIR(about.st_mode)) check(mount("tmpfs", masked[at], "tmpfs", MS_RDONLY, NULL), masked[at]);
    else check(mount("dev/null", masked[at], NULL, MS_BIND, NULL), masked[at]);
  }
  static const char* const readonly[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
  for (unsigned at = 0; at < sizeof readonly / sizeof *readonly; ++at) {
    if (access(readonly[at], F_OK) != 0) continue;
    check(mount(readonly[at], readonly[at], NULL, MS_BIND | MS_REC, NULL), readonly[at]);
    check(mount(NULL, readonly[at], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | plain, NULL), readonly[at]);
  }
}

int main(int count, char** words) {
  if (count < 3) return 2;
  struct clone_args arguments;
  memset(&arguments, 0, sizeof arguments);
  arguments.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;
  arguments.exit_signal = SIGCHLD;
  const long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
  check(pid, "clone3");
  if (pid == 0) {
    check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
    check(mount(words[1], words[1], NULL, MS_BIND | MS_REC, NULL), words[1]);
    check(chdir(words[1]), words[1]);
    make_mounts();
    check(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    check(umount2(".", MNT_DETACH), "umount");
    execv(words[2], words + 2);
    check(-1, words[2]);
  }
  int status = 0;
  while (waitpid((pid_t)pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
