#pragma once
// Drives the pure state machine of the healthcheck room with timers and probes. Only .cpp files of this room include it.
#include <memory>

#include "engine/supervisor/project.h"
#include "healthcheck/health.h"

namespace engine::supervisor {

class HealthMonitor : public std::enable_shared_from_this<HealthMonitor> {
 public:
  HealthMonitor(Project& project, const ContainerPtr& container, healthcheck::Spec spec);

  void started();
  /// Taken over from a killed supervisor: goes on from what the store has.
  void adopted();
  void paused();
  void resumed();
  void stopped();

 private:
  void feed(const healthcheck::Event& event);
  void obey(const healthcheck::Command& command);
  Task<> probe(unsigned number);
  void record(HealthProbe probe, unsigned number);

  Project& project_;
  std::weak_ptr<Container> container_;
  healthcheck::Spec spec_;
  healthcheck::State state_;
  asio::steady_timer timer_;
  base::ChildProcess* running_ = nullptr;  ///< the probe's process while probe() waits for it
  bool kill_at_once_ = false;              ///< it was to be killed before it was spawned
  int failures_ = 0;                       ///< in a row, from the log, for adoption
};

}  // namespace engine::supervisor
