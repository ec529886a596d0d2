// The least a container costs the kernel: clone3, the mounts of a Docker-like bundle, pivot_root, execve, wait. No capabilities, no
// JSON, no state. With FILTER and HIERARCHIES also what a runtime can't leave out of such a bundle: a cgroup in each (v1) hierarchy,
// made, entered, shown at /sys/fs/cgroup and removed; and the compiled seccomp filter in the file FILTER. `runtime.py` runs both.
// usage: runtime_floor ROOTFS PROGRAM [FILTER HIERARCHY...]
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

// <sys/mount.h> and <linux/mount.h> of glibc 2.36 exclude each other.
#define MNT_DETACH 2
int mount(const char*, const char*, const char*, unsigned long, const void*);
int umount2(const char*, int);

static void check(long result, const char* what) {
  if (result >= 0) return;
  fprintf(stderr, "runtime_floor: %s: %s\n", what, strerror(errno));
  _exit(125);
}

static void mount_at(const char* type, const char* target, unsigned long flags, const char* data) {
  mkdir(target, 0755);
  check(mount(type, target, type, flags, data), target);
}

static char** hierarchies;  // ends with a null pointer
static int tasks[32], trees[32];
static int unified = -1;  // the folder of the v2 hierarchy, which clone3 puts the child into

static char* folder_in(const char* hierarchy) {
  static char path[512];
  snprintf(path, sizeof path, "%s/floor-%d", hierarchy, getpid());
  return path;
}

static void copy_setting(const char* hierarchy, const char* name) {
  char path[600], text[256];
  snprintf(path, sizeof path, "%s/%s", hierarchy, name);
  const int from = open(path, O_RDONLY | O_CLOEXEC);
  const ssize_t length = read(from, text, sizeof text);
  close(from);
  snprintf(path, sizeof path, "%s/%s", folder_in(hierarchy), name);
  const int to = open(path, O_WRONLY | O_CLOEXEC);
  check(write(to, text, (size_t)length), path);
  close(to);
}

static void make_cgroups(void) {
  for (unsigned at = 0; hierarchies[at]; ++at) {
    char* path = folder_in(hierarchies[at]);
    check(mkdir(path, 0755), path);
    check(trees[at] = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), "open_tree");
    if (strstr(path, "cpuset")) copy_setting(hierarchies[at], "cpuset.cpus"), copy_setting(hierarchies[at], "cpuset.mems");
    path = folder_in(hierarchies[at]);
    tasks[at] = open(strcat(path, "/tasks"), O_WRONLY | O_CLOEXEC);
    if (tasks[at] >= 0) continue;
    *strrchr(path, '/') = 0;
    check(unified = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), path);
  }
}

static void enter_cgroups(void) {
  for (unsigned at = 0; hierarchies[at]; ++at)
    if (tasks[at] >= 0) check(write(tasks[at], "0", 1), "tasks");
}

static void show_cgroups(void) {
  for (unsigned at = 0; hierarchies[at]; ++at) {
    char path[512];
    snprintf(path, sizeof path, "sys/fs/cgroup/%s", strrchr(hierarchies[at], '/') + 1);
    mkdir(path, 0755);
    check(syscall(SYS_move_mount, trees[at], "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH), path);
  }
}

static struct sock_fprog read_filter(const char* file) {
  static struct sock_filter program[BPF_MAXINSNS];
  const int from = open(file, O_RDONLY | O_CLOEXEC);
  const ssize_t length = read(from, program, sizeof program);
  check(length, file);
  close(from);
  const struct sock_fprog out = {.len = (unsigned short)((size_t)length / sizeof *program), .filter = program};
  return out;
}

static void make_mounts(void) {
  const unsigned long plain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  mount_at("proc", "proc", plain, NULL);
  mount_at("tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
  mount_at("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
  mount_at("sysfs", "sys", plain | MS_RDONLY, NULL);
  mount_at("tmpfs", "sys/fs/cgroup", plain, "mode=755");
  if (hierarchies) show_cgroups();
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
  struct sock_fprog filter = {0, NULL};
  if (count > 4) {
    hierarchies = words + 4;
    filter = read_filter(words[3]);
    words[3] = NULL;
    make_cgroups();
  }
  struct clone_args arguments;
  memset(&arguments, 0, sizeof arguments);
  arguments.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;
  arguments.exit_signal = SIGCHLD;
  if (unified >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = (uint64_t)unified;
  }
  const long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
  check(pid, "clone3");
  if (pid == 0) {
    if (hierarchies) enter_cgroups();
    check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
    check(mount(words[1], words[1], NULL, MS_BIND | MS_REC, NULL), words[1]);
    check(chdir(words[1]), words[1]);
    make_mounts();
    check(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    check(umount2(".", MNT_DETACH), "umount");
    if (filter.len) check(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter), "seccomp");
    execv(words[2], words + 2);
    check(-1, words[2]);
  }
  int status = 0;
  while (waitpid((pid_t)pid, &status, 0) < 0 && errno == EINTR) {
  }
  for (unsigned at = 0; hierarchies && hierarchies[at]; ++at) check(rmdir(folder_in(hierarchies[at])), "rmdir");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
