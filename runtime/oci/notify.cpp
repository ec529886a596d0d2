#include "runtime/oci/notify.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>

#include "base/sys.h"
#include "runtime/linux/text.h"

namespace runtime::oci {

using base::Fd;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

constexpr int barrier_ms = 5000;

/// "" when there is none, or none of the form systemd gives: an absolute path or "@abstract".
std::string managers_socket() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (!path || (path[0] != '/' && path[0] != '@') || std::strlen(path) < 2 || std::strlen(path) >= sizeof(sockaddr_un::sun_path)) return {};
  return path;
}

Result<UniqueFd> connect_manager(const std::string& path) {
  ASSIGN_OR_RETURN(auto socket, sys::socket(AF_UNIX, SOCK_DGRAM));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::ranges::copy(path, address.sun_path);
  if (path[0] == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  TRY(sys::wrap("connect " + path, ::connect(socket.number(), reinterpret_cast<const sockaddr*>(&address), size)));
  return socket;
}

Result<> tell_manager(const std::string& path, pid_t init) {
  ASSIGN_OR_RETURN(const auto manager, connect_manager(path));
  TRY(sys::send_fds(manager.borrow(), "MAINPID=" + std::to_string(init) + "\nREADY=1\n", {}));
  // sd_notify_barrier(3): the manager closes the descriptor once it has come to this message.
  ASSIGN_OR_RETURN(auto ends, sys::pipe());
  const int fds[] = {ends.second.number()};
  TRY(sys::send_fds(manager.borrow(), "BARRIER=1", fds));
  ends.second.reset();
  pollfd wait{.fd = ends.first.number(), .events = 0, .revents = 0};
  while (::poll(&wait, 1, barrier_ms) < 0 && errno == EINTR) {
  }
  return {};
}

}  // namespace

std::string notify_folder(const std::string& state_folder) { return state_folder + "/notify"; }

bool pass_notify_socket(spec::Config& config, const std::string& state_folder) {
  const std::string path = managers_socket();
  if (path.empty() || !config.process) return false;
  const std::string place = path[0] == '@' ? "/run/notify" : path;
  config.mounts.push_back({.destination = place, .type = "bind", .source = notify_folder(state_folder),
                           .options = {"bind", "ro", "nosuid", "nodev", "noexec"}, .uid_mappings = {}, .gid_mappings = {}});
  config.process->env.push_back("NOTIFY_SOCKET=" + place + "/notify");
  return true;
}

Result<NotifyRelay> NotifyRelay::open(const StateDir& state) {
  NotifyRelay out;
  out.manager_ = managers_socket();
  const auto folder = sys::open(notify_folder(state.path()), O_PATH | O_DIRECTORY);
  if (!folder || out.manager_.empty()) return out;
  ASSIGN_OR_RETURN(auto socket, sys::socket(AF_UNIX, SOCK_DGRAM));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // The state folder's path may be longer than an address.
  const std::string path = "/proc/self/fd/" + std::to_string(folder->number()) + "/notify";
  std::ranges::copy(path, address.sun_path);
  (void)::unlink(path.c_str());
  TRY(sys::wrap("binding the notify socket", ::bind(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof address)));
  TRY(sys::wrap("chmod of the notify socket", ::chmod(path.c_str(), 0777)));  // whoever the program is
  out.socket_ = std::move(socket);
  return out;
}

void NotifyRelay::relay(pid_t init) {
  char text[4096];
  bool ready = false;
  while (!ready) {
    const ssize_t count = ::recv(socket_.number(), text, sizeof text, MSG_DONTWAIT);
    if (count < 0) return;
    for_each_word(std::string_view(text, static_cast<std::size_t>(count)), '\n', [&](std::string_view line) { ready = ready || line == "READY=1"; });
  }
  (void)!tell_manager(manager_, init).has_value();  // nobody listens there any more: not the container's fault
  socket_.reset();
}

void NotifyRelay::wait(pid_t init, Fd pidfd) {
  while (socket_.valid()) {
    pollfd waits[2] = {{.fd = socket_.number(), .events = POLLIN, .revents = 0}, {.fd = pidfd.number(), .events = POLLIN, .revents = 0}};
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) return;
    if (waits[0].revents & POLLIN) relay(init);
    else if (waits[1].revents & POLLIN) return;
  }
}

}  // namespace runtime::oci
