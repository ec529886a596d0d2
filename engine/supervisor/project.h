#pragma once
// The containers of one project and all that happens to them. Lives on one thread; what blocks goes through the Backend to the workers.
// Only .cpp files of this room include this header (it brings Boost.Asio).
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/api/outcome.h"
#include "engine/api/plan.h"
#include "engine/supervisor/async.h"
#include "engine/supervisor/backend.h"
#include "engine/supervisor/events.h"
#include "engine/supervisor/keeper_link.h"
#include "engine/supervisor/log_pump.h"

namespace engine::supervisor {

class HealthMonitor;
class PlanRun;

/// One container as this supervisor sees it. `record` is what the store has.
struct Container {
  Container(asio::io_context& io, store::ContainerRecord row, ContainerSpec specification)
      : record(std::move(row)), spec(std::move(specification)), changed(io) {}

  store::ContainerRecord record;
  ContainerSpec spec;
  Traits traits;
  base::UniqueFd pidfd;              ///< valid while its process runs
  bool ending = false;               ///< the process is gone, its things are being released
  bool busy = false;                 ///< an action has it (Project::hold)
  bool rebooted = false;             ///< its last life ended with the machine's
  bool gone = false;                 ///< removed: a waiter's pointer may be the last
  unsigned life = 0;                 ///< counts starts and stops: what was planned for an earlier life is void
  std::optional<base::ExitStatus> reported;  ///< the keeper reaped it and told
  Clock::time_point up_since{};
  Nanoseconds restart_delay{0};
  std::shared_ptr<LogPump> logs;
  std::shared_ptr<HealthMonitor> health;
  Notifier changed;                  ///< anything above, or record.run

  [[nodiscard]] bool runs() const { return pidfd.valid() && !ending; }
};
using ContainerPtr = std::shared_ptr<Container>;

/// Whether a client asked to stop executing a plan.
struct Cancel {
  bool requested = false;
};

using OnProgress = std::function<void(const Progress&)>;

class Project {
 public:
  Project(asio::io_context& io, asio::thread_pool& workers, std::string name, Backend& backend, store::Store store, KeeperLink keeper);
  Project(const Project&) = delete;
  Project& operator=(const Project&) = delete;

  /// Takes over what the store, the keeper and the kernel say: called once, before anything else. Errors: of the store only; containers that
  /// cannot be taken over are recorded as ended.
  Result<> adopt();
  /// Carries out a plan; every failure is in the outcome.
  Task<Outcome> execute(Plan plan, OnProgress on_progress, std::shared_ptr<Cancel> cancel);
  void cancel(Cancel& cancel);
  /// Until it neither runs nor will be restarted. Absent = unknown. Errors: not_found, cancelled.
  Task<Result<std::optional<int>>> wait_end(std::string name, std::shared_ptr<Cancel> cancel);
  /// Error not_found.
  Result<ContainerPtr> find(const std::string& name) const;
  /// Makes the log pump if there is none yet (attached before the start).
  Result<> open_logs(Container& container);

  /// The keeper told of exits, or is gone (Error unavailable).
  Result<> keeper_news();
  [[nodiscard]] KeeperLink& keeper() { return keeper_; }
  [[nodiscard]] store::Store& store() { return store_; }
  [[nodiscard]] const std::string& name() const { return name_; }

  /// Nothing runs, restarts or is being done: the supervisor may end.
  [[nodiscard]] bool idle() const;
  [[nodiscard]] bool empty() const { return containers_.empty(); }
  /// Called whenever idle() may have become true.
  std::function<void()> on_quiet;

 private:
  friend class HealthMonitor;
  friend class PlanRun;

  /// Exclusive right to act on a container, for as long as it lives.
  class Hold {
   public:
    Hold(Project& project, ContainerPtr container) : project_(&project), container_(std::move(container)) {}
    Hold(Hold&& other) noexcept = default;
    Hold& operator=(Hold&&) = delete;
    Hold(const Hold&) = delete;
    ~Hold();
   private:
    Project* project_;
    ContainerPtr container_;
  };
  Task<Hold> hold(ContainerPtr container);

  // Actions (actions.cpp, stop.cpp). Each takes the container's hold itself.
  Task<Result<>> create(ContainerSpec spec);
  Task<Result<>> recreate(action::RecreateContainer action);
  Task<> unmake(store::ContainerRecord record, ContainerSpec spec, std::string kept_volumes_json);
  Task<Result<>> start(std::string name);
  Task<Result<>> start_held(ContainerPtr container);
  Task<Result<>> stop(std::string name, std::optional<Nanoseconds> timeout);
  Task<Result<>> stop_held(ContainerPtr container, std::optional<Nanoseconds> timeout);
  Task<Result<>> kill(std::string name, std::string signal, bool again);
  Task<Result<>> pause(std::string name, bool paused);
  Task<Result<>> remove(action::RemoveContainer action);
  Task<Result<>> remove_held(ContainerPtr container, bool volumes);
  Task<Result<>> wait(action::WaitContainer action, std::shared_ptr<Cancel> cancel, std::string& word);
  Task<Result<>> connect(action::ConnectNetwork action);
  Task<Result<>> disconnect(action::DisconnectNetwork action);
  Task<Result<>> run_hook(ContainerPtr container, Hook hook);
  Task<> thaw(ContainerPtr container);
  Task<> signal_deaf(ContainerPtr container, int signal);

  // Life and death (lifecycle.cpp).
  void watch(const ContainerPtr& container);
  Task<> watch_process(ContainerPtr container, base::UniqueFd pidfd);
  Task<std::optional<base::ExitStatus>> learn_exit(ContainerPtr container, base::Fd pidfd);
  Task<> ended(ContainerPtr container, std::optional<base::ExitStatus> status);
  Task<> restart_later(ContainerPtr container, unsigned life, Nanoseconds delay);
  void plan_restart(const ContainerPtr& container, Nanoseconds ran);
  Task<> adopt_one(ContainerPtr container);
  Task<> take_over(ContainerPtr container);
  Task<> finish_removals(ContainerPtr container);
  /// Takes its interfaces away, together with those of whatever else ends about now.
  Task<> cut_links(ContainerPtr container);

  void save(Container& container);
  void announce(Container& container, std::string action, std::map<std::string, std::string> more = {});
  void forget(const ContainerPtr& container);
  void quiet();
  /// Gives memory back once no plan has been under way for a moment.
  void rest_soon();

  template <class Work>
  auto on_worker(Work work) { return blocking(io_, workers_, std::move(work)); }

  asio::io_context& io_;
  asio::thread_pool& workers_;
  std::string name_;
  Backend& backend_;
  store::Store store_;
  KeeperLink keeper_;
  EventLog events_;
  std::map<std::string, ContainerPtr> containers_;  ///< by name
  std::vector<ReportedExit> unclaimed_;              ///< reported while records were being taken over
  std::vector<std::weak_ptr<PlanRun>> runs_;
  /// Containers whose interfaces go next, and whether a round is under way (cut_links).
  struct Cutting {
    explicit Cutting(asio::io_context& io) : done(io) {}
    std::vector<std::pair<ContainerPtr, bool*>> waiting;
    bool busy = false;
    Notifier done;
  };
  Cutting cutting_{io_};
  asio::steady_timer resting_{io_};
  int plans_ = 0;
  int adopting_ = 0;
};

}  // namespace engine::supervisor
