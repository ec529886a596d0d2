#include "engine/build/progress.h"

#include "base/sys.h"
#include "engine/images/printable.h"

namespace engine::build {
namespace {

constexpr std::size_t tail_lines = 20;
constexpr std::size_t line_bytes_max = 64 * 1024;

std::string fixed(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

}  // namespace

std::string size_text(std::int64_t bytes) {
  static constexpr std::array<const char*, 5> units = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < units.size()) value /= 1000, ++unit;
  char text[32];
  std::snprintf(text, sizeof text, "%.3g%s", value, units[unit]);
  return text;
}

std::string json_text(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (byte < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
      result += escaped;
    } else {
      result += c;
    }
  }
  return result + "\"";
}

void Progress::write(const std::string& text) {
  (void)base::sys::write_all(out_, text);  // nobody reads any more: the build goes on
}

double Progress::seconds(const State& state) const { return std::chrono::duration<double>(Clock::now() - state.begun).count(); }

void Progress::json(Vertex vertex, const char* event, const std::string& text, double at, const std::string& name) {
  write("{\"vertex\":" + std::to_string(vertex) + (name.empty() ? "" : ",\"name\":" + json_text(name)) + ",\"event\":\"" + event +
        "\"" + (text.empty() ? "" : ",\"text\":" + json_text(text)) + ",\"seconds\":" + fixed(at, 3) + "}\n");
}

void Progress::switch_to(Vertex vertex, State& state) {
  if (current_ == vertex) return;
  std::string text;
  if (current_ != 0 && !states_[current_].ended) text += "#" + std::to_string(current_) + " ...\n";
  if (printed_) text += "\n";
  text += "#" + std::to_string(vertex) + " " + state.name + "\n";
  printed_ = true;
  current_ = vertex;
  write(text);
}

void Progress::set_platform(const std::string& platform) {
  const std::lock_guard lock(mutex_);
  platform_ = platform;
}

Vertex Progress::begin(const std::string& plain) {
  const std::lock_guard lock(mutex_);
  const bool of_platform = !platform_.empty() && plain.starts_with('[') && !plain.starts_with("[internal]");
  const std::string name = of_platform ? "[" + platform_ + " " + plain.substr(1) : plain;
  const Vertex vertex = ++last_;
  State& state = states_[vertex];
  state.name = name;
  state.begun = Clock::now();
  if (mode_ == ProgressMode::json) json(vertex, "start", "", 0, name);
  // In plain mode a step that cannot speak yet does not push away one that is speaking.
  if (mode_ == ProgressMode::plain && (current_ == 0 || states_[current_].ended)) switch_to(vertex, state);
  return vertex;
}

void Progress::print_line(Vertex vertex, State& state, const std::string& line) {
  state.tail.push_back(fixed(seconds(state), 3) + " " + line);
  if (state.tail.size() > tail_lines) state.tail.pop_front();
  if (mode_ == ProgressMode::json) json(vertex, "log", line, seconds(state));
  if (mode_ != ProgressMode::plain) return;
  switch_to(vertex, state);
  write("#" + std::to_string(vertex) + " " + fixed(seconds(state), 3) + " " + line + "\n");
}

void Progress::output(Vertex vertex, std::string_view text) {
  const std::lock_guard lock(mutex_);
  State& state = states_[vertex];
  for (const char c : text) {
    if (c == '\n' || state.partial.size() == line_bytes_max) {
      print_line(vertex, state, std::exchange(state.partial, {}));
      if (c == '\n') continue;
    }
    if (c == '\r' ) continue;
    state.partial += c;
  }
}

void Progress::note(Vertex vertex, const std::string& line) {
  const std::lock_guard lock(mutex_);
  State& state = states_[vertex];
  if (mode_ == ProgressMode::json) json(vertex, "log", line, seconds(state));
  if (mode_ != ProgressMode::plain) return;
  switch_to(vertex, state);
  write("#" + std::to_string(vertex) + " " + line + "\n");
}

void Progress::end(Vertex vertex, const std::string& word, const char* event) {
  const std::lock_guard lock(mutex_);
  State& state = states_[vertex];
  if (state.ended) return;
  if (!state.partial.empty()) print_line(vertex, state, std::exchange(state.partial, {}));
  state.ended = true;
  if (mode_ == ProgressMode::json) json(vertex, event, event == std::string_view("error") ? word : "", seconds(state), state.name);
  if (mode_ != ProgressMode::plain) return;
  switch_to(vertex, state);
  std::string text = word;
  if (event == std::string_view("done")) text = "DONE " + fixed(seconds(state), 1) + "s";
  if (event == std::string_view("error")) text = "ERROR: " + word;
  text = "#" + std::to_string(vertex) + " " + text + "\n";
  if (event == std::string_view("error")) {
    text += "------\n > " + state.name + ":\n";
    for (const auto& line : state.tail) text += line + "\n";
    text += "------\n";
  }
  write(text);
}

void Progress::done(Vertex vertex) { end(vertex, "", "done"); }
void Progress::cached(Vertex vertex) { end(vertex, "CACHED", "cached"); }
void Progress::cancelled(Vertex vertex) { end(vertex, "CANCELED", "cancelled"); }
void Progress::error(Vertex vertex, const std::string& message) { end(vertex, images::printable(message), "error"); }

void Progress::result(const std::string& image_id) {
  const std::lock_guard lock(mutex_);
  const double total = std::chrono::duration<double>(Clock::now() - begun_).count();
  if (mode_ == ProgressMode::json)
    write("{\"event\":\"result\",\"image_id\":" + json_text(image_id) + ",\"seconds\":" + fixed(total, 3) + "}\n");
  if (mode_ == ProgressMode::quiet) write(image_id + "\n");
}

void Progress::warnings(const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  const std::lock_guard lock(mutex_);
  if (mode_ == ProgressMode::json)
    for (const auto& line : lines) write("{\"event\":\"warning\",\"text\":" + json_text(line) + "}\n");
  if (mode_ != ProgressMode::plain) return;
  std::string all = "\n " + std::to_string(lines.size()) + (lines.size() == 1 ? " warning" : " warnings") + " found:\n";
  for (const auto& line : lines) all += " - " + line + "\n";
  write(all);
}

}  // namespace engine::build
