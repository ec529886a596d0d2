// process.json for exec: the container's process with changes.
#include <algorithm>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/containers/containers.h"
#include "engine/containers/user.h"
#include "runtime/spec/docker_defaults.h"
#include "runtime/spec/json.h"

namespace engine::containers {
namespace {

namespace docker = runtime::spec::docker;

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

void set_variable(std::vector<std::string>& env, const std::string& entry) {
  const auto key = entry.substr(0, entry.find('='));
  std::erase_if(env, [&](const std::string& each) { return each.substr(0, each.find('=')) == key; });
  if (entry.find('=') != std::string::npos) env.push_back(entry);
}

std::vector<std::string> split_commas(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find(',', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

}  // namespace

Result<std::string> exec_process_json(const std::string& config_json, base::Fd root, const ExecOptions& options) {
  if (options.command.empty()) return invalid("no command to execute");
  ASSIGN_OR_RETURN(const auto config, runtime::spec::parse_config(config_json));
  if (!config.process) return invalid("config.json has no process");
  auto process = *config.process;
  process.args = options.command;
  process.terminal = options.tty;
  process.console_size.reset();
  if (options.rows > 0 && options.columns > 0)
    process.console_size = {static_cast<std::uint16_t>(options.rows), static_cast<std::uint16_t>(options.columns)};
  if (!options.working_dir.empty()) process.cwd = options.working_dir;
  if (options.tty) set_variable(process.env, "TERM=xterm");
  for (const auto& entry : options.env) set_variable(process.env, entry);
  if (!options.user.empty()) {
    const auto added = config.annotations.find("compose.group_add");
    ASSIGN_OR_RETURN(const auto accounts, read_accounts(root));
    ASSIGN_OR_RETURN(const auto who, identify(options.user, added == config.annotations.end() ? std::vector<std::string>() : split_commas(added->second), accounts));
    process.user.uid = who.uid;
    process.user.gid = who.gid;
    process.user.additional_gids = who.groups;
  }
  const bool as_root = process.user.uid == 0;
  if (options.privileged) {
    process.capabilities = docker::capability_sets(docker::all_capabilities(), as_root);
    process.apparmor_profile.clear();
  } else if (process.capabilities) {
    process.capabilities = docker::capability_sets(process.capabilities->bounding, as_root);
  }
  return runtime::spec::to_json(process);
}

Result<std::string> exec_process(const std::string& id, base::Fd root, const ExecOptions& options) {
  ASSIGN_OR_RETURN(const auto config, base::sys::read_file(paths::container(id) / "config.json"));
  return exec_process_json(config, root, options);
}

}  // namespace engine::containers
