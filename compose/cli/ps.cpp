// ps: containers as Docker Compose shows them.
#include <algorithm>
#include <cctype>
#include <set>

#include "compose/cli/container_text.h"
#include "compose/cli/context.h"
#include "compose/cli/output.h"
#include "compose/cli/template.h"
#include "compose/cli/verbs.h"
#include "engine/api/types_json.h"

namespace compose::cli {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

struct Filter {
  bool all = false, orphans = true;
  std::set<std::string> services, states;
};

Result<Filter> filter_from(const Parsed& parsed) {
  Filter filter{.all = parsed.on("all"), .orphans = parsed.on("orphans", true), .services = {parsed.arguments.begin(), parsed.arguments.end()}, .states = {}};
  auto states = parsed.list("status");
  for (const auto& text : parsed.list("filter")) {
    if (text.starts_with("status=")) {
      states.push_back(text.substr(7));
    } else if (text.starts_with("source=")) {
      return make_error(ErrorKind::unsupported, "source filter is not supported");
    } else {
      return usage_error("unknown filter " + text.substr(0, text.find('=')));
    }
  }
  for (auto& state : states) {
    std::transform(state.begin(), state.end(), state.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    static constexpr std::string_view known[] = {"paused", "restarting", "removing", "running", "dead", "created", "exited"};
    if (std::find(std::begin(known), std::end(known), state) == std::end(known)) return usage_error("invalid status: \"" + state + "\"");
    filter.states.insert(state);
  }
  return filter;
}

bool shows(const Filter& filter, const View& view, const reconcile::Found& container) {
  const auto state = std::string(engine::to_string(container.info->state));
  if (!filter.states.empty() && !filter.states.contains(state)) return false;
  if (!filter.services.empty() && !filter.services.contains(container.service)) return false;
  const bool all = filter.all || !filter.states.empty();
  if (!all && state != "running" && state != "paused" && state != "restarting") return false;
  return filter.orphans || view.desired.known_services.contains(container.service);
}

const std::vector<std::string> columns = {"NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"};

std::string as_table(const std::vector<Fields>& rows) {
  std::vector<std::vector<std::string>> cells{columns};
  for (const auto& row : rows) {
    cells.push_back({row.text("Name"), row.text("Image"), row.text("Command"), row.text("Service"), row.text("RunningFor"),
                     row.text("Status"), row.text("Ports")});
  }
  // Docker's tabwriter never makes a column narrower than ten characters with its gutter.
  return table(cells, 3, 10);
}

}  // namespace

Result<int> run_ps(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto filter, filter_from(parsed));
  ASSIGN_OR_RETURN(const auto v, view({}));
  for (const auto& name : parsed.arguments) {
    if (!v.desired.known_services.contains(name) && !v.observed.by_service.contains(name)) {
      return make_error(ErrorKind::not_found, "no such service: " + name);
    }
  }
  std::vector<const reconcile::Found*> containers;
  for (const auto& container : v.observed.containers) {
    if (shows(filter, v, container)) containers.push_back(&container);
  }
  if (parsed.on("quiet")) {
    std::string ids;
    for (const auto* container : containers) ids += container->info->id + "\n";
    out(ids);
    return 0;
  }
  if (parsed.on("services")) {
    std::set<std::string> names;
    for (const auto* container : containers) names.insert(container->service);
    for (const auto& name : names) out(name + "\n");
    return 0;
  }
  std::vector<Fields> rows;
  const auto now = wall_now();
  for (const auto* container : containers) rows.push_back(container_fields(*container, v.source.name, now, parsed.on("no-trunc")));
  const std::string format = parsed.text("format", "table");
  if (format == "json") {
    for (const auto& row : rows) out(row.json() + "\n");
  } else if (format == "table" || format.empty()) {
    out(as_table(rows));
  } else {
    // As Docker Compose: a name that is no template (and no column) prints itself, or nothing without rows.
    ASSIGN_OR_RETURN(const auto text, render_rows(format, rows));
    out(text);
  }
  return 0;
}

}  // namespace compose::cli
