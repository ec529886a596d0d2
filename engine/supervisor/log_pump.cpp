#include "engine/supervisor/log_pump.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>

#include "base/log.h"
#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/logs/writer.h"
#include "engine/supervisor/keeper_link.h"

namespace engine::supervisor {
namespace {

namespace asio = boost::asio;
using base::Fd;
using base::Result;
using base::UniqueFd;
using logs::Stream;

constexpr int pipe_bytes = 1 << 20;  ///< what /proc/sys/fs/pipe-max-size allows everybody
constexpr int pumps_per_turn = 8;    ///< then others get their turn
/// A stream that was readable less than `busy_gap` ago is left alone for a nap: reading a line at a time wakes us, and the writer, tens of
/// thousands of times a second and halves the throughput. The pipe holds what comes meanwhile; sparse output is never delayed.
constexpr auto busy_gap = std::chrono::milliseconds(3);
constexpr auto nap_time = std::chrono::milliseconds(1);
/// How long a new supervisor leaves the output of a container alone that somebody was attached to. They come within milliseconds, on a busy
/// machine within a second.
constexpr auto listener_grace = std::chrono::seconds(3);

/// Opens the FIFO at `path`, making it when missing. Mode 0666 inside a folder of mode 0700: a container's process of any user may
/// open /dev/stdout again (which follows its descriptor to this inode), nobody else gets here.
Result<UniqueFd> open_fifo(const std::filesystem::path& path) {
  if (::mkfifo(path.c_str(), 0666) == 0) (void)::chmod(path.c_str(), 0666);
  ASSIGN_OR_RETURN(auto fd, base::sys::open(path, O_RDWR | O_NONBLOCK));
  (void)::fcntl(fd.number(), F_SETPIPE_SZ, pipe_bytes);
  return fd;
}

/// A further, blocking, open of a FIFO we hold: its own file description, so O_NONBLOCK does not leak into the container.
Result<UniqueFd> container_end(const std::filesystem::path& path, int mode) {
  ASSIGN_OR_RETURN(auto fd, base::sys::open(path, mode | O_NONBLOCK));
  TRY(base::sys::wrap("fcntl", ::fcntl(fd.number(), F_SETFL, 0)));
  return fd;
}

class Pump final : public LogPump, public std::enable_shared_from_this<Pump> {
 public:
  Pump(asio::io_context& io, KeeperLink& keeper, Options options, logs::LogWriter writer)
      : keeper_(keeper), options_(std::move(options)), writer_(std::move(writer)), sources_{Source(io), Source(io)}, terminal_(io),
        retry_(io) {}

  Result<> begin() {
    if (::access(marker().c_str(), F_OK) == 0) {
      expecting_ = true;
      hold_for(listener_grace);
    }
    TRY(ensure_fifos());
    if (options_.tty)
      if (auto kept = keeper_.take(key("tty")); kept.valid()) return set_terminal(std::move(kept));
    return {};
  }

  Result<Ends> container_ends() override {
    TRY(ensure_fifos());
    Ends ends;
    if (options_.tty) return ends;
    ASSIGN_OR_RETURN(ends.output, container_end(folder() / "stdout", O_RDWR));
    ASSIGN_OR_RETURN(ends.error, container_end(folder() / "stderr", O_RDWR));
    // Read-only: when the last writer (we and the keeper) closes, the container sees the end of its input.
    if (input_.valid()) {
      ASSIGN_OR_RETURN(ends.input, container_end(folder() / "stdin", O_RDONLY));
    }
    return ends;
  }

  Result<> set_terminal(UniqueFd master) override {
    const int flags = ::fcntl(master.number(), F_GETFL);
    TRY(base::sys::wrap("fcntl", ::fcntl(master.number(), F_SETFL, flags | O_NONBLOCK)));
    TRY(keeper_.put(key("tty"), master.borrow()));
    terminal_.open(std::move(master));
    read_terminal();
    return {};
  }

  void drain() override {
    while (terminal_.valid() && relay() > 0) pump_all(Stream::out);
    pump_all(Stream::out);
    pump_all(Stream::err);
    if (auto done = writer_.finish(); !done) complain(done.error());
  }

  void close() override {
    for (const char* name : {"out", "err", "in", "tty"}) (void)!keeper_.drop(key(name)).has_value();
    terminal_.close();
    for (auto& source : sources_) source.close();
    input_.reset();
  }

  void attach(std::weak_ptr<Listener> listener) override {
    listeners_.push_back(std::move(listener));
    (void)!base::sys::write_file(marker(), "").has_value();
    if (std::exchange(expecting_, false)) resume();
  }

  [[nodiscard]] bool expects_listener() const override { return expecting_; }

  void end_listeners(std::optional<int> exit_code) override {
    (void)::unlink(marker().c_str());
    for (auto& weak : std::exchange(listeners_, {}))
      if (auto listener = weak.lock()) listener->ended(exit_code);
  }

  void resume() override {
    if (!held_ || expecting_ || !listeners_ready()) return;
    held_ = false;
    wait(Stream::out);
    wait(Stream::err);
    read_terminal();
  }

  bool input(std::string_view& bytes) override {
    const int to = terminal_.valid() ? terminal_.number() : input_.number();
    if (to < 0) return false;
    while (!bytes.empty()) {
      const ssize_t count = ::write(to, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return errno == EAGAIN;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }

  void close_input() override {
    if (terminal_.valid()) return;
    (void)!keeper_.drop(key("in")).has_value();
    input_.reset();
  }

  Result<> resize(unsigned rows, unsigned columns) override {
    if (!terminal_.valid()) return base::make_error(base::ErrorKind::invalid, "the container has no terminal");
    winsize size{};
    size.ws_row = static_cast<unsigned short>(rows);
    size.ws_col = static_cast<unsigned short>(columns);
    TRY(base::sys::wrap("ioctl(TIOCSWINSZ)", ::ioctl(terminal_.number(), TIOCSWINSZ, &size)));
    return {};
  }

 private:
  /// A descriptor we own that Asio watches.
  struct Source {
    explicit Source(asio::io_context& io) : watch(io), nap(io) {}
    void open(UniqueFd next) {
      close();
      fd = std::move(next);
      watch.assign(fd.number());
    }
    void close() {
      if (!fd.valid()) return;
      (void)watch.release();
      nap.cancel();
      fd.reset();
    }
    [[nodiscard]] bool valid() const { return fd.valid(); }
    [[nodiscard]] int number() const { return fd.number(); }
    UniqueFd fd;
    asio::posix::stream_descriptor watch;
    asio::steady_timer nap;
    std::chrono::steady_clock::time_point last_turn{};
    bool waiting = false;
  };

  [[nodiscard]] std::filesystem::path folder() const { return paths::container_run(options_.project, options_.id); }
  /// There while somebody is attached.
  [[nodiscard]] std::filesystem::path marker() const { return folder() / "attached"; }
  [[nodiscard]] std::string key(const char* what) const { return options_.id + "/" + what; }
  Source& source(Stream stream) { return sources_[stream == Stream::err ? 1 : 0]; }

  Result<> ensure_fifos() {
    for (const auto& [stream, file, name] : {std::tuple(Stream::out, "stdout", "out"), std::tuple(Stream::err, "stderr", "err")}) {
      if (source(stream).valid() || (options_.tty && stream == Stream::err)) continue;
      ASSIGN_OR_RETURN(auto fifo, open_fifo(folder() / file));
      TRY(keeper_.put(key(name), fifo.borrow()));
      source(stream).open(std::move(fifo));
      wait(stream);
    }
    if (options_.stdin_open && !options_.tty && !input_.valid()) {
      ASSIGN_OR_RETURN(input_, open_fifo(folder() / "stdin"));
      TRY(keeper_.put(key("in"), input_.borrow()));
    }
    return {};
  }

  void wait(Stream stream) {
    Source& from = source(stream);
    if (!from.valid() || from.waiting || held_) return;
    from.waiting = true;
    from.watch.async_wait(asio::posix::stream_descriptor::wait_read,
                          [self = shared_from_this(), stream](const boost::system::error_code& failed) {
                            self->source(stream).waiting = false;
                            if (!failed) self->readable(stream);
                          });
  }

  void readable(Stream stream) {
    for (int i = 0; i < pumps_per_turn && source(stream).valid(); ++i)
      if (!pump(stream)) break;
    Source& from = source(stream);
    const auto now = std::chrono::steady_clock::now();
    const bool busy = now - std::exchange(from.last_turn, now) < busy_gap;
    if (!busy || !from.valid() || from.waiting || held_) return wait(stream);
    from.waiting = true;
    from.nap.expires_after(nap_time);
    from.nap.async_wait([weak = weak_from_this(), stream](const boost::system::error_code&) {
      auto self = weak.lock();
      if (!self) return;
      self->source(stream).waiting = false;
      self->wait(stream);
    });
  }

  /// One batch. False: nothing was there, it failed, or a listener cannot take more.
  bool pump(Stream stream) {
    if (!source(stream).valid()) return false;
    const auto moved = writer_.pump(stream, source(stream).fd.borrow());
    if (!moved) {
      complain(moved.error());
      hold_for_a_while();
      return false;
    }
    if (moved->empty()) return false;
    for (auto& weak : listeners_)
      if (auto listener = weak.lock()) listener->output(stream, *moved);
    if (std::erase_if(listeners_, [](const auto& weak) { return weak.expired(); }) > 0 && listeners_.empty())
      (void)::unlink(marker().c_str());
    if (!listeners_ready()) held_ = true;
    return !held_;
  }

  void pump_all(Stream stream) {
    held_ = false;
    while (source(stream).valid()) {
      const auto moved = writer_.pump(stream, source(stream).fd.borrow());
      if (!moved) return complain(moved.error());
      if (moved->empty()) return;
      for (auto& weak : listeners_)
        if (auto listener = weak.lock()) listener->output(stream, *moved);
    }
  }

  [[nodiscard]] bool listeners_ready() const {
    return std::all_of(listeners_.begin(), listeners_.end(), [](const auto& weak) {
      const auto listener = weak.lock();
      return !listener || listener->ready();
    });
  }

  /// The disk is full, most likely: what was read is in the journal and is tried again; the container waits meanwhile.
  void hold_for_a_while() { hold_for(std::chrono::seconds(1)); }

  void hold_for(std::chrono::milliseconds time) {
    held_ = true;
    retry_.expires_after(time);
    retry_.async_wait([weak = weak_from_this()](const boost::system::error_code& failed) {
      auto self = weak.lock();
      if (!self || failed) return;
      self->expecting_ = false;
      self->resume();
    });
  }

  std::size_t relay() {
    auto moved = logs::LogWriter::relay(terminal_.fd.borrow(), source(Stream::out).fd.borrow());
    return moved ? *moved : 0;
  }

  void read_terminal() {
    if (!terminal_.valid() || terminal_.waiting || held_) return;
    terminal_.waiting = true;
    terminal_.watch.async_wait(asio::posix::stream_descriptor::wait_read,
                               [self = shared_from_this()](const boost::system::error_code& failed) {
                                 self->terminal_.waiting = false;
                                 if (failed || !self->terminal_.valid()) return;
                                 // EIO: nobody has the other side open (any more, or not yet): the end of the container tells which.
                                 if (self->relay() == 0) return self->look_again();
                                 self->readable(Stream::out);
                                 self->read_terminal();
                               });
  }

  void look_again() {
    retry_.expires_after(std::chrono::milliseconds(50));
    retry_.async_wait([weak = weak_from_this()](const boost::system::error_code& failed) {
      if (auto self = weak.lock(); self && !failed) self->read_terminal();
    });
  }

  void complain(const base::Error& error) {
    base::log::warning("logs", options_.id.substr(0, 12) + ": " + error.text() + "; trying again");
  }

  KeeperLink& keeper_;
  Options options_;
  logs::LogWriter writer_;
  std::array<Source, 2> sources_;
  Source terminal_;
  UniqueFd input_;
  asio::steady_timer retry_;
  std::vector<std::weak_ptr<Listener>> listeners_;
  bool held_ = false;
  bool expecting_ = false;
};

}  // namespace

Result<std::shared_ptr<LogPump>> LogPump::open(asio::io_context& io, KeeperLink& keeper, Options options) {
  const auto folder = paths::container_run(options.project, options.id);
  TRY(base::sys::make_directories(folder, 0700));
  TRY(base::sys::make_directories(paths::container(options.id), 0711));
  ASSIGN_OR_RETURN(auto writer, logs::LogWriter::open({.log = paths::container_log(options.id),
                                                       .journal = folder / "log.journal",
                                                       .settings = options.settings}));
  auto pump = std::make_shared<Pump>(io, keeper, std::move(options), std::move(writer));
  TRY(pump->begin());
  return std::shared_ptr<LogPump>(std::move(pump));
}

}  // namespace engine::supervisor
