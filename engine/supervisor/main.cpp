// compose-engine: keeper and supervisor of a project. Started by the engine's client; nobody types this.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

#include "base/log.h"
#include "engine/supervisor/keeper.h"
#include "engine/supervisor/supervisor.h"

namespace {

constexpr std::string_view usage =
    "Usage: compose-engine keeper --project NAME [--ready-fd N]\n"
    "\n"
    "Keeps the containers of a project. Started by `compose` as needed; ends by itself when nothing runs.\n";

int fail(const std::string& text) {
  std::fprintf(stderr, "compose-engine: %s\n%.*s", text.c_str(), static_cast<int>(usage.size()), usage.data());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  // Ours, if somebody's: no container is the service whose readiness or sockets these mean, and compose-runtime would hand them on.
  for (const char* name : {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"}) ::unsetenv(name);
  if (words.empty()) return fail("no verb");
  if (words[0] == "--help" || words[0] == "help") {
    std::printf("%.*s", static_cast<int>(usage.size()), usage.data());
    return 0;
  }
  engine::supervisor::KeeperOptions options;
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "--adopt") {
      options.adopt = true;
      continue;
    }
    if (i + 1 == words.size()) return fail(words[i] + ": no value, or unknown");
    const std::string& value = words[i + 1];
    if (words[i] == "--project") options.project = value;
    else if (words[i] == "--ready-fd") options.ready_fd = std::atoi(value.c_str());
    else if (words[i] == "--lock-fd") options.lock_fd = std::atoi(value.c_str());
    else if (words[i] == "--fd" && value.rfind('=') != std::string::npos)
      options.fds.emplace_back(value.substr(0, value.rfind('=')), std::atoi(value.c_str() + value.rfind('=') + 1));
    else return fail("unknown option " + words[i]);
    ++i;
  }
  if (options.project.empty() || options.project.find('/') != std::string::npos) return fail("--project: a name is needed");
  base::log::configure(base::Fd(STDERR_FILENO), base::log::Level::warning);
  if (words[0] == "keeper") return engine::supervisor::keep(options);
  if (words[0] == "supervisor") {
    using namespace engine::supervisor;
    const auto there = [](int fd) { return ::fcntl(fd, F_GETFD) >= 0 ? fd : -1; };
    const int link = there(link_fd_number), ready = there(ready_fd_number);
    for (const int fd : {link, ready})
      if (fd >= 0) (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
    return supervise({options.project, link, ready});
  }
  return fail("unknown verb " + words[0]);
}
