#pragma once
// What the Compose file asks for, in the engine's words.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "compose/load/diagnostics.h"
#include "compose/model/project.h"
#include "engine/api/types.h"

namespace compose::reconcile {

enum class Condition : std::uint8_t { started, healthy, completed };

struct Dependency {
  std::string service;
  Condition condition = Condition::started;
  bool restart = false;   ///< stop and start the dependent when `service` is recreated
  bool required = true;
  bool operator==(const Dependency&) const = default;
};

/// A service: how each of its containers is made.
struct Service {
  std::string name;
  int replicas = 1;
  /// One container's spec, but for what differs between replicas: its name (filled from `fixed_name` or the number) and
  /// the container-number label. A namespace or volume taken from another service is still "service:NAME" here;
  /// reconcile() turns it into "container:NAME" when it knows which container that is.
  engine::ContainerSpec spec;
  std::string fixed_name;               ///< container_name; "" = PROJECT-SERVICE-NUMBER
  std::string config_hash;              ///< over everything that makes a difference to a running container
  bool generated_image = false;         ///< built and named by us: PROJECT-SERVICE (down --rmi local)
  std::vector<Dependency> depends_on;   ///< sorted by service; includes those implied by links, network_mode and their like
  bool operator==(const Service&) const = default;
};

struct Network {
  std::string key;                      ///< name in the Compose file
  engine::NetworkSpec spec;
  std::string config_hash;
  bool external = false;
};

struct Volume {
  std::string key;
  engine::VolumeSpec spec;
  std::string config_hash;
  bool external = false;
};

struct Desired {
  std::string project;
  std::string separator = "-";          ///< "_" with --compatibility
  std::vector<Service> services;        ///< the selected ones, sorted by name
  std::set<std::string> known_services; ///< all of the file, disabled profiles included: none of these is an orphan
  std::vector<Network> networks;        ///< those the services use (all with all_resources), sorted by key
  std::vector<Volume> volumes;
};

struct DesiredOptions {
  bool compatibility = false;           ///< names joined by "_"
  bool all_resources = false;           ///< also networks and volumes no service uses
  std::vector<std::string> config_files, environment_files;  ///< absolute paths, for the labels
  std::map<std::string, std::string> proxies;  ///< variables every container gets that its service does not mention
};

/// Image reference as the service names it → id ("sha256:…"). A service whose image is missing here gets an empty id.
using ImageIds = std::map<std::string, std::string>;

/// Translates. `refusals` gains an error, with its place in the file, for everything that cannot be honoured (the table is
/// in refuse.cpp); when it does, the result must not be used. The label config-hash is load's.
Desired desired(const model::Project& project, const DesiredOptions& options, const ImageIds& images,
                std::vector<load::Diagnostic>& refusals);

/// Name of the image a service runs: its `image:`, else PROJECT-SERVICE for what is built.
std::string image_name(const model::Project& project, const model::Service& service, bool compatibility);

/// The name of replica `number`.
std::string container_name(const Desired& desired, const Service& service, int number);

/// Finds a service; nullptr when it is not among the selected.
const Service* find_service(const Desired& desired, const std::string& name);

/// SHA-256 in hex. Fields at their default do not enter it, so that a new field in a later version recreates nothing.
std::string config_hash(const engine::NetworkSpec& spec);
std::string config_hash(const engine::VolumeSpec& spec);

}  // namespace compose::reconcile
