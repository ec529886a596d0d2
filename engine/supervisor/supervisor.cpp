#include "engine/supervisor/supervisor.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/log.h"
#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/supervisor/api_server.h"
#include "engine/supervisor/keeper.h"
#include "engine/supervisor/lock_file.h"
#include "engine/supervisor/project.h"
#include "engine/supervisor/real_backend.h"

namespace engine::supervisor {
namespace {

using namespace std::chrono_literals;

/// How long a supervisor without anything to watch stays for the next command of the same person.
constexpr auto linger = 300ms;

/// A start spends half of its time waiting: for the runtime, for the kernel's lock on links. Two a core keep a machine busy.
unsigned worker_count() { return std::clamp(2 * std::thread::hardware_concurrency(), 2U, 8U); }

class Main {
 public:
  explicit Main(SupervisorOptions options)
      : options_(std::move(options)), ready_(options_.ready_fd), workers_(worker_count()), linger_(io_), keeper_retry_(io_), link_(io_) {}

  Result<int> run() {
    TRY(start());
    (void)!base::sys::write_all(ready_.borrow(), "ok\n").has_value();
    ready_.reset();
    const auto guard = asio::make_work_guard(io_);
    watch_keeper();
    quiet();
    io_.run();
    return exit_again;
  }

  /// Tells who waits for us why they wait in vain; nothing when another supervisor serves the project.
  void report(const base::Error& error) {
    if (error.kind == base::ErrorKind::unavailable) return;
    if (ready_.valid()) (void)!base::sys::write_all(ready_.borrow(), error.text() + "\n").has_value();
  }

 private:
  Result<> start() {
    ASSIGN_OR_RETURN(lock_, take_lock(paths::project_run(options_.project) / "lock"));
    KeeperLink keeper;
    if (options_.link_fd >= 0) {
      ASSIGN_OR_RETURN(keeper, KeeperLink::open(base::UniqueFd(options_.link_fd)));
    }
    ASSIGN_OR_RETURN(auto store, store::Store::open());
    ASSIGN_OR_RETURN(backend_, open_backend(io_, options_.project));
    project_ = std::make_unique<Project>(io_, workers_, options_.project, *backend_, std::move(store), std::move(keeper));
    project_->on_quiet = [this] { quiet(); };
    TRY(project_->adopt());
    ASSIGN_OR_RETURN(api_, ApiServer::open(io_, *project_));
    return {};
  }

  void watch_keeper() {
    auto& keeper = project_->keeper();
    if (!keeper.connected()) return;
    if (!link_.is_open()) link_.assign(::dup(keeper.socket().number()));
    link_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& failed) {
      if (failed) return;
      if (auto news = project_->keeper_news(); !news || !project_->keeper().connected()) {
        link_.close();
        return succeed_keeper();
      }
      watch_keeper();
    });
  }

  /// The keeper is dead. We have its descriptors and most of the children, so we take its place and start another supervisor.
  /// While another keeper (started by a command that met us dead) holds the lock, we carry on without: it gives up soon.
  void succeed_keeper() {
    auto lock = take_lock(paths::project_run(options_.project) / "keeper.lock");
    if (lock) {
      const auto failed = become_keeper(options_.project, project_->keeper(), *std::move(lock));
      base::log::error("supervisor", failed.text());
    }
    keeper_retry_.expires_after(50ms);
    keeper_retry_.async_wait([this](const boost::system::error_code& failed) {
      if (!failed) succeed_keeper();
    });
  }

  void quiet() {
    if (upgrade_requested()) ::_exit(exit_again);
    // Whoever only looks whether we are there does not keep us: the time runs from the first quiet moment on.
    if (armed_ && !project_->empty()) return;
    armed_ = true;
    linger_.expires_after(project_->empty() ? 5ms : linger);
    linger_.async_wait([this](const boost::system::error_code& failed) {
      if (failed) return;
      armed_ = false;
      if (!project_->idle()) return;
      if (api_->clients() == 0) leave();
      quiet();
    });
  }

  /// The one way to end. Everything is in the store already; this only makes room.
  void leave() {
    api_->close();
    const bool empty = project_->empty();
    if (auto closed = backend_->close(empty); !closed) base::log::warning("supervisor", closed.error().text());
    if (empty) (void)!base::sys::remove_tree(paths::project_run(options_.project)).has_value();
    lock_.reset();  // the next supervisor need not wait for the disk
    if (auto tidied = project_->store().tidy(); !tidied) base::log::warning("supervisor", tidied.error().text());
    ::_exit(exit_done);
  }

  SupervisorOptions options_;
  base::UniqueFd ready_, lock_;
  asio::io_context io_{1};
  asio::thread_pool workers_;
  asio::steady_timer linger_, keeper_retry_;
  asio::posix::stream_descriptor link_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Project> project_;
  std::unique_ptr<ApiServer> api_;
  bool armed_ = false;  ///< linger_ runs
};

/// Makes the descriptor table large at once. A process with threads pays for every doubling of it with a wait for all readers
/// (expand_files() → synchronize_rcu(), 10-20 ms), and whoever opens something meanwhile waits too. 500 containers fit.
void reserve_descriptors() {
  constexpr int enough = 4096;
  const base::UniqueFd source(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (source.valid()) base::UniqueFd(::fcntl(source.number(), F_DUPFD_CLOEXEC, enough - 1)).reset();
}

}  // namespace

int supervise(const SupervisorOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);
  // Threads of ours allocate little: one arena keeps the memory of a project small.
  (void)::mallopt(M_ARENA_MAX, 1);
  (void)::mallopt(M_TRIM_THRESHOLD, 256 * 1024);
  reserve_descriptors();
  Main main(options);
  auto done = main.run();
  if (done) return *done;
  main.report(done.error());
  base::log::error("supervisor", options.project + ": " + done.error().text());
  return done.error().kind == base::ErrorKind::unavailable ? exit_not_mine : 1;
}

}  // namespace engine::supervisor
