#pragma once
// Network namespaces as descriptors. The calling thread is where it was when a function returns.
#include <filesystem>
#include <functional>

#include "base/result.h"
#include "base/unique_fd.h"

namespace network {

/// A new, empty network namespace: loopback up, IPv6 off by default on interfaces made later (attach() turns it on where an
/// IPv6 address is given, as Docker does). It lives as long as a descriptor, a process or a pin refers to it.
/// Errors: permission, exhausted. Thread: any. About 0.6 ms.
base::Result<base::UniqueFd> make_netns();

/// The namespace of a process: /proc/PID/ns/net. Error not_found when it is gone.
base::Result<base::UniqueFd> netns_of(pid_t pid);

/// Runs `body` with the calling thread inside `netns`. Sockets opened there stay in that namespace wherever they are used.
/// /proc/sys/net is that of the namespace; /proc/net is that of the process's first thread (use /proc/thread-self/net).
/// Errors: those of setns(2) and of `body`. Thread: any; other threads stay where they are.
base::Result<> in_netns(base::Fd netns, const std::function<base::Result<>()>& body);

/// Keeps `netns` alive under `path` (bind mount on a file made for it; replaces a stale file). unpin() undoes it; missing is success.
base::Result<> pin(base::Fd netns, const std::filesystem::path& path);
/// Opens a pinned namespace. Error not_found when `path` is missing or is not a namespace (after a reboot, say).
base::Result<base::UniqueFd> open_pinned(const std::filesystem::path& path);
base::Result<> unpin(const std::filesystem::path& path);

}  // namespace network
