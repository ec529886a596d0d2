// What belongs to the machine rather than to a project: image, volume, network, system. They print what docker's kin print.
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/process.h"
#include "compose/cli/context.h"
#include "compose/cli/execute.h"
#include "compose/cli/globals.h"
#include "compose/cli/output.h"
#include "compose/cli/prompt.h"
#include "compose/cli/template.h"
#include "compose/cli/verbs.h"
#include "compose/cli/workers.h"
#include "compose/reconcile/labels.h"
#include "engine/api/paths.h"
#include "engine/api/types_json.h"
#include "engine/client/client.h"

namespace compose::cli {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

constexpr Flag list_flags[] = {
    {"filter", 'f', FlagKind::list, "Provide filter values (name=, label=)", "filter"},
    {"format", 0, FlagKind::text, "Format output: 'table', 'table TEMPLATE', 'json' or a Go template", "", "table"},
    {"quiet", 'q', FlagKind::boolean, "Only display names"},
};
constexpr Flag remove_flags[] = {{"force", 'f', FlagKind::boolean, "Do not complain about what is not there"}};
constexpr Flag prune_flags[] = {{"all", 'a', FlagKind::boolean, "Remove all unused volumes, not just anonymous ones"},
                                {"force", 'f', FlagKind::boolean, "Do not prompt for confirmation"}};

struct Item {
  std::string name, project;
  Fields fields;
  engine::Labels labels;
  std::string json;
  bool used = false, anonymous = false;
};

std::string join_labels(const engine::Labels& labels) {
  std::string text;
  for (const auto& [name, value] : labels) text += (text.empty() ? "" : ",") + name + "=" + value;
  return text;
}

std::vector<Item> volume_items(const engine::Snapshot& snapshot) {
  std::set<std::string> used;
  for (const auto& container : snapshot.containers) {
    for (const auto& [target, volume] : container.volumes) used.insert(volume);
  }
  std::vector<Item> items;
  for (const auto& volume : snapshot.volumes) {
    Item item{.name = volume.spec.name, .project = volume.spec.project, .fields = {}, .labels = volume.spec.labels,
              .json = engine::to_json(volume), .used = used.contains(volume.spec.name), .anonymous = volume.spec.anonymous};
    item.fields.set("Driver", volume.spec.driver);
    item.fields.set("Labels", join_labels(volume.spec.labels));
    item.fields.set("Mountpoint", volume.mountpoint);
    item.fields.set("Name", volume.spec.name);
    item.fields.set("Scope", "local");
    items.push_back(std::move(item));
  }
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.name < b.name; });
  return items;
}

std::vector<Item> network_items(const engine::Snapshot& snapshot) {
  std::set<std::string> used;
  for (const auto& container : snapshot.containers) {
    for (const auto& attachment : container.spec.networks) used.insert(attachment.network);
  }
  std::vector<Item> items;
  for (const auto& network : snapshot.networks) {
    Item item{.name = network.spec.name, .project = network.spec.project, .fields = {}, .labels = network.spec.labels,
              .json = engine::to_json(network), .used = used.contains(network.spec.name)};
    item.fields.set("Driver", network.spec.driver);
    item.fields.set("ID", network.id.substr(0, 12));
    item.fields.set("Internal", network.spec.internal ? "true" : "false");
    item.fields.set("Labels", join_labels(network.spec.labels));
    item.fields.set("Name", network.spec.name);
    item.fields.set("Scope", "local");
    items.push_back(std::move(item));
  }
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.name < b.name; });
  return items;
}

struct Kind {
  const char* word;                                             ///< "volume"
  std::vector<Item> (*items)(const engine::Snapshot&);
  std::vector<std::pair<const char*, const char*>> columns;     ///< heading, field
  engine::Action (*removal)(const std::string& name);
};

const Kind volume_kind{"volume", volume_items, {{"DRIVER", "Driver"}, {"VOLUME NAME", "Name"}},
                       [](const std::string& name) -> engine::Action { return engine::action::RemoveVolume{name}; }};
const Kind network_kind{"network", network_items, {{"NETWORK ID", "ID"}, {"NAME", "Name"}, {"DRIVER", "Driver"}, {"SCOPE", "Scope"}},
                        [](const std::string& name) -> engine::Action { return engine::action::RemoveNetwork{name}; }};

Result<bool> passes(const Item& item, const std::vector<std::string>& filters) {
  for (const auto& filter : filters) {
    const auto equals = filter.find('=');
    const std::string key = filter.substr(0, equals), value = equals == std::string::npos ? "" : filter.substr(equals + 1);
    if (key == "name") {
      if (item.name.find(value) == std::string::npos) return false;
    } else if (key == "label") {
      const auto inner = value.find('=');
      const auto label = item.labels.find(value.substr(0, inner));
      if (label == item.labels.end() || (inner != std::string::npos && label->second != value.substr(inner + 1))) return false;
    } else if (key == "dangling") {
      if (item.used == (value == "true" || value == "1")) return false;
    } else {
      return usage_error("invalid filter '" + key + "'");
    }
  }
  return true;
}

Result<int> list_items(const Kind& kind, const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto snapshot, engine::client::snapshot_all());
  std::vector<Fields> rows;
  for (auto& item : kind.items(snapshot)) {
    ASSIGN_OR_RETURN(const bool wanted, passes(item, parsed.list("filter")));
    if (wanted) rows.push_back(std::move(item.fields));
  }
  const std::string format = parsed.text("format", "table");
  std::string text;
  if (parsed.on("quiet")) {
    for (const auto& row : rows) text += row.text("Name") + "\n";
  } else if (format == "json") {
    for (const auto& row : rows) text += row.json() + "\n";
  } else if (format == "table") {
    std::vector<std::vector<std::string>> cells(1);
    for (const auto& [heading, field] : kind.columns) cells[0].emplace_back(heading);
    for (const auto& row : rows) {
      cells.emplace_back();
      for (const auto& [heading, field] : kind.columns) cells.back().push_back(row.text(field));
    }
    text = table(cells, 3, 10);
  } else {
    ASSIGN_OR_RETURN(text, render_rows(format, rows));
  }
  out(text);
  return 0;
}

Result<int> inspect_items(const Kind& kind, const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto snapshot, engine::client::snapshot_all());
  const auto items = kind.items(snapshot);
  std::string text;
  int code = 0;
  for (const auto& name : parsed.arguments) {
    const auto item = std::find_if(items.begin(), items.end(), [&](const Item& one) { return one.name == name; });
    if (item == items.end()) {
      err("Error response from daemon: get " + name + ": no such " + kind.word + "\n");
      code = 1;
      continue;
    }
    text += (text.empty() ? "" : ",\n") + item->json;
  }
  out("[" + text + "]\n");
  return code;
}

/// Removal goes through the supervisor of the project that owns the thing.
Result<bool> remove_item(const Kind& kind, const Item& item) {
  engine::Plan plan;
  plan.steps.push_back({.action = kind.removal(item.name), .reason = "rm", .hazard = engine::Hazard::data_loss, .after = {}});
  ASSIGN_OR_RETURN(const auto outcome, engine::client::execute(item.project.empty() ? "default" : item.project, plan, {}));
  print_failures(outcome);
  if (outcome.ok()) out(item.name + "\n");
  return outcome.ok();
}

Result<int> remove_items(const Kind& kind, const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto snapshot, engine::client::snapshot_all());
  const auto items = kind.items(snapshot);
  int code = 0;
  for (const auto& name : parsed.arguments) {
    const auto item = std::find_if(items.begin(), items.end(), [&](const Item& one) { return one.name == name; });
    if (item == items.end()) {
      if (parsed.on("force")) continue;
      err("Error response from daemon: get " + name + ": no such " + kind.word + "\n");
      code = 1;
    } else if (item->used) {
      err("Error response from daemon: remove " + name + ": " + kind.word + " is in use\n");
      code = 1;
    } else {
      ASSIGN_OR_RETURN(const bool removed, remove_item(kind, *item));
      if (!removed) code = 1;
    }
  }
  return code;
}

Result<int> prune_items(const Kind& kind, const Parsed& parsed) {
  const bool volumes = std::string_view(kind.word) == "volume";
  const std::string what = volumes ? (parsed.on("all") ? "all volumes" : "anonymous local volumes") : "all networks";
  if (!parsed.on("force") && !confirm("This will remove " + what + " not used by at least one container. Are you sure you want to continue?", false)) return 0;
  ASSIGN_OR_RETURN(const auto snapshot, engine::client::snapshot_all());
  bool all = true;
  for (const auto& item : kind.items(snapshot)) {
    if (item.used || (volumes && !item.anonymous && !parsed.on("all"))) continue;
    ASSIGN_OR_RETURN(const bool removed, remove_item(kind, item));
    all = all && removed;
  }
  return all ? 0 : 1;
}

std::string group_help(const Kind& kind) {
  const std::string word = kind.word;
  return "Usage:  compose " + word + " COMMAND\n\nManage " + word + "s\n\nCommands:\n  inspect     Display detailed information on one or more " + word +
         "s\n  ls          List " + word + "s\n  prune       Remove unused " + word + "s\n  rm          Remove one or more " + word + "s\n";
}

Result<int> run_group(const Kind& kind, const std::vector<std::string>& words) {
  if (words.empty() || words[0] == "--help" || words[0] == "-h") {
    out(group_help(kind));
    return 0;
  }
  const std::span<const std::string> rest(words.begin() + 1, words.end());
  const auto parsed_with = [&](std::span<const Flag> flags) { return parse(flags, rest, true); };
  if (words[0] == "ls" || words[0] == "list") {
    ASSIGN_OR_RETURN(const auto parsed, parsed_with(list_flags));
    return list_items(kind, parsed);
  }
  if (words[0] == "prune") {
    ASSIGN_OR_RETURN(const auto parsed, parsed_with(prune_flags));
    return prune_items(kind, parsed);
  }
  if (words[0] != "inspect" && words[0] != "rm" && words[0] != "remove") {
    return usage_error("unknown command: compose " + std::string(kind.word) + " " + words[0]);
  }
  ASSIGN_OR_RETURN(const auto parsed, parsed_with(remove_flags));
  if (parsed.arguments.empty()) return usage_error("\"compose " + std::string(kind.word) + " " + words[0] + "\" requires at least 1 argument");
  return words[0] == "inspect" ? inspect_items(kind, parsed) : remove_items(kind, parsed);
}

}  // namespace

Result<int> run_volume_group(const Parsed& parsed) { return run_group(volume_kind, parsed.arguments); }
Result<int> run_network_group(const Parsed& parsed) { return run_group(network_kind, parsed.arguments); }

Result<int> run_image_group(const Parsed& parsed) {
  if (parsed.arguments.empty()) return become_image_program({"--help"});
  return become_image_program(parsed.arguments);
}

namespace {

Result<int> pass_to_image_program(const char* verb, const Parsed& parsed) {
  std::vector<std::string> words{verb};
  words.insert(words.end(), parsed.arguments.begin(), parsed.arguments.end());
  return become_image_program(words);
}

Result<int> system_info() {
  ASSIGN_OR_RETURN(const auto snapshot, engine::client::snapshot_all());
  int running = 0, paused = 0, stopped = 0;
  std::set<std::string> projects;
  for (const auto& container : snapshot.containers) {
    projects.insert(container.spec.project);
    if (container.state == engine::ContainerState::running) ++running;
    else if (container.state == engine::ContainerState::paused) ++paused;
    else ++stopped;
  }
  utsname machine{};
  ::uname(&machine);
  const bool unified = ::access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
  out("Projects: " + std::to_string(projects.size()) + "\nContainers: " + std::to_string(snapshot.containers.size()) + "\n Running: " +
      std::to_string(running) + "\n Paused: " + std::to_string(paused) + "\n Stopped: " + std::to_string(stopped) + "\nNetworks: " +
      std::to_string(snapshot.networks.size()) + "\nVolumes: " + std::to_string(snapshot.volumes.size()) + "\nVersion: " +
      std::string(reconcile::compatible_version) + "\nCgroup Version: " + (unified ? "2" : "1") + "\nKernel Version: " + machine.release +
      "\nArchitecture: " + machine.machine + "\nCPUs: " + std::to_string(::sysconf(_SC_NPROCESSORS_ONLN)) + "\nTotal Memory: " +
      binary_size(static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGESIZE))) + "\nState Dir: " +
      engine::paths::state_dir().string() + "\nRun Dir: " + engine::paths::run_dir().string() + "\n");
  return 0;
}

/// After a reboot: what a command on each project would bring back.
Result<int> system_restore() {
  ASSIGN_OR_RETURN(const auto snapshot, engine::client::snapshot_all());
  std::set<std::string> projects;
  for (const auto& container : snapshot.containers) projects.insert(container.spec.project);
  int failed = 0;
  for (const auto& project : projects) {
    if (const auto revived = engine::client::revive(project); !revived) {
      err(project + ": " + revived.error().text() + "\n");
      failed = 1;
    }
  }
  return failed;
}

/// Source: systemd.service(5), systemd.special(7).
Result<int> system_unit() {
  out("[Unit]\nDescription=Compose projects: containers whose restart policy says so run again\nWants=network-online.target\n"
      "After=local-fs.target network-online.target\n\n[Service]\nType=oneshot\nExecStart=" +
      (base::program_dir() / "compose").string() + " system restore\n\n[Install]\nWantedBy=multi-user.target\n");
  return 0;
}

}  // namespace

Result<int> run_login(const Parsed& parsed) { return pass_to_image_program("login", parsed); }
Result<int> run_logout(const Parsed& parsed) { return pass_to_image_program("logout", parsed); }

Result<int> run_system_group(const Parsed& parsed) {
  const auto& words = parsed.arguments;
  if (words.empty() || words[0] == "--help" || words[0] == "-h") {
    out("Usage:  compose system COMMAND\n\nCommands:\n  df          Show disk usage: images, containers, volumes, build cache\n"
        "  info        Display what this machine holds\n"
        "  restore     Start what a reboot ended, as restart policies say\n"
        "  unit        Print a systemd unit that does so at boot\n");
    return 0;
  }
  const std::vector<std::string> rest(words.begin() + 1, words.end());
  const auto pass = [&](std::vector<std::string> command) -> Result<int> {
    command.insert(command.end(), rest.begin(), rest.end());
    return become_image_program(command);
  };
  if (words[0] == "info") return system_info();
  if (words[0] == "df") return pass({"df"});
  if (words[0] != "restore" && words[0] != "unit") return usage_error("unknown command: compose system " + words[0]);
  if (!rest.empty()) return usage_error("compose system " + words[0] + " takes no arguments");
  return words[0] == "unit" ? system_unit() : system_restore();
}

}  // namespace compose::cli
