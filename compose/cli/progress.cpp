#include "compose/cli/progress.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "compose/cli/globals.h"
#include "compose/cli/output.h"

namespace compose::cli {
namespace {

using Clock = std::chrono::steady_clock;

bool is_error(std::string_view status) { return status == "Error" || status == "Interrupted"; }
bool is_warning(std::string_view status) { return status == "Warning" || status == "Skipped" || status == "Resource is still in use"; }

class Quiet final : public ProgressWriter {
 public:
  void change(const Change&) override {}
};

class Plain final : public ProgressWriter {
 public:
  void change(const Change& change) override {
    const std::string prefix = globals().dry_run ? " DRY-RUN MODE - " : "";
    // Objects are "Container x"; a bare name is an image or a service, which Docker Compose prints with one space.
    const bool object = change.id.find(' ') != std::string::npos && !change.sentence;
    std::string line = prefix + " " + change.id + (object || change.status == "Built" ? "  " : " ") + change.status;
    if (!object && !change.sentence && change.status != "Built") line += " " + change.detail;
    err(line + "\n");
  }
};

class Json final : public ProgressWriter {
 public:
  void change(const Change& change) override {
    std::string line = "{";
    if (globals().dry_run) line += "\"dry-run\":true,";
    line += "\"id\":" + json_string(change.id);
    if (!change.status.empty()) line += ",\"status\":" + json_string(change.status);
    if (!change.detail.empty()) line += ",\"details\":" + json_string(change.detail);
    err(line + "}\n");
  }
};

/// Docker Compose's live view: a heading and a line an object, redrawn in place.
class Live final : public ProgressWriter {
 public:
  explicit Live(std::string heading) : heading_(std::move(heading)), colour_(colour_on(STDERR_FILENO)) {}

  void change(const Change& change) override {
    const std::scoped_lock lock(mutex_);
    auto [at, fresh] = index_.try_emplace(change.id, lines_.size());
    if (fresh) lines_.push_back({.change = change, .begin = Clock::now(), .end = {}});
    Line& line = lines_[at->second];
    // A second life (Created, then Starting): the clock starts again.
    if (line.end && !is_final(change.status)) {
      line.end.reset();
      line.begin = Clock::now();
    }
    line.change = change;
    if (is_final(change.status)) line.end = Clock::now();
    const auto now = Clock::now();
    if (is_final(change.status) || now - drawn_ > std::chrono::milliseconds(40)) draw();
  }
  void tick() override {
    const std::scoped_lock lock(mutex_);
    if (!lines_.empty()) draw();
  }
  void finish() override {
    const std::scoped_lock lock(mutex_);
    if (!lines_.empty()) draw();
    lines_.clear();
    index_.clear();
    drawn_lines_ = 0;
  }

 private:
  struct Line {
    Change change;
    Clock::time_point begin;
    std::optional<Clock::time_point> end;
  };

  std::string paint(const char* code, const std::string& text) const { return colour_ ? "\x1b[" + std::string(code) + "m" + text + "\x1b[0m" : text; }

  std::string mark(const Line& line) const {
    if (is_error(line.change.status)) return paint("31", "✘");
    if (is_warning(line.change.status)) return paint("33", "!");
    if (line.end) return paint("32", "✔");
    static constexpr const char* spinner[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
    const auto step = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start_).count() / 100;
    return paint("34", spinner[step % 10]);
  }

  void draw() {
    drawn_ = Clock::now();
    const std::size_t columns = terminal_columns(STDERR_FILENO);
    const auto done = std::count_if(lines_.begin(), lines_.end(), [](const Line& line) { return line.end.has_value(); });
    std::string screen = "\x1b[?25l";
    if (drawn_lines_ > 0) screen += "\x1b[" + std::to_string(drawn_lines_) + "A\r";
    const std::string prefix = globals().dry_run ? " DRY-RUN MODE - " : "";
    screen += prefix + "[+] " + heading_ + " " + std::to_string(done) + "/" + std::to_string(lines_.size()) + "\x1b[K\n";
    std::size_t width = 0, status_width = 0;
    for (const auto& line : lines_) {
      width = std::max(width, line.change.id.size());
      status_width = std::max(status_width, line.change.status.size());
    }
    for (const auto& line : lines_) screen += one(line, width, status_width, columns);
    screen += "\x1b[J\x1b[?25h";
    drawn_lines_ = lines_.size() + 1;
    err(screen);
  }

  std::string one(const Line& line, std::size_t width, std::size_t status_width, std::size_t columns) const {
    char clock[32];
    std::snprintf(clock, sizeof clock, "%.1fs", std::chrono::duration<double>((line.end ? *line.end : Clock::now()) - line.begin).count());
    std::string text = line.change.id + std::string(width - line.change.id.size() + 1, ' ');
    std::string status = line.change.status + std::string(status_width - line.change.status.size() + 1, ' ');
    std::string detail = line.change.detail;
    const std::size_t used = 3 + text.size() + status.size() + std::string_view(clock).size() + 1;
    const std::size_t room = columns > used ? columns - used : 0;
    if (detail.size() > room) detail.clear();
    std::string gap(room - detail.size(), ' ');
    const char* colour = is_error(line.change.status) ? "31" : is_warning(line.change.status) ? "33" : line.end ? "32" : "34";
    return " " + mark(line) + " " + text + paint(colour, status) + detail + gap + paint("34", clock) + " \x1b[K\n";
  }

  std::mutex mutex_;
  std::string heading_;
  bool colour_;
  std::vector<Line> lines_;
  std::unordered_map<std::string, std::size_t> index_;
  Clock::time_point start_ = Clock::now(), drawn_ = {};
  std::size_t drawn_lines_ = 0;
};

}  // namespace

bool is_final(std::string_view status) {
  static constexpr std::string_view words[] = {"Created", "Started",  "Running", "Healthy", "Exited",   "Error",  "Recreated", "Stopped",
                                               "Removed", "Killed",   "Paused",  "Unpaused", "Pulled",  "Built",  "Pushed",    "Skipped",
                                               "Warning", "Interrupted", "Resource is still in use", "Restarted", "Copied", "Exported"};
  return std::find(std::begin(words), std::end(words), status) != std::end(words) || status.starts_with("Committed");
}

Change to_change(const engine::Progress& progress) {
  return {progress.object + " " + progress.name, progress.status, progress.error};
}

std::unique_ptr<ProgressWriter> make_progress(const std::string& heading) {
  const auto& mode = globals().progress;
  if (mode == "quiet") return std::make_unique<Quiet>();
  if (mode == "json") return std::make_unique<Json>();
  const bool live = mode == "tty" || (mode == "auto" && globals().ansi != "never" && is_terminal(STDERR_FILENO));
  if (live) return std::make_unique<Live>(heading);
  return std::make_unique<Plain>();
}

}  // namespace compose::cli
