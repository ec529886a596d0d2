// stats: CPU, memory, network and disk of running containers, read from the kernel.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "compose/cli/context.h"
#include "compose/cli/interrupts.h"
#include "compose/cli/output.h"
#include "compose/cli/processes.h"
#include "compose/cli/template.h"
#include "compose/cli/verbs.h"
#include "engine/client/client.h"

namespace compose::cli {

using base::Result;

namespace {

struct Sample {
  Usage usage;
  engine::WallNs at = 0;
};

std::string percent(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f%%", value);
  return text;
}

Fields row_of(const engine::ContainerInfo& info, const Sample& before, const Sample& now, bool whole_id) {
  Fields row;
  const double elapsed = static_cast<double>(now.at - before.at);
  const double cpu = elapsed > 0 ? 100.0 * static_cast<double>(now.usage.cpu_ns - before.usage.cpu_ns) / elapsed : 0;
  const auto limit = static_cast<double>(now.usage.memory_limit);
  const double memory = limit > 0 ? 100.0 * static_cast<double>(now.usage.memory) / limit : 0;
  const auto pair = [](std::int64_t a, std::int64_t b) { return human_size(static_cast<double>(a)) + " / " + human_size(static_cast<double>(b)); };
  row.set("BlockIO", pair(now.usage.read, now.usage.written));
  row.set("CPUPerc", percent(cpu));
  row.set("Container", info.spec.name);
  row.set("ID", whole_id ? info.id : info.id.substr(0, 12));
  row.set("MemPerc", percent(memory));
  row.set("MemUsage", binary_size(static_cast<double>(now.usage.memory)) + " / " + binary_size(limit));
  row.set("Name", info.spec.name);
  row.set("NetIO", pair(now.usage.received, now.usage.sent));
  row.set("PIDs", std::to_string(now.usage.pids));
  return row;
}

Result<std::string> render(const std::string& format, const std::vector<Fields>& rows) {
  if (format == "json") {
    std::string text;
    for (const auto& row : rows) text += row.json() + "\n";
    return text;
  }
  if (format != "table") return render_rows(format, rows);
  std::vector<std::vector<std::string>> cells{{"CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"}};
  for (const auto& row : rows) {
    cells.push_back({row.text("ID"), row.text("Name"), row.text("CPUPerc"), row.text("MemUsage"), row.text("MemPerc"), row.text("NetIO"),
                     row.text("BlockIO"), row.text("PIDs")});
  }
  return table(cells, 3, 10);
}

}  // namespace

Result<int> run_stats(const Parsed& parsed) {
  const std::string format = parsed.text("format", "table");
  const bool stream = !parsed.on("no-stream");
  ASSIGN_OR_RETURN(auto interrupts, Interrupts::make(1000));
  std::map<std::string, Sample> before;
  for (bool first = true;; first = false) {
    ASSIGN_OR_RETURN(const auto v, view({.services = parsed.arguments, .dependencies = load::Dependencies::ignore}));
    std::vector<Fields> rows;
    std::map<std::string, Sample> current;
    for (const auto& container : v.observed.containers) {
      if (!parsed.arguments.empty() && find_service(v.desired, container.service) == nullptr) continue;
      const bool running = container.info->state == engine::ContainerState::running;
      if (!running && !parsed.on("all")) continue;
      const Sample sample{.usage = usage_of(*container.info), .at = wall_now()};
      const auto old = before.find(container.info->id);
      rows.push_back(row_of(*container.info, old == before.end() ? sample : old->second, sample, parsed.on("no-trunc")));
      current[container.info->id] = sample;
    }
    before = std::move(current);
    // CPU needs two looks a second apart; the first one shows nothing.
    if (!first) {
      ASSIGN_OR_RETURN(const auto text, render(format, rows));
      out(stream && is_terminal(STDOUT_FILENO) ? "\x1b[H\x1b[2J" + text : text);
      if (!stream) return 0;
    }
    pollfd ready{interrupts.fd().number(), POLLIN, 0};
    ::poll(&ready, 1, -1);
    for (auto wake = interrupts.next(); wake != Wake::none; wake = interrupts.next()) {
      if (wake == Wake::interrupt || wake == Wake::terminate) return stream ? 0 : 130;
    }
  }
}

}  // namespace compose::cli
