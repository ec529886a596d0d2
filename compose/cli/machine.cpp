// Verbs that look at the machine: ls, images, port, top, volumes.
#include <algorithm>
#include <map>
#include <set>

#include "compose/cli/context.h"
#include "compose/cli/globals.h"
#include "compose/cli/output.h"
#include "compose/cli/processes.h"
#include "compose/cli/template.h"
#include "compose/cli/verbs.h"
#include "compose/reconcile/labels.h"
#include "engine/api/types_json.h"
#include "engine/client/client.h"
#include "engine/images/image_store.h"

namespace compose::cli {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

std::string list_format(const Parsed& parsed) { return parsed.text("format", "table"); }

Result<> check_list_format(const std::string& format) {
  if (format == "table" || format == "json" || format.empty()) return {};
  return usage_error("format value \"" + format + "\" could not be parsed");
}

std::string json_array(const std::vector<Fields>& rows) {
  std::string text;
  for (const auto& row : rows) text += (text.empty() ? "" : ",") + row.json();
  return "[" + text + "]\n";
}

struct ProjectRow {
  std::map<std::string, int> states;
  std::string files;
};

/// "exited(1), running(2)"
std::string status_of(const ProjectRow& row) {
  std::string text;
  for (const auto& [state, count] : row.states) text += (text.empty() ? "" : ", ") + state + "(" + std::to_string(count) + ")";
  return text;
}

}  // namespace

Result<int> run_ls(const Parsed& parsed) {
  const std::string format = list_format(parsed);
  TRY(check_list_format(format));
  std::vector<std::string> names;
  for (const auto& filter : parsed.list("filter")) {
    if (!filter.starts_with("name=")) return usage_error("invalid filter '" + filter.substr(0, filter.find('=')) + "'");
    names.push_back(filter.substr(5));
  }
  ASSIGN_OR_RETURN(const auto snapshot, engine::client::snapshot_all());
  std::map<std::string, ProjectRow> projects;
  for (const auto& info : snapshot.containers) {
    const auto one_off = reconcile::label_of(info.spec.labels, reconcile::label::one_off) == "True";
    const bool running = info.state == engine::ContainerState::running;
    if (one_off || (!running && !parsed.on("all"))) continue;
    auto& row = projects[info.spec.project];
    ++row.states[std::string(engine::to_string(info.state))];
    const auto files = reconcile::label_of(info.spec.labels, reconcile::label::config_files);
    if (row.files.empty()) row.files = files;
  }
  std::vector<std::vector<std::string>> cells{{"NAME", "STATUS", "CONFIG FILES"}};
  std::vector<Fields> rows;
  for (const auto& [name, project] : projects) {
    const bool wanted = names.empty() || std::any_of(names.begin(), names.end(), [&](const std::string& part) { return name.find(part) != std::string::npos; });
    if (!wanted) continue;
    if (parsed.on("quiet")) {
      out(name + "\n");
      continue;
    }
    cells.push_back({name, status_of(project), project.files});
    Fields fields;
    fields.set("Name", name);
    fields.set("Status", status_of(project));
    fields.set("ConfigFiles", project.files);
    rows.push_back(std::move(fields));
  }
  if (parsed.on("quiet")) return 0;
  out(format == "json" ? json_array(rows) : table(cells, 4, 20));
  return 0;
}

namespace {

struct ImageRow {
  std::string container, repository, tag, platform, id;
  std::int64_t size = 0;
  engine::WallNs tagged = 0, created = 0;
};

ImageRow image_row(engine::images::ImageStore& images, const engine::ContainerInfo& info) {
  ImageRow row{.container = info.spec.name, .repository = "<none>", .tag = "<none>", .platform = {}, .id = info.spec.image_id};
  if (const auto reference = engine::images::parse_reference(info.spec.image)) {
    row.repository = reference->familiar_name();
    row.tag = reference->tag.empty() ? "<none>" : reference->tag;
  }
  if (const auto image = images.by_id(info.spec.image_id)) {
    row.platform = image->config.platform();
    row.size = image->size_bytes;
    row.tagged = image->referenced != 0 ? image->referenced : image->added;
    row.created = image->created;
  }
  return row;
}

}  // namespace

Result<int> run_images(const Parsed& parsed) {
  const std::string format = list_format(parsed);
  TRY(check_list_format(format));
  ASSIGN_OR_RETURN(const auto v, view({.services = parsed.arguments, .dependencies = load::Dependencies::ignore}));
  ASSIGN_OR_RETURN(auto store, engine::store::Store::open());
  engine::images::ImageStore images(store);
  std::vector<std::vector<std::string>> cells{{"CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE ID", "SIZE", "CREATED"}};
  std::vector<Fields> rows;
  std::set<std::string> ids;
  const auto now = wall_now();
  for (const auto& container : v.observed.containers) {
    if (!parsed.arguments.empty() && find_service(v.desired, container.service) == nullptr) continue;
    const auto row = image_row(images, *container.info);
    const std::string hex = row.id.starts_with("sha256:") ? row.id.substr(7) : row.id;
    if (ids.insert(row.id).second && parsed.on("quiet")) out(hex + "\n");
    cells.push_back({row.container, row.repository, row.tag, row.platform, hex.substr(0, 12), human_size(static_cast<double>(row.size)),
                     row.created <= 0 ? "N/A" : human_duration(now - row.created) + " ago"});
    Fields fields;
    fields.set("ID", row.id);
    fields.set("ContainerName", row.container);
    fields.set("Repository", row.repository);
    fields.set("Tag", row.tag);
    fields.set("Platform", row.platform);
    fields.set_json("Size", std::to_string(row.size));
    fields.set("Created", rfc3339(row.created));
    fields.set("LastTagTime", rfc3339(row.tagged));
    rows.push_back(std::move(fields));
  }
  if (parsed.on("quiet")) return 0;
  out(format == "json" ? json_array(rows) : table(cells, 4, 20));
  return 0;
}

Result<int> run_port(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto v, view({}));
  ASSIGN_OR_RETURN(const auto* container, container_of(v, parsed.arguments[0], parsed.number("index")));
  const std::string protocol = parsed.text("protocol", "tcp");
  std::string held;
  for (const auto& port : container->ports) {
    if (std::to_string(port.container_port) == parsed.arguments[1] && port.protocol == protocol) {
      const std::string host = port.host_ip.find(':') != std::string::npos ? "[" + port.host_ip + "]" : port.host_ip;
      out(host + ":" + std::to_string(port.host_port) + "\n");
      return 0;
    }
    held += (held.empty() ? "" : ", ") + std::to_string(port.host_port) + "/" + port.protocol;
  }
  return make_error(ErrorKind::not_found, "no port " + parsed.arguments[1] + "/" + protocol + " for container " + container->spec.name + ": " + held);
}

Result<int> run_top(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto v, view({.services = parsed.arguments, .dependencies = load::Dependencies::ignore}));
  std::vector<std::vector<std::string>> cells{{"SERVICE", "#", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"}};
  for (const auto& container : v.observed.containers) {
    if (!parsed.arguments.empty() && find_service(v.desired, container.service) == nullptr) continue;
    if (container.info->state != engine::ContainerState::running && container.info->state != engine::ContainerState::paused) continue;
    ASSIGN_OR_RETURN(const auto pids, engine::client::processes(*container.info));
    const std::string number = container.number > 0 ? std::to_string(container.number) : "";
    for (const auto pid : pids) {
      const auto row = process_row(pid);
      if (row) cells.push_back({container.service, number, row->user, row->pid, row->parent, row->cpu, row->started, row->terminal, row->time, row->command});
    }
  }
  if (cells.size() > 1) out(table(cells, 2, 0));
  return 0;
}

Result<int> run_volumes(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto source, project_or_name({.services = {}, .environment = false}));
  ASSIGN_OR_RETURN(const auto snapshot, engine::client::snapshot(source.name));
  std::set<std::string> wanted;
  for (const auto& name : parsed.arguments) {
    const auto* service = source.project ? source.project->find_service(name) : nullptr;
    if (source.project && service == nullptr) return make_error(ErrorKind::not_found, "no such service: " + name);
    if (service == nullptr) continue;
    for (const auto& mount : service->volumes) {
      if (const auto volume = source.project->volumes.find(mount.source); volume != source.project->volumes.end()) wanted.insert(volume->second.name);
    }
  }
  std::vector<Fields> rows;
  for (const auto& volume : snapshot.volumes) {
    if (volume.spec.project != source.name || volume.spec.anonymous) continue;
    if (!parsed.arguments.empty() && !wanted.contains(volume.spec.name)) continue;
    std::string labels;
    for (const auto& [name, value] : volume.spec.labels) labels += (labels.empty() ? "" : ",") + name + "=" + value;
    Fields fields;
    fields.set("Availability", "N/A");
    fields.set("Driver", volume.spec.driver);
    fields.set("Group", "N/A");
    fields.set("Labels", labels);
    fields.set("Links", "N/A");
    fields.set("Mountpoint", volume.mountpoint);
    fields.set("Name", volume.spec.name);
    fields.set("Scope", "local");
    fields.set("Size", "N/A");
    fields.set("Status", "N/A");
    rows.push_back(std::move(fields));
  }
  const std::string format = list_format(parsed);
  if (parsed.on("quiet")) {
    for (const auto& row : rows) out(row.text("Name") + "\n");
  } else if (format == "json") {
    for (const auto& row : rows) out(row.json() + "\n");
  } else if (format == "table") {
    std::vector<std::vector<std::string>> cells{{"DRIVER", "VOLUME NAME"}};
    for (const auto& row : rows) cells.push_back({row.text("Driver"), row.text("Name")});
    out(table(cells, 3, 10));
  } else {
    ASSIGN_OR_RETURN(const auto text, render_rows(format, rows));
    out(text);
  }
  return 0;
}

}  // namespace compose::cli
