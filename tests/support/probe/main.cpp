#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "probe.h"

namespace probe {

std::string outcome(long result) {
  if (result >= 0) return "ok";
  const char* name = ::strerrorname_np(errno);
  return name ? name : std::to_string(errno);
}

std::string read_text(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return outcome(-1) + "\n";
  std::string out;
  char buffer[4096];
  while (true) {
    const ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count < 0) out += outcome(-1);
    if (count <= 0) break;
    out.append(buffer, static_cast<std::size_t>(count));
  }
  ::close(fd);
  return out;
}

namespace {

volatile sig_atomic_t caught = 0;

void describe_file(const std::string& path) {
  struct stat about {};
  if (::lstat(path.c_str(), &about) != 0) {
    std::printf("%s %s\n", path.c_str(), outcome(-1).c_str());
    return;
  }
  const char* type = S_ISDIR(about.st_mode)   ? "dir"
                     : S_ISREG(about.st_mode) ? "file"
                     : S_ISCHR(about.st_mode) ? "char"
                     : S_ISBLK(about.st_mode) ? "block"
                     : S_ISLNK(about.st_mode) ? "link"
                     : S_ISFIFO(about.st_mode) ? "fifo"
                                               : "other";
  std::printf("%s %s %04o %u:%u", path.c_str(), type, about.st_mode & 07777, about.st_uid, about.st_gid);
  if (S_ISCHR(about.st_mode) || S_ISBLK(about.st_mode)) std::printf(" %u,%u", major(about.st_rdev), minor(about.st_rdev));
  if (S_ISLNK(about.st_mode)) {
    char target[4096];
    const ssize_t length = ::readlink(path.c_str(), target, sizeof target);
    std::printf(" -> %.*s", static_cast<int>(length > 0 ? length : 0), target);
  }
  std::printf("\n");
}

std::string write_file(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return outcome(-1);
  const std::string result = outcome(::write(fd, text.data(), text.size()));
  ::close(fd);
  return result;
}

int signal_named(const std::string& name) {
  for (int number = 1; number < NSIG; ++number)
    if (const char* known = ::sigabbrev_np(number); known && name == known) return number;
  return SIGTERM;
}

/// Waits for a signal for ever; TERM ends with 0, another one with 128 + it.
[[noreturn]] void hold() {
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) {
    struct sigaction action {};
    action.sa_handler = [](int received) { caught = received; };
    ::sigaction(number, &action, nullptr);
  }
  std::printf("holding\n");
  std::fflush(stdout);
  sigset_t none;
  ::sigemptyset(&none);
  while (caught == 0) ::sigsuspend(&none);
  std::_Exit(caught == SIGTERM ? 0 : 128 + caught);
}

/// Sends every datagram back where it came from, for ever.
[[noreturn]] void echo_datagrams(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) std::_Exit(1);
  while (true) {
    char buffer[2048];
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const ssize_t count = ::recvfrom(fd, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (count >= 0)
      (void)::sendto(fd, buffer, static_cast<std::size_t>(count), 0, reinterpret_cast<const sockaddr*>(&from), size);
  }
}

/// One datagram to $NOTIFY_SOCKET: sd_notify(3).
std::string notify(const std::string& text) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (!path) return "no NOTIFY_SOCKET";
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  const std::string result =
      outcome(::sendto(fd, text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&address), sizeof address));
  ::close(fd);
  return result;
}

/// Runs one command; the exit code, or -1 to go on.
int run(const Words& words) {
  const std::string& verb = words[0];
  const auto argument = [&](std::size_t at) { return at < words.size() ? words[at] : std::string(); };
  if (verb == "report") report();
  else if (verb == "exit") return std::atoi(argument(1).c_str());
  else if (verb == "print") std::printf("%s\n", argument(1).c_str());
  else if (verb == "complain") std::fprintf(stderr, "%s\n", argument(1).c_str());
  else if (verb == "hold") hold();
  else if (verb == "eat") std::printf("ate %zu\n", std::string(static_cast<std::size_t>(std::atoi(argument(1).c_str())) << 20, 'x').size());
  else if (verb == "notify") std::printf("notify %s\n", notify(argument(1)).c_str());
  else if (verb == "udp-echo") echo_datagrams(static_cast<std::uint16_t>(std::atoi(argument(1).c_str())));
  else if (verb == "ignore") ::signal(signal_named(argument(1)), SIG_IGN);
  else if (verb == "environ") for (char** at = environ; *at; ++at) std::printf("%s\n", *at);
  else if (verb == "file") for (std::size_t at = 1; at < words.size(); ++at) describe_file(words[at]);
  else if (verb == "write") std::printf("write %s %s\n", argument(1).c_str(), write_file(argument(1), argument(2)).c_str());
  else if (verb == "read") {
    const std::string text = read_text(argument(1));
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  else if (verb == "mkdir") std::printf("mkdir %s\n", outcome(::mkdir(argument(1).c_str(), 0755)).c_str());
  else if (verb == "chown") std::printf("chown %s\n", outcome(::chown(argument(1).c_str(), static_cast<uid_t>(std::atoi(argument(2).c_str())), 0)).c_str());
  else if (verb == "mknod") std::printf("mknod %s\n", outcome(::mknod(argument(1).c_str(), S_IFCHR | 0600, makedev(static_cast<unsigned>(std::atoi(argument(2).c_str())), static_cast<unsigned>(std::atoi(argument(3).c_str()))))).c_str());
  else if (verb == "call") std::printf("%s %s\n", argument(1).c_str(), call(argument(1)).c_str());
  else if (verb == "orphan") { if (::fork() == 0) { if (::fork() == 0) { ::usleep(1000); std::_Exit(0); } std::_Exit(0); } }
  else { std::fprintf(stderr, "probe: unknown command %s\n", verb.c_str()); return 98; }
  std::fflush(stdout);
  return -1;
}

}  // namespace
}  // namespace probe

int main(int argc, char** argv) {
  struct stat about {};
  if (::stat("/inside-the-container", &about) != 0) {
    std::fprintf(stderr, "probe: not inside a test container\n");
    return 99;
  }
  probe::Words words(argv + 1, argv + argc);
  if (words.empty()) words = {"report"};
  if (words[0] != "do") return std::max(0, probe::run(words));
  probe::Words command;
  for (std::size_t at = 1; at <= words.size(); ++at) {
    if (at < words.size() && words[at] != ",") {
      command.push_back(words[at]);
      continue;
    }
    if (command.empty()) continue;
    if (const int code = probe::run(command); code >= 0) return code;
    command.clear();
  }
  return 0;
}
