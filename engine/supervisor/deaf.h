#pragma once
// PID 1 of a pid namespace does not get a signal whose action is the default: the kernel drops it (pid_namespaces(7)). Such a container
// would only ever end by SIGKILL after its grace period; telling it beforehand saves the wait.
#include <sys/types.h>

#include <filesystem>
#include <string_view>
#include <vector>

namespace engine::supervisor {

/// From the text of /proc/PID/status: true when the process is PID 1 of its own namespace and neither handles nor blocks `signal`.
/// SIGKILL and SIGSTOP from outside always arrive.
bool is_deaf(std::string_view status, int signal);
bool is_deaf(pid_t pid, int signal, const std::filesystem::path& proc = "/proc");

/// The children of `pid` and theirs, as far as they can be seen.
std::vector<pid_t> descendants(pid_t pid, const std::filesystem::path& proc = "/proc");

}  // namespace engine::supervisor
