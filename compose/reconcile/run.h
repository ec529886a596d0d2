#pragma once
// The container of `compose run`.
#include <optional>
#include <string>
#include <vector>

#include "compose/reconcile/desired.h"

namespace compose::reconcile {

struct RunOptions {
  std::string slug;                        ///< 12 hex digits, makes the name unique
  std::string name;                        ///< --name; "" = PROJECT-SERVICE-run-SLUG
  std::vector<std::string> command;        ///< empty = the service's
  std::optional<std::string> entrypoint;   ///< split into words like a shell would; "" clears the image's
  std::vector<std::string> environment;    ///< "KEY=VALUE" or "KEY" (removes it)
  std::vector<std::string> cap_add, cap_drop;
  std::vector<std::string> labels;         ///< "KEY=VALUE" or "KEY"
  std::string user, working_dir;
  std::vector<engine::PortBinding> ports;
  std::vector<engine::MountSpec> mounts;   ///< replace those with the same target
  bool service_ports = false;
  bool use_aliases = false;
  bool remove = false;                     ///< --rm
  bool tty = false, interactive = true;
};

/// The one-off form of `service`: its spec with the options applied, labels oneoff and slug, no restart, no ports unless asked.
Service one_off(const Desired& desired, const Service& service, const RunOptions& options);

/// "sh -c 'echo hi'" → {sh, -c, echo hi}: quotes and backslashes as in a POSIX shell, no expansion.
std::vector<std::string> split_words(std::string_view text);

}  // namespace compose::reconcile
