#pragma once
// A plan: what compose/reconcile decides and the supervisor's executor carries out without deciding anything.
#include <cstddef>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/api/types.h"

namespace engine {

namespace action {
struct CreateNetwork { NetworkSpec spec; };
struct RemoveNetwork { std::string name; };
struct CreateVolume { VolumeSpec spec; };
struct RemoveVolume { std::string name; };
struct CreateContainer { ContainerSpec spec; };
/// Replaces container `old_id`: the new one is recorded, keeps the old one's anonymous volumes (by target), the old one
/// is stopped and removed. Crash-safe: at any moment either the old or the new one owns the name. Does not start it.
struct RecreateContainer {
  ContainerSpec spec;
  std::string old_id;
  std::optional<Nanoseconds> timeout;
  bool renew_volumes = false;       ///< do not keep the old one's anonymous volumes; they go with it (up -V)
};
struct StartContainer { std::string name; };
struct StopContainer { std::string name; std::optional<Nanoseconds> timeout; };  ///< absent: the container's stop_grace
struct RestartContainer { std::string name; std::optional<Nanoseconds> timeout; };
struct KillContainer { std::string name, signal; };
struct PauseContainer { std::string name; };
struct UnpauseContainer { std::string name; };
struct RemoveContainer { std::string name; bool volumes = false; bool force = false; };  ///< volumes: its anonymous ones
/// Done when the condition holds; fails when it no longer can (unhealthy, exited, non-zero exit).
struct WaitContainer {
  enum class Condition : std::uint8_t { started, healthy, completed, healthy_or_running };
  std::string name;
  Condition condition = Condition::healthy;
  std::optional<Nanoseconds> timeout;
};
struct ConnectNetwork { std::string container; NetworkAttachment attachment; };
struct DisconnectNetwork { std::string container, network; };
/// Image by reference; not an error when in use by another container or already gone.
struct RemoveImage { std::string reference; };
}  // namespace action

using Action = std::variant<action::CreateNetwork, action::RemoveNetwork, action::CreateVolume, action::RemoveVolume,
                            action::CreateContainer, action::RecreateContainer, action::StartContainer,
                            action::StopContainer, action::RestartContainer, action::KillContainer,
                            action::PauseContainer, action::UnpauseContainer, action::RemoveContainer,
                            action::WaitContainer, action::ConnectNetwork, action::DisconnectNetwork,
                            action::RemoveImage>;

enum class Hazard : std::uint8_t { none, downtime, data_loss };

struct Step {
  Action action;
  std::string reason;
  Hazard hazard = Hazard::none;
  std::vector<std::size_t> after;   ///< indexes of earlier steps; released by their success only
  bool optional = false;            ///< failure is a warning and releases dependents (depends_on required: false)
};

struct Plan {
  std::vector<Step> steps;
  std::string generation_json;      ///< stored as a new generation when every step succeeded; "" = none
  bool again = false;               ///< told before, to a supervisor that died over it: what is done already counts as done
};

/// What the executor reports while it works: "Container demo-web-1 Started".
struct Progress {
  std::string object;               ///< Container | Network | Volume | Image
  std::string name;
  std::string status;               ///< Docker Compose's words: Creating Created Starting Started Waiting Healthy Exited Error Recreate Recreated Stopping Stopped Removing Removed Restarting Killing Killed Paused Unpaused Running
  std::string error;                ///< with status Error
  std::size_t step = 0;
};

/// Something that happened, planned or not; the words are those of `docker events`.
struct Event {
  std::int64_t time_ns = 0;
  std::string type = "container";   ///< container | network | volume | image
  std::string action;               ///< create start die stop kill oom pause unpause restart destroy "health_status: healthy" exec_die …
  std::string id;
  std::map<std::string, std::string> attributes;  ///< name, image, exitCode, labels
};

}  // namespace engine
