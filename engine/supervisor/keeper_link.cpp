#include "engine/supervisor/keeper_link.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "base/sys.h"

namespace engine::supervisor {
namespace {

using base::Result;

/// "exit PID STATUS"
std::optional<ReportedExit> parse_exit(std::string_view text) {
  if (!text.starts_with("exit ")) return std::nullopt;
  ReportedExit exit;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data() + 5, end, exit.pid);
  if (first.ec != std::errc() || first.ptr == end) return std::nullopt;
  if (std::from_chars(first.ptr + 1, end, exit.wait_status).ec != std::errc()) return std::nullopt;
  return exit;
}

}  // namespace

Result<KeeperLink> KeeperLink::open(base::UniqueFd socket) {
  KeeperLink link;
  link.socket_ = std::move(socket);
  while (true) {
    ASSIGN_OR_RETURN(auto message, base::sys::recv_fds(link.socket_.borrow()));
    if (message.bytes.empty()) return base::make_error(base::ErrorKind::unavailable, "the keeper is gone");
    if (message.bytes == "ready") return link;
    if (message.bytes.starts_with("fd ") && message.fds.size() == 1) {
      const std::string name = message.bytes.substr(3);
      link.stored_[name] = std::move(message.fds.front());
      link.untaken_[name] = true;
    } else if (const auto exit = parse_exit(message.bytes)) {
      link.early_.push_back(*exit);
    }
  }
}

base::UniqueFd KeeperLink::take(const std::string& name) {
  const auto found = stored_.find(name);
  if (found == stored_.end() || untaken_.erase(name) == 0) return {};
  auto copy = base::sys::dup(found->second.borrow());
  return copy ? *std::move(copy) : base::UniqueFd();
}

std::vector<std::string> KeeperLink::names() const {
  std::vector<std::string> out;
  for (const auto& [name, ignored] : untaken_) out.push_back(name);
  return out;
}

Result<> KeeperLink::put(const std::string& name, base::Fd fd) {
  ASSIGN_OR_RETURN(auto copy, base::sys::dup(fd));
  stored_[name] = std::move(copy);
  untaken_.erase(name);
  return send("put " + name, fd);
}

Result<> KeeperLink::drop(const std::string& name) {
  untaken_.erase(name);
  if (stored_.erase(name) == 0) return {};
  return send("drop " + name);
}

Result<> KeeperLink::acknowledge(pid_t pid) { return send("ack " + std::to_string(pid)); }

Result<> KeeperLink::send(const std::string& text, base::Fd fd) {
  if (!socket_.valid()) return {};
  const int number = fd.number();
  return base::sys::send_fds(socket_.borrow(), text, std::span(&number, fd.valid() ? 1u : 0u));
}

Result<std::vector<ReportedExit>> KeeperLink::exits() {
  std::vector<ReportedExit> out = std::exchange(early_, {});
  while (socket_.valid()) {
    auto message = base::sys::recv_fds(socket_.borrow(), 4096, MSG_DONTWAIT);
    if (!message && message.error().number == EAGAIN) break;
    if (!message || message->bytes.empty()) {
      socket_.reset();
      if (!out.empty()) break;
      return base::make_error(base::ErrorKind::unavailable, "the keeper is gone");
    }
    if (const auto exit = parse_exit(message->bytes)) out.push_back(*exit);
  }
  return out;
}

base::Error become_keeper(const std::string& project, const KeeperLink& link, base::UniqueFd lock) {
  // The attribute survives execve; set first, so that no grandchild slips through in between. prctl(2)
  (void)::prctl(PR_SET_CHILD_SUBREAPER, 1);
  // What a library opened (Asio's accept() does not say SOCK_CLOEXEC) would live on in the keeper: clients would wait for ever on
  // connections that nobody serves.
  (void)::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  const auto inherit = [](int fd) { (void)::fcntl(fd, F_SETFD, 0); };
  std::vector<std::string> words{"compose-engine", "keeper", "--adopt", "--project", project,
                                 "--lock-fd", std::to_string(lock.number())};
  inherit(lock.number());
  for (const auto& [name, fd] : link.stored()) {
    inherit(fd.number());
    words.push_back("--fd");
    words.push_back(name + "=" + std::to_string(fd.number()));
  }
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv("/proc/self/exe", argv.data());
  const int number = errno;
  return base::errno_error(number, "becoming the keeper");
}

}  // namespace engine::supervisor
