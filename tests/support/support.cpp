#include "tests/support/support.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <thread>

#include "base/sys.h"

namespace support {

bool skips_are_failures() {
  const char* set = std::getenv("COMPOSE_REQUIRE_NS");
  return set && std::string_view(set) == "1";
}

TempDir::TempDir() {
  auto pattern = (std::filesystem::temp_directory_path() / "compose-test-XXXXXX").string();
  if (!::mkdtemp(pattern.data())) std::abort();
  path_ = pattern;
}

TempDir::~TempDir() { (void)!base::sys::remove_tree(path_).has_value(); }

std::filesystem::path TempDir::write(const std::filesystem::path& relative,
                                     std::string_view text) const {
  const auto full = path_ / relative;
  if (!base::sys::make_directories(full.parent_path()) || !base::sys::write_file(full, text))
    std::abort();
  return full;
}

bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds limit) {
  const char* patience = std::getenv("COMPOSE_TEST_PATIENCE");  // emulated machines need more
  const auto deadline = std::chrono::steady_clock::now() + limit * (patience ? std::max(1, std::atoi(patience)) : 1);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

base::Result<std::string> in_namespaces(int flags, const std::function<std::string()>& body) {
  ASSIGN_OR_RETURN(auto ends, base::sys::pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return base::errno_error(errno, "fork");
  if (pid == 0) {
    if (::unshare(flags) != 0) ::_exit(100 + (errno % 100));
    if (flags & CLONE_NEWNS) (void)::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    const std::string text = body();
    const bool written = base::sys::write_all(ends.second.borrow(), text).has_value();
    ::_exit(written ? 0 : 1);
  }
  ends.second.reset();
  std::string out;
  std::array<char, 4096> buffer;
  while (true) {
    auto count = base::sys::read(ends.first.borrow(), buffer);
    if (!count || *count == 0) break;
    out.append(buffer.data(), *count);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) >= 100)
    return base::errno_error(WEXITSTATUS(status) - 100, "unshare");
  if (status != 0)
    return base::make_error(base::ErrorKind::internal, "child ended with status " + std::to_string(status));
  return out;
}

namespace {
void add_lines_naming_us(const std::string& text, std::string_view kind, std::string& out) {
  std::size_t start = 0;
  while (start < text.size()) {
    std::size_t end = text.find('\n', start);
    if (end == std::string::npos) end = text.size();
    const std::string line = text.substr(start, end - start);
    if (line.find("compose") != std::string::npos || line.find("cps-") != std::string::npos)
      out += std::string(kind) + " " + line + "\n";
    start = end + 1;
  }
}
}  // namespace

std::string kernel_leftovers() {
  std::string out;
  if (auto mounts = base::sys::read_file("/proc/self/mounts")) add_lines_naming_us(*mounts, "mount", out);
  if (auto links = base::sys::read_file("/proc/self/net/dev")) add_lines_naming_us(*links, "link", out);
  std::error_code ignored;
  for (auto it = std::filesystem::recursive_directory_iterator("/sys/fs/cgroup", ignored);
       it != std::filesystem::recursive_directory_iterator(); it.increment(ignored))
    if (it->is_directory(ignored) && it->path().filename().string().starts_with("compose"))
      out += "cgroup " + it->path().string() + "\n";
  return out;
}

}  // namespace support
