#include "engine/supervisor/deaf.h"

#include <signal.h>

#include <charconv>

#include "base/sys.h"

namespace engine::supervisor {
namespace {

/// The value of "Name:\tvalue" in a status file.
std::string_view field(std::string_view status, std::string_view name) {
  std::size_t at = 0;
  while (at < status.size()) {
    const std::size_t end = std::min(status.find('\n', at), status.size());
    const std::string_view line = status.substr(at, end - at);
    if (line.starts_with(name) && line.size() > name.size() && line[name.size()] == ':') {
      const std::size_t start = line.find_first_not_of(" \t", name.size() + 1);
      return start == std::string_view::npos ? std::string_view() : line.substr(start);
    }
    at = end + 1;
  }
  return {};
}

std::uint64_t mask(std::string_view status, std::string_view name) {
  const auto text = field(status, name);
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

}  // namespace

bool is_deaf(std::string_view status, int signal) {
  if (signal == SIGKILL || signal == SIGSTOP || signal < 1 || signal > 64) return false;
  // "NSpid: 4242 1": the last number is the pid in the innermost namespace; a single one is the host's own namespace.
  const auto pids = field(status, "NSpid");
  const std::size_t last = pids.find_last_of(" \t");
  if (last == std::string_view::npos || pids.substr(last + 1) != "1") return false;
  const std::uint64_t heard = mask(status, "SigCgt") | mask(status, "SigBlk");
  return (heard & (std::uint64_t{1} << (signal - 1))) == 0;
}

bool is_deaf(pid_t pid, int signal, const std::filesystem::path& proc) {
  const auto status = base::sys::read_file(proc / std::to_string(pid) / "status", 65536);
  return status && is_deaf(*status, signal);
}

std::vector<pid_t> descendants(pid_t pid, const std::filesystem::path& proc) {
  std::vector<pid_t> found{pid};
  for (std::size_t i = 0; i < found.size() && found.size() < 65536; ++i) {
    const auto tasks = proc / std::to_string(found[i]) / "task";
    std::error_code failed;
    for (auto it = std::filesystem::directory_iterator(tasks, failed); !failed && it != std::filesystem::directory_iterator();
         it.increment(failed)) {
      const auto children = base::sys::read_file(it->path() / "children", 1 << 20);
      if (!children) continue;
      const char* at = children->data();
      const char* const end = at + children->size();
      while (at < end) {
        pid_t child = 0;
        const auto [next, wrong] = std::from_chars(at, end, child);
        if (wrong == std::errc()) found.push_back(child);
        at = next + 1;
      }
    }
  }
  found.erase(found.begin());
  return found;
}

}  // namespace engine::supervisor
