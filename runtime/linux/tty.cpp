#include "runtime/linux/tty.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include "base/sys.h"
#include "runtime/linux/kernel.h"
#include "runtime/linux/rootfs.h"

namespace runtime {

using base::Fd;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

Result<Terminal> open_terminal(Fd root, const std::optional<spec::ConsoleSize>& size) {
  Terminal out;
  auto master = kernel::open_in_root(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY);
  if (!master) return std::move(master).with("process.terminal: /dev/pts/ptmx").error();
  out.master = *std::move(master);
  struct statfs file_system {};
  struct stat about {};
  if (::fstatfs(out.master.number(), &file_system) != 0 || ::fstat(out.master.number(), &about) != 0)
    return base::errno_error(errno, "process.terminal");
  if (file_system.f_type != DEVPTS_SUPER_MAGIC || !S_ISCHR(about.st_mode) || about.st_rdev != makedev(5, 2))
    return base::make_error(base::ErrorKind::permission, "process.terminal: /dev/pts/ptmx is not a terminal multiplexer");
  const int unlocked = 0;
  TRY(sys::wrap("process.terminal: unlock", ::ioctl(out.master.number(), TIOCSPTLCK, &unlocked)));
  ASSIGN_OR_RETURN(const long slave, sys::wrap("process.terminal: open slave",
                                               ::ioctl(out.master.number(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)));
  out.slave = UniqueFd(static_cast<int>(slave));
  if (size) {
    winsize window{};
    window.ws_row = size->height;
    window.ws_col = size->width;
    TRY(sys::wrap("process.consoleSize", ::ioctl(out.master.number(), TIOCSWINSZ, &window)));
  }
  return out;
}

Result<> bind_console(Fd root, Fd slave) {
  ASSIGN_OR_RETURN(const auto tree, kernel::open_tree(slave, "", OPEN_TREE_CLONE | AT_EMPTY_PATH));
  ASSIGN_OR_RETURN(const auto target, open_target(root, "/dev/console", {.kind = TargetKind::file, .nofollow = true}));
  return kernel::move_mount(tree.borrow(), target.borrow()).with("/dev/console");
}

Result<> take_terminal(Fd slave, std::uint32_t uid) {
  if (::fchown(slave.number(), uid, static_cast<gid_t>(-1)) != 0 && errno != EPERM && errno != EINVAL)
    return base::errno_error(errno, "process.terminal: chown");
  TRY(sys::wrap("process.terminal: controlling terminal", ::ioctl(slave.number(), TIOCSCTTY, 0)));
  for (int number = 0; number < 3; ++number) TRY(sys::wrap("dup2", ::dup2(slave.number(), number)));
  return {};
}

Result<> send_terminal(Fd socket, Fd master) {
  const int fds[] = {master.number()};
  return sys::send_fds(socket, "/dev/ptmx", fds);
}

void keep_lines_plain(Fd master) {
  termios settings{};
  if (::isatty(1) != 0 || ::tcgetattr(master.number(), &settings) != 0) return;
  settings.c_oflag &= ~static_cast<tcflag_t>(ONLCR);
  (void)::tcsetattr(master.number(), TCSANOW, &settings);
}

struct TerminalRelay::Saved {
  termios settings{};
};

TerminalRelay::TerminalRelay(UniqueFd master) : master_(std::move(master)), saved_(new Saved) {
  if (::tcgetattr(0, &saved_->settings) == 0) {
    termios raw = saved_->settings;
    ::cfmakeraw(&raw);
    raw_ = ::tcsetattr(0, TCSANOW, &raw) == 0;
  }
  resize();
}

TerminalRelay::~TerminalRelay() {
  if (raw_) (void)::tcsetattr(0, TCSANOW, &saved_->settings);
  delete saved_;
}

void TerminalRelay::resize() const {
  winsize window{};
  if (::ioctl(0, TIOCGWINSZ, &window) == 0 || ::ioctl(1, TIOCGWINSZ, &window) == 0)
    (void)::ioctl(master_.number(), TIOCSWINSZ, &window);
}

void TerminalRelay::on_input() {
  std::array<char, 8192> buffer;
  const auto count = sys::read(Fd(0), buffer);
  if (!count || *count == 0) {
    reads_input_ = false;
    const char end_of_file = 4;  // ^D: what a person would type at the end
    if (count) (void)!sys::write_all(master_.borrow(), std::string_view(&end_of_file, 1)).has_value();
    return;
  }
  (void)!sys::write_all(master_.borrow(), std::string_view(buffer.data(), *count)).has_value();
}

bool TerminalRelay::on_output() {
  std::array<char, 8192> buffer;
  const auto count = sys::read(master_.borrow(), buffer);
  if (!count || *count == 0) return false;  // EIO: the last slave was closed
  (void)!sys::write_all(Fd(1), std::string_view(buffer.data(), *count)).has_value();
  return true;
}

}  // namespace runtime
