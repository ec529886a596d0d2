// `up` without -d. Three things go on at once: the supervisor executes the plan (a thread waits for it), events tell what
// starts and ends (EventFeed), and this thread prints logs and watches the keyboard. Nothing here keeps a container running:
// kill this process and the stack runs on.
#include <poll.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <set>
#include <thread>

#include "base/sys.h"
#include "compose/cli/background_watch.h"
#include "compose/cli/execute.h"
#include "compose/cli/feed.h"
#include "compose/cli/globals.h"
#include "compose/cli/interrupts.h"
#include "compose/cli/log_lines.h"
#include "compose/cli/output.h"
#include "compose/cli/progress.h"
#include "compose/cli/up.h"
#include "compose/reconcile/labels.h"
#include "engine/api/paths.h"
#include "engine/client/client.h"
#include "engine/logs/reader.h"

namespace compose::cli {

using namespace engine;
using base::Result;

namespace {

/// Keys one by one, not echoed, Ctrl-C still a signal.
class KeyboardMode {
 public:
  KeyboardMode() {
    if (!is_terminal(STDIN_FILENO) || !is_terminal(STDOUT_FILENO) || ::tcgetattr(STDIN_FILENO, &saved_) != 0) return;
    termios raw = saved_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    active_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
  }
  ~KeyboardMode() {
    if (active_) ::tcsetattr(STDIN_FILENO, TCSANOW, &saved_);
  }
  KeyboardMode(const KeyboardMode&) = delete;
  KeyboardMode& operator=(const KeyboardMode&) = delete;
  [[nodiscard]] bool active() const { return active_; }

 private:
  termios saved_{};
  bool active_ = false;
};

/// A plan executed by a thread; done() is readable when it ended.
class Execution {
 public:
  Execution(std::string project, Plan plan, std::function<void(const Progress&)> on_progress)
      : project_(std::move(project)), plan_(std::move(plan)), on_progress_(std::move(on_progress)),
        done_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), cancel_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    thread_ = std::thread([this] { work(); });
  }
  ~Execution() {
    cancel();
    thread_.join();
  }
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  void cancel() { signal(cancel_); }
  [[nodiscard]] base::Fd done() const { return done_.borrow(); }
  [[nodiscard]] bool finished() const { return finished_; }
  /// Once finished.
  [[nodiscard]] const Plan& plan() const { return plan_; }
  [[nodiscard]] const Result<Outcome>& outcome() const { return *outcome_; }

 private:
  static void signal(const base::UniqueFd& fd) {
    const std::uint64_t one = 1;
    (void)!::write(fd.number(), &one, sizeof one);
  }
  void work() {
    client::ExecuteOptions options;
    options.on_progress = on_progress_;
    options.interrupt = cancel_.borrow();
    outcome_ = client::execute(project_, plan_, options);
    finished_ = true;
    signal(done_);
  }
  std::string project_;
  Plan plan_;
  std::function<void(const Progress&)> on_progress_;
  base::UniqueFd done_, cancel_;
  std::optional<Result<Outcome>> outcome_;
  std::atomic<bool> finished_ = false;
  std::thread thread_;
};

class Session {
 public:
  Session(const Prepared& prepared, const std::set<std::string>& named, const AttachedOptions& options)
      : prepared_(prepared), options_(options), project_(prepared.project.name), begin_(client::now()),
        logs_({.tail = std::nullopt, .since_ns = begin_, .until_ns = 0, .follow = true}),
        printer_({.prefix = !options.no_prefix, .colour = !options.no_colour && colour_on(STDOUT_FILENO), .timestamps = options.timestamps}),
        writer_(make_progress("Running")) {
    choose(named);
  }

  Result<int> run() {
    for (const auto& warning : prepared_.decision.warnings) warn(warning);
    for (const auto& note : prepared_.decision.notes) {
      if (note.status == "Running") writer_->change(to_change(note));
    }
    ASSIGN_OR_RETURN(interrupts_, Interrupts::make(100));
    ASSIGN_OR_RETURN(feed_, EventFeed::start(project_, begin_));
    announce();
    if (!prepared_.decision.plan.steps.empty()) {
      execution_ = std::make_unique<Execution>(project_, prepared_.decision.plan, [this](const Progress& progress) { on_progress(progress); });
    } else {
      TRY(begin_watch());
    }
    const KeyboardMode keyboard;
    while (!over()) TRY(step(keyboard.active()));
    if (watch_ && !interrupted_) say_watch("Watch disabled");
    watch_.reset();
    drain_logs();
    printer_.flush();
    return code();
  }

 private:
  struct Watched {
    std::string name, service;
    int source = 0;
    bool running = false, ended = false;
  };

  /// Which services' output is shown, and which containers keep the session alive.
  void choose(const std::set<std::string>& named) {
    for (const auto& [name, service] : prepared_.project.services) {
      bool wanted = service.attach;
      if (!options_.attach.empty()) {
        wanted = std::find(options_.attach.begin(), options_.attach.end(), name) != options_.attach.end();
      } else if (!named.empty() && !options_.attach_dependencies) {
        wanted = wanted && named.contains(name);
      }
      if (wanted && !options_.no_attach.contains(name)) attached_.insert(name);
    }
    for (const auto& target : prepared_.decision.targets) {
      if (!attached_.contains(target.service) && options_.exit_code_from != target.service) continue;
      Watched watched{.name = target.container, .service = target.service};
      if (attached_.contains(target.service)) watched.source = printer_.add(short_name(project_, target.container));
      watched_[target.container] = watched;
    }
    for (const auto& container : prepared_.observed.containers) {
      if (auto at = watched_.find(container.name()); at != watched_.end()) {
        at->second.running = container.info->state == ContainerState::running;
        if (at->second.running) add_log(at->second, container.info->id);
      }
    }
  }

  void announce() {
    std::string names;
    for (const auto& [container, watched] : watched_) {
      if (attached_.contains(watched.service)) names += (names.empty() ? "" : ", ") + short_name(project_, container);
    }
    out("Attaching to " + names + "\n");
  }

  /// Only the creating half is shown: what follows is for the logs to tell.
  void on_progress(const Progress& progress) {
    static constexpr std::string_view hidden[] = {"Starting", "Started", "Waiting", "Healthy", "Exited"};
    if (!stopping_ && std::find(std::begin(hidden), std::end(hidden), progress.status) != std::end(hidden)) return;
    writer_->change(to_change(progress));
  }

  void add_log(Watched& watched, const std::string& id) {
    if (!attached_.contains(watched.service)) return;
    // A container without a log (driver none) has nothing to show; it is watched all the same.
    (void)logs_.add(watched.source, paths::container_log(id)).has_value();
  }

  [[nodiscard]] bool any_running() const {
    return std::any_of(watched_.begin(), watched_.end(), [](const auto& entry) { return entry.second.running; });
  }

  [[nodiscard]] bool over() {
    if (detached_) return true;
    if (execution_ && !execution_->finished()) return false;
    if (!reported_ && execution_) return false;
    return !any_running() && !watch_works();
  }

  Result<> begin_watch() {
    if (!options_.watch || watch_ || stopping_) return {};
    ASSIGN_OR_RETURN(watch_, BackgroundWatch::start(project_, options_.watched));
    return {};
  }

  /// Containers that went because files changed come back. Those that have, by the time the watch rests again, run.
  [[nodiscard]] bool watch_works() {
    const bool worked = std::exchange(watch_worked_, watch_ && watch_->busy());
    if (watch_worked_ || !worked) return watch_worked_;
    for (auto& [name, watched] : watched_) {
      if (watched.running) continue;
      const auto info = client::container(name);
      watched.running = info && info->state == ContainerState::running;
    }
    return any_running();
  }

  void say_watch(const std::string& line) {
    drain_logs();
    const std::string mark = "        \u29bf ";
    out((!options_.no_colour && colour_on(STDOUT_FILENO) ? "\x1b[92m" + mark + "\x1b[0m" : mark) + line + "\n");
  }

  Result<> step(bool keyboard) {
    drain_logs();
    std::vector<pollfd> polls{{interrupts_->fd().number(), POLLIN, 0}, {feed_->fd().number(), POLLIN, 0}, {logs_.wait_fd().number(), POLLIN, 0},
                              {execution_ && !reported_ ? execution_->done().number() : -1, POLLIN, 0}, {keyboard ? STDIN_FILENO : -1, POLLIN, 0},
                              {watch_ && !watch_->ended() ? watch_->output().number() : -1, POLLIN, 0}};
    if (::poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) return base::errno_error(errno, "poll");
    if (polls[4].revents != 0) on_key();
    if (polls[0].revents != 0) on_wake();
    if (polls[1].revents != 0) {
      while (const auto event = feed_->take()) on_event(*event);
    }
    if (polls[3].revents != 0 && execution_->finished()) TRY(on_executed());
    if (polls[5].revents != 0) {
      for (const auto& line : watch_->lines()) say_watch(line);
    }
    return {};
  }

  void drain_logs() {
    logs::Line line;
    while (logs_.next(line) == logs::Next::line) printer_.print(line.source, line.time_ns, line.text);
    printer_.flush();
  }

  void on_key() {
    char key = 0;
    if (::read(STDIN_FILENO, &key, 1) == 1 && key == 'd') detached_ = true;
  }

  void on_wake() {
    for (auto wake = interrupts_->next(); wake != Wake::none; wake = interrupts_->next()) {
      if (wake == Wake::tick && execution_ && !execution_->finished()) writer_->tick();
      if (wake != Wake::interrupt && wake != Wake::terminate) continue;
      interrupted_ = true;
      if (!stopping_) {
        err("\nGracefully Stopping... press Ctrl+C again to force\n");
        begin_stop(reconcile::Verb::stop);
      } else {
        begin_stop(reconcile::Verb::kill);
      }
    }
  }

  void on_event(const Event& event) {
    const auto name = event.attributes.find("name");
    if (event.type != "container" || name == event.attributes.end()) return;
    const auto at = watched_.find(name->second);
    if (at == watched_.end()) return follow_new(event, name->second);
    Watched& watched = at->second;
    if (event.action == "start") {
      watched.running = true;
      watched.ended = false;
      add_log(watched, event.id);
    }
    if (event.action == "die") on_die(watched, event);
  }

  /// A container of an attached service made meanwhile (scale in another terminal): its output is shown too.
  void follow_new(const Event& event, const std::string& name) {
    if (event.action != "start") return;
    const auto service = event.attributes.find(std::string(reconcile::label::service));
    if (service == event.attributes.end() || !attached_.contains(service->second)) return;
    const auto one_off = event.attributes.find(std::string(reconcile::label::one_off));
    if (one_off != event.attributes.end() && one_off->second == "True") return;
    Watched watched{.name = name, .service = service->second, .source = printer_.add(short_name(project_, name)), .running = true};
    add_log(watched, event.id);
    watched_[name] = watched;
  }

  void on_die(Watched& watched, const Event& event) {
    drain_logs();
    const auto text = event.attributes.find("exitCode");
    const std::string code = text == event.attributes.end() ? "unknown" : text->second;
    const auto now = client::container(event.id);
    const bool again = now && now->state == ContainerState::restarting;
    if (attached_.contains(watched.service)) printer_.exited(watched.source, "exited with code " + code + (again ? " (restarting)" : ""));
    if (again) return;
    watched.running = false;
    watched.ended = true;
    const int number = std::atoi(code.c_str());
    const bool replaced = watch_ && watch_->busy();
    if (!replaced && watched.service == options_.exit_code_from && !chosen_code_) chosen_code_ = number;
    const bool abort = !replaced && (options_.abort_on_exit || (options_.abort_on_failure && number != 0));
    if (!replaced && options_.abort_on_failure && number != 0 && !failure_code_) failure_code_ = number;
    if (!abort || stopping_) return;
    err(options_.no_colour ? "Aborting on container exit...\n" : "\x1b[31m\x1b[1mAborting on container exit...\x1b[0m\n");
    begin_stop(reconcile::Verb::stop);
  }

  Result<> on_executed() {
    reported_ = true;
    std::uint64_t count = 0;
    (void)!::read(execution_->done().number(), &count, sizeof count);
    writer_->finish();
    const auto& outcome = execution_->outcome();
    if (!outcome) {
      err(outcome.error().text() + "\n");
      failed_ = true;
      detached_ = true;
      return {};
    }
    print_failures(*outcome, &execution_->plan());
    if (stopping_) {
      while (const auto event = feed_->take()) on_event(*event);
      for (auto& [name, watched] : watched_) watched.running = false;
    }
    if (outcome->errors.empty()) {
      expect_events();
      return begin_watch();
    }
    // Whatever did start stays; there is nothing to watch for a command that failed.
    failed_ = true;
    if (!stopping_) detached_ = true;
    return {};
  }

  /// The plan is done, its events may still be on their way: what was started counts as running until its end is told.
  void expect_events() {
    if (stopping_) return;
    for (const auto& step : prepared_.decision.plan.steps) {
      const auto* start = std::get_if<action::StartContainer>(&step.action);
      const auto at = start == nullptr ? watched_.end() : watched_.find(start->name);
      if (at != watched_.end() && !at->second.ended) at->second.running = true;
    }
  }

  /// Stops (or kills) the services of this session, whatever state the plan is in.
  void begin_stop(reconcile::Verb verb) {
    stopping_ = true;
    if (execution_) execution_->cancel();
    execution_.reset();
    auto snapshot = client::snapshot(project_);
    if (!snapshot) {
      err(snapshot.error().text() + "\n");
      detached_ = failed_ = true;
      return;
    }
    const auto observed = reconcile::observed(*std::move(snapshot), project_);
    reconcile::Options options;
    options.verb = verb;
    options.stop_timeout = options_.stop_timeout;
    auto decision = reconcile::reconcile(prepared_.desired, observed, options);
    if (!decision) {
      err(decision.error().text() + "\n");
      detached_ = failed_ = true;
      return;
    }
    writer_ = make_progress(verb == reconcile::Verb::kill ? "Killing" : "Stopping");
    reported_ = false;
    execution_ = std::make_unique<Execution>(project_, decision->plan, [this](const Progress& progress) { on_progress(progress); });
  }

  [[nodiscard]] int code() const {
    if (interrupted_) return 130;
    if (failed_) return 1;
    if (!options_.exit_code_from.empty()) return chosen_code_ ? *chosen_code_ : recorded_code();
    return failure_code_.value_or(0);
  }

  /// The service ended without our seeing it (it had ended before this `up`).
  [[nodiscard]] int recorded_code() const {
    for (const auto& [name, watched] : watched_) {
      if (watched.service != options_.exit_code_from) continue;
      if (const auto info = client::container(name); info && info->exit_code) return *info->exit_code;
    }
    return 0;
  }

  const Prepared& prepared_;
  const AttachedOptions& options_;
  std::string project_;
  WallNs begin_;
  logs::LogReader logs_;
  LogPrinter printer_;
  std::unique_ptr<ProgressWriter> writer_;
  std::set<std::string> attached_;
  std::map<std::string, Watched> watched_;
  std::optional<Interrupts> interrupts_;
  std::unique_ptr<EventFeed> feed_;
  std::unique_ptr<Execution> execution_;
  std::unique_ptr<BackgroundWatch> watch_;
  std::optional<int> chosen_code_, failure_code_;
  std::atomic<bool> stopping_ = false;
  bool reported_ = false, detached_ = false, interrupted_ = false, failed_ = false, watch_worked_ = false;
};

}  // namespace

Result<int> run_attached(const Prepared& prepared, const std::set<std::string>& named, const AttachedOptions& options) {
  Session session(prepared, named, options);
  return session.run();
}

}  // namespace compose::cli
