#pragma once
// Inside of the room: the state while a plan is made. Phases append steps; steps only point backwards.
#include <unordered_map>

#include "compose/reconcile/reconcile.h"

namespace compose::reconcile {

using StepIndex = std::size_t;
using Steps = std::vector<StepIndex>;

/// A container of a service as the plan leaves it.
struct Slot {
  std::string name;
  int number = 0;
  const Found* found = nullptr;          ///< what is there now; nullptr = made anew
  std::optional<StepIndex> made = {};    ///< creates, recreates or reconnects it
  std::optional<StepIndex> started = {};
  std::string start_reason = {};         ///< "" = it runs and goes on
  bool replaced = false;
};

struct ServiceState {
  const Service* service = nullptr;
  std::vector<Slot> slots;
  bool replaced = false;                 ///< one of its containers is made anew or recreated
};

/// Services in an order in which every one comes after those it depends on; by name where that leaves a choice.
std::vector<const Service*> dependency_order(const Desired& desired);

class Planner {
 public:
  Planner(const Desired& desired, const Observed& observed, const Options& options);

  base::Result<> bring_up();             ///< up, create
  void start_all(bool only_existing);    ///< the start phase of up; all of start
  base::Result<> start_existing();       ///< start
  void stop_all();
  void kill_all();
  void restart_all();
  void pause_all(bool pause);
  void remove_stopped();
  void take_down();
  /// The one-off container of `run`, created once its dependencies are ready.
  base::Result<> create_one_off(const Service& one_off);

  Decision finish();

 private:
  // planner.cpp
  StepIndex add(engine::Action action, std::string reason, Steps after = {},
                engine::Hazard hazard = engine::Hazard::none);
  void note(std::string object, std::string name, std::string status);
  [[nodiscard]] bool named(const std::string& service) const;
  [[nodiscard]] std::vector<const Found*> found_of(const std::string& service) const;
  ServiceState& state_of(const Service& service);
  StepIndex stop(const Found& found, const std::string& reason, Steps after = {});
  StepIndex remove(const Found& found, const std::string& reason, Steps after, bool volumes);
  void remember_freed(const engine::ContainerSpec& spec, StepIndex step);
  Steps freed_ports(const engine::ContainerSpec& spec) const;
  base::Result<engine::ContainerSpec> replica(const Service& service, int number, const std::string& name) const;
  base::Result<std::string> provider_of(const std::string& service) const;

  // resources.cpp
  void handle_orphans();
  base::Result<> ensure_networks();
  void replace_network(const Network& network);
  base::Result<> ensure_volumes();
  void replace_volume(const Volume& volume);
  void reconnect_others();
  StepIndex reconnect(const Found& found, const std::vector<engine::NetworkAttachment>& attachments);
  Steps resources_of(const engine::ContainerSpec& spec) const;

  // up.cpp
  base::Result<> ensure_service(const Service& service);
  [[nodiscard]] std::string why_recreate(const Service& service, const Found& found) const;
  base::Result<> recreate(const Service& service, ServiceState& state, const Found& found, const std::string& why);
  void keep(const Service& service, ServiceState& state, const Found& found);
  base::Result<> create(const Service& service, ServiceState& state, int number);
  void stop_dependents(const Service& service, Steps& after);
  Steps wait_for(const Service& service, bool only_existing);
  Steps wait_for(const ServiceState& dependency, const Dependency& edge);
  void start(const Service& service, ServiceState& state, const Steps& ready);
  void wait_until_ready();

  // down.cpp
  void take_down_networks(const std::unordered_map<std::string, Steps>& gone);
  void take_down_volumes(const std::unordered_map<std::string, Steps>& gone);
  void take_down_images(const std::unordered_map<std::string, Steps>& gone);
  void down_container(const Found& found, const Steps& after, Steps& removed,
                      std::unordered_map<std::string, Steps>& gone);

  const Desired& desired_;
  const Observed& observed_;
  const Options& options_;
  Decision out_;
  std::vector<const Service*> order_;
  std::unordered_map<std::string, ServiceState> states_;
  std::unordered_map<std::string, std::vector<const Service*>> restarted_with_;  ///< service → dependents with restart: true
  std::unordered_map<std::string, StepIndex> network_ready_, volume_ready_;
  std::unordered_map<std::string, StepIndex> name_freed_, port_freed_;
  std::unordered_map<std::string, StepIndex> stopped_;        ///< container → step that stops it early
  std::unordered_map<std::string, std::string> stop_reason_;
  std::unordered_map<std::string, Steps> disconnected_;       ///< container → steps that take it off replaced networks
  std::set<std::string> replaced_networks_;
  std::set<std::string> removed_;                             ///< containers the plan removes
  std::set<std::string> processed_;                           ///< containers a service's plan dealt with
  std::map<std::string, Steps> waits_;                        ///< "name/condition/optional" → the wait step, or none when it holds
};

}  // namespace compose::reconcile
