// logs and events: read straight from the log files and the engine's event records; no supervisor needed.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <map>
#include <set>

#include "compose/cli/context.h"
#include "compose/cli/feed.h"
#include "compose/cli/globals.h"
#include "compose/cli/interrupts.h"
#include "compose/cli/log_lines.h"
#include "compose/cli/output.h"
#include "compose/cli/verbs.h"
#include "compose/reconcile/labels.h"
#include "engine/api/paths.h"
#include "engine/client/client.h"
#include "engine/logs/reader.h"

namespace compose::cli {

using base::ErrorKind;
using base::make_error;
using base::Result;
using engine::logs::Next;

namespace {

Result<engine::logs::ReadOptions> read_options(const Parsed& parsed) {
  engine::logs::ReadOptions options;
  options.follow = parsed.on("follow");
  const std::string tail = parsed.text("tail", "all");
  long lines = 0;
  const auto [end, error] = std::from_chars(tail.data(), tail.data() + tail.size(), lines);
  if (tail != "all" && error == std::errc() && end == tail.data() + tail.size() && lines >= 0) {
    options.tail = static_cast<std::size_t>(lines);
  } else if (tail != "all" && (error != std::errc() || end != tail.data() + tail.size())) {
    return usage_error("invalid value for --tail: \"" + tail + "\" is not a number");
  }
  for (const auto& [name, into] : {std::pair("since", &options.since_ns), std::pair("until", &options.until_ns)}) {
    if (!parsed.given(name) || parsed.text(name).empty()) continue;
    const auto moment = parse_moment(parsed.text(name));
    if (!moment) return usage_error("invalid value for \"" + std::string(name) + "\": failed to parse value as time or duration: \"" + parsed.text(name) + "\"");
    *into = *moment;
  }
  return options;
}

/// Which containers of the project are meant: those of the services, existing or to come.
class Chosen {
 public:
  Chosen(const View& view, const std::vector<std::string>& services, std::optional<long> index)
      : services_(services.begin(), services.end()), index_(index) {
    if (!services_.empty()) return;
    for (const auto& service : view.desired.services) services_.insert(service.name);
    // A project known by its name alone shows all it has.
    if (!view.source.project) all_ = true;
  }
  [[nodiscard]] bool operator()(const std::string& service, std::string_view number, bool one_off) const {
    if (one_off || (!all_ && !services_.contains(service))) return false;
    return !index_ || *index_ <= 0 || number == std::to_string(*index_);
  }

 private:
  std::set<std::string> services_;
  std::optional<long> index_;
  bool all_ = false;
};

class Follower {
 public:
  Follower(std::string project, Chosen chosen, engine::logs::LogReader& reader, LogPrinter& printer)
      : project_(std::move(project)), chosen_(std::move(chosen)), reader_(reader), printer_(printer) {}

  void add(const std::string& name, const std::string& id) {
    if (!seen_.insert(id).second) return;
    there_.insert(id);
    (void)reader_.add(printer_.add(short_name(project_, name)), engine::paths::container_log(id)).has_value();
  }

  Result<int> run(EventFeed& feed, Interrupts& interrupts) {
    for (;;) {
      drain();
      pollfd polls[] = {{interrupts.fd().number(), POLLIN, 0}, {feed.fd().number(), POLLIN, 0}, {reader_.wait_fd().number(), POLLIN, 0}};
      if (::poll(polls, std::size(polls), -1) < 0 && errno != EINTR) return base::errno_error(errno, "poll");
      if (polls[0].revents != 0) {
        const auto wake = interrupts.next();
        if (wake == Wake::interrupt || wake == Wake::terminate) return 130;
      }
      if (polls[1].revents == 0) continue;
      while (const auto event = feed.take()) on_event(*event);
      // Restarts, recreates and scaling go on being followed; with the last container removed there is nothing to wait for.
      if (!seen_.empty() && there_.empty()) break;
    }
    drain();
    return 0;
  }

 private:
  void drain() {
    engine::logs::Line line;
    while (reader_.next(line) == Next::line) printer_.print(line.source, line.time_ns, line.text);
    printer_.flush();
  }

  void on_event(const engine::Event& event) {
    if (event.type != "container") return;
    if (event.action == "destroy") there_.erase(event.id);
    const auto value = [&](std::string_view key) {
      const auto found = event.attributes.find(std::string(key));
      return found == event.attributes.end() ? std::string() : found->second;
    };
    namespace label = reconcile::label;
    if (!chosen_(value(label::service), value(label::number), value(label::one_off) == "True")) return;
    if (event.action == "start" || event.action == "create") add(value("name"), event.id);
  }

  std::string project_;
  Chosen chosen_;
  engine::logs::LogReader& reader_;
  LogPrinter& printer_;
  std::set<std::string> seen_, there_;
};

}  // namespace

Result<int> run_logs(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto options, read_options(parsed));
  ASSIGN_OR_RETURN(const auto v, view({}));
  for (const auto& name : parsed.arguments) {
    const bool known = find_service(v.desired, name) != nullptr || v.observed.by_service.contains(name) || v.desired.known_services.contains(name);
    if (!known) return make_error(ErrorKind::not_found, "no such service: " + name);
  }
  const Chosen chosen(v, parsed.arguments, parsed.number("index"));
  LogPrinter printer({.prefix = !parsed.on("no-log-prefix"), .colour = !parsed.on("no-color") && colour_on(STDOUT_FILENO),
                      .timestamps = parsed.on("timestamps")});
  const auto begin = engine::client::now();
  engine::logs::LogReader reader(options);
  Follower follower(v.source.name, chosen, reader, printer);
  for (const auto& container : v.observed.containers) {
    const auto number = container.number > 0 ? std::to_string(container.number) : std::string();
    if (!chosen(container.service, number, container.one_off)) continue;
    follower.add(container.name(), container.info->id);
  }
  if (!options.follow) {
    engine::logs::Line line;
    while (reader.next(line) == Next::line) printer.print(line.source, line.time_ns, line.text);
    printer.flush();
    return 0;
  }
  ASSIGN_OR_RETURN(auto interrupts, Interrupts::make(0));
  ASSIGN_OR_RETURN(const auto feed, EventFeed::start(v.source.name, begin));
  return follower.run(*feed, interrupts);
}

namespace {

std::string event_line(const engine::Event& event) {
  const auto seconds = static_cast<std::time_t>(event.time_ns / 1'000'000'000);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  char time[64];
  const auto length = std::strftime(time, sizeof time, "%Y-%m-%d %H:%M:%S", &local);
  std::snprintf(time + length, sizeof time - length, ".%06lld", static_cast<long long>(event.time_ns / 1000 % 1'000'000));
  std::string attributes;
  for (const auto& [name, value] : event.attributes) {
    if (name.starts_with("com.docker.compose.")) continue;
    attributes += (attributes.empty() ? "" : ", ") + name + "=" + value;
  }
  return std::string(time) + " " + event.type + " " + event.action + " " + event.id + " (" + attributes + ")\n";
}

std::string event_json(const engine::Event& event, const std::string& service) {
  std::string attributes;
  for (const auto& [name, value] : event.attributes) {
    if (name.starts_with("com.docker.compose.")) continue;
    attributes += (attributes.empty() ? "" : ",") + json_string(name) + ":" + json_string(value);
  }
  return "{\"action\":" + json_string(event.action) + ",\"attributes\":{" + attributes + "},\"id\":" + json_string(event.id) +
         ",\"service\":" + json_string(service) + ",\"time\":" + json_string(rfc3339(event.time_ns)) + ",\"type\":" + json_string(event.type) + "}\n";
}

}  // namespace

Result<int> run_events(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto source, project_or_name({.services = {}, .environment = false}));
  engine::client::EventsOptions options;
  for (const auto& [name, into] : {std::pair("since", &options.since), std::pair("until", &options.until)}) {
    if (!parsed.given(name)) continue;
    const auto moment = parse_moment(parsed.text(name));
    if (!moment) return usage_error("failed to parse --" + std::string(name) + " value \"" + parsed.text(name) + "\" as time or duration");
    *into = *moment;
  }
  const std::set<std::string> services(parsed.arguments.begin(), parsed.arguments.end());
  ASSIGN_OR_RETURN(const auto interrupts, Interrupts::make(0));
  options.interrupt = interrupts.fd();
  TRY(engine::client::events(source.name, options, [&](const engine::Event& event) {
    // Docker Compose tells of containers only, and not of exec probes.
    if (event.type != "container" || event.action.starts_with("exec_")) return true;
    const auto found = event.attributes.find(std::string(reconcile::label::service));
    const std::string service = found == event.attributes.end() ? "" : found->second;
    if (!services.empty() && !services.contains(service)) return true;
    out(parsed.on("json") ? event_json(event, service) : event_line(event));
    return true;
  }));
  return 0;
}

}  // namespace compose::cli
