#pragma once
// A fully resolved Compose project: what the files, the environment and the options come to.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compose/model/node.h"
#include "compose/model/service.h"

namespace compose::model {

struct IpamPool {
  std::string subnet, ip_range, gateway;
  StringMap aux_addresses;
  bool operator==(const IpamPool&) const = default;
};

struct Network {
  std::string key;                   ///< name in the file
  std::string name;                  ///< engine name: "demo_default", or as written in `name:`
  std::string driver;                ///< "" = bridge
  StringMap driver_opts;
  std::string ipam_driver;
  std::vector<IpamPool> ipam_config;
  StringMap ipam_options;
  bool external = false, internal = false, attachable = false;
  std::optional<bool> enable_ipv4, enable_ipv6;
  StringMap labels;
  bool operator==(const Network&) const = default;
};

struct Volume {
  std::string key, name;             ///< as Network
  std::string driver;                ///< "" = local
  StringMap driver_opts;
  bool external = false;
  StringMap labels;
  bool operator==(const Volume&) const = default;
};

/// A top-level config or secret: exactly one of file, environment, content, external says where its bytes are.
struct FileSource {
  std::string key, name;
  std::string file;                  ///< absolute path
  std::string environment;           ///< variable in the environment of the command
  std::string content;               ///< configs: inline; secrets and configs from `environment`: its value once resolved
  bool external = false;
  StringMap labels;
  std::string driver, template_driver;
  StringMap driver_opts;
  bool operator==(const FileSource&) const = default;
};

struct Model {
  std::string key, name, model;
  std::int64_t context_size = 0;
  Strings runtime_flags;
  bool operator==(const Model&) const = default;
};

/// The texts the tree's positions point into.
struct Sources {
  struct File {
    std::string path;                ///< as given on the command line or in the file that includes it
    std::string text;
  };
  std::vector<File> files;
};

struct Project {
  std::string name;
  std::string working_dir;           ///< absolute
  Strings compose_files;             ///< absolute, in the order given, includes not listed
  StringMap environment;             ///< what interpolation saw: shell over --env-file / .env, with COMPOSE_PROJECT_NAME
  Strings profiles;                  ///< active ones; "*" = all
  std::map<std::string, Service> services;           ///< enabled ones
  std::map<std::string, Service> disabled_services;  ///< those whose profiles are not active or that were not selected
  std::map<std::string, Network> networks;
  std::map<std::string, Volume> volumes;
  std::map<std::string, FileSource> configs, secrets;
  std::map<std::string, Model> models;

  /// The canonical tree with positions, and the texts; shared by every copy and selection of this project.
  std::shared_ptr<const Node> tree;
  std::shared_ptr<const Sources> sources;

  /// "compose.yaml:7:11" of a value such as "services.web.ports[0]"; "" when it comes from no file.
  [[nodiscard]] std::string place_of(std::string_view path) const;
  [[nodiscard]] Position position_of(std::string_view path) const;
  /// The service by name, enabled or not; nullptr when there is none.
  [[nodiscard]] const Service* find_service(std::string_view service) const;
};

}  // namespace compose::model
