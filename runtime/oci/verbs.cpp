// The table of verbs and their flags.
#include "runtime/oci/verbs.h"

namespace runtime::oci {
namespace {

constexpr Flag create_flags[] = {
    {'b', "bundle", "DIR", "folder with config.json (default: the current one)"},
    {'f', "config", "FILE", "another file than DIR/config.json"},
    {0, "console-socket", "PATH", "unix socket that gets the terminal's master"},
    {0, "pid-file", "FILE", "write init's pid there"},
    {0, "pidfd-socket", "PATH", "unix socket that gets init's pidfd"},
    {0, "no-pivot", "", "move the root instead of pivot_root (initramfs)"},
    {0, "no-new-keyring", "", "keep the caller's session keyring"},
    {0, "preserve-fds", "N", "pass descriptors 3 to 2+N on"},
    {0, "rootfs-fd", "N", "the root is the detached mount at descriptor N"},
    {0, "init", "", "a tiny init as PID 1 above the program"},
};
constexpr Flag run_flags[] = {
    {'b', "bundle", "DIR", "folder with config.json (default: the current one)"},
    {'f', "config", "FILE", "another file than DIR/config.json"},
    {'d', "detach", "", "return once the program runs; init is a child of the caller"},
    {0, "keep", "", "do not delete the container when it ends"},
    {0, "console-socket", "PATH", "unix socket that gets the terminal's master"},
    {0, "pid-file", "FILE", "write init's pid there"},
    {0, "pidfd-socket", "PATH", "unix socket that gets init's pidfd"},
    {0, "no-pivot", "", "move the root instead of pivot_root (initramfs)"},
    {0, "no-new-keyring", "", "keep the caller's session keyring"},
    {0, "no-subreaper", "", "accepted for runc's sake: this program never is one"},
    {0, "preserve-fds", "N", "pass descriptors 3 to 2+N on"},
    {0, "rootfs-fd", "N", "the root is the detached mount at descriptor N"},
    {0, "init", "", "a tiny init as PID 1 above the program"},
};
constexpr Flag exec_flags[] = {
    {'p', "process", "FILE", "the process object, instead of a command"},
    {'t', "tty", "", "give it a terminal"},
    {'u', "user", "UID[:GID]", "run as"},
    {'g', "additional-gids", "GID", "further group (repeatable)"},
    {0, "cwd", "DIR", "working directory"},
    {'e', "env", "NAME=VALUE", "further variable (repeatable)"},
    {'c', "cap", "CAP", "further capability (repeatable)"},
    {'d', "detach", "", "return once the program runs; it is a child of the caller"},
    {0, "pid-file", "FILE", "write its pid there"},
    {0, "pidfd-socket", "PATH", "unix socket that gets its pidfd"},
    {0, "console-socket", "PATH", "unix socket that gets the terminal's master"},
    {0, "preserve-fds", "N", "pass descriptors 3 to 2+N on"},
    {0, "no-new-privs", "", "set no_new_privs"},
    {0, "apparmor", "PROFILE", "AppArmor profile"},
    {0, "process-label", "LABEL", "SELinux label"},
    {0, "cgroup", "PATH", "cgroup below the container's own"},
    {0, "ignore-paused", "", "also in a paused container"},
};
constexpr Flag kill_flags[] = {{'a', "all", "", "every process of the container"},
                               {'r', "regex", "", "ID is an extended regular expression"}};
constexpr Flag delete_flags[] = {{'f', "force", "", "kill it first; a missing container is success"},
                                 {'r', "regex", "", "ID is an extended regular expression"}};
constexpr Flag list_flags[] = {{'f', "format", "table|json", "output format"}, {'q', "quiet", "", "ids only"}};
constexpr Flag ps_flags[] = {{'f', "format", "table|json", "output format"}};
constexpr Flag update_flags[] = {
    {'r', "resources", "FILE", "the resources object; - reads standard input"},
    {0, "blkio-weight", "N", "10 to 1000"},
    {0, "cpu-period", "US", "CFS period"},
    {0, "cpu-quota", "US", "CFS quota"},
    {0, "cpu-burst", "US", "CFS burst"},
    {0, "cpu-share", "N", "shares (also --cpu-shares)"},
    {0, "cpu-shares", "N", "shares"},
    {0, "cpu-rt-period", "US", "realtime period"},
    {0, "cpu-rt-runtime", "US", "realtime runtime"},
    {0, "cpu-idle", "0|1", "SCHED_IDLE for all"},
    {0, "cpuset-cpus", "LIST", "cpus"},
    {0, "cpuset-mems", "LIST", "memory nodes"},
    {0, "memory", "BYTES", "memory limit"},
    {0, "memory-reservation", "BYTES", "soft limit"},
    {0, "memory-swap", "BYTES", "memory and swap together"},
    {0, "kernel-memory", "BYTES", "kernel memory (cgroup v1)"},
    {0, "kernel-memory-tcp", "BYTES", "TCP buffers (cgroup v1)"},
    {0, "pids-limit", "N", "processes"},
};
constexpr Flag events_flags[] = {{0, "stats", "", "print the numbers once and end"},
                                 {0, "interval", "TIME", "time between two (default 5s)"}};
constexpr Flag spec_flags[] = {{'b', "bundle", "DIR", "where to write config.json"},
                               {'f', "config", "FILE", "another file than DIR/config.json"},
                               {0, "rootless", "", "for a user without privileges"}};

constexpr std::size_t any = 1 << 20;
constexpr Verb table[] = {
    {"create", "CONTAINER", "make a container; its program waits for start", create_flags, false, 1, 1, verb_create},
    {"start", "CONTAINER", "start the program of a created container", {}, false, 1, 1, verb_start},
    {"run", "CONTAINER", "create and start", run_flags, false, 1, 1, verb_run},
    {"exec", "CONTAINER cmd [ARG...]", "run a further process in a container", exec_flags, true, 1, any, verb_exec},
    {"state", "CONTAINER", "print the state of a container as JSON", {}, false, 1, 1, verb_state},
    {"kill", "CONTAINER [SIGNAL]", "send a signal (default SIGTERM) to init", kill_flags, false, 1, 2, verb_kill},
    {"delete", "CONTAINER...", "remove a container that has ended", delete_flags, false, 1, any, verb_delete},
    {"list", "", "list the containers", list_flags, false, 0, 0, verb_list},
    {"ps", "CONTAINER [PS OPTIONS]", "list the processes of a container", ps_flags, true, 1, any, verb_ps},
    {"pause", "CONTAINER", "freeze all processes", {}, false, 1, 1, verb_pause},
    {"resume", "CONTAINER", "thaw them again", {}, false, 1, 1, verb_resume},
    {"update", "CONTAINER", "change the limits of a container", update_flags, false, 1, 1, verb_update},
    {"events", "CONTAINER", "print numbers about a container as JSON lines", events_flags, false, 1, 1, verb_events},
    {"spec", "", "write an example config.json", spec_flags, false, 0, 0, verb_spec},
    {"features", "", "print what is supported as JSON", {}, false, 0, 0, verb_features},
    {"init", "-- COMMAND [ARG...]", "be a tiny init for a command", {}, true, 1, any, verb_init},
    {"checkpoint", "", "refused: not supported", {}, true, 0, any, verb_refused},
    {"restore", "", "refused: not supported", {}, true, 0, any, verb_refused},
};

}  // namespace

std::span<const Verb> verbs() { return table; }

}  // namespace runtime::oci
