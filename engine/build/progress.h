#pragma once
// What a build prints while it works: BuildKit's plain text, or JSON lines for our own CLI.
// Source: moby/buildkit util/progress/progressui/printer.go.
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>

#include "base/unique_fd.h"
#include "engine/build/build.h"

namespace engine::build {

/// One thing being done, "[2/3] RUN make". Numbered from 1 in the order they begin.
using Vertex = int;

/// Thread-safe. Lines of steps that run at the same time are grouped as BuildKit groups them.
class Progress {
 public:
  Progress(base::Fd out, ProgressMode mode) : out_(out), mode_(mode) {}

  Vertex begin(const std::string& name);
  /// What follows is about this platform: "[2/3] RUN make" becomes "[linux/arm64 2/3] RUN make". "" = there is only one.
  void set_platform(const std::string& platform);
  /// Output of a command: whole lines are stamped with the seconds since its begin.
  void output(Vertex vertex, std::string_view text);
  /// A line of ours: "transferring context: 2B done".
  void note(Vertex vertex, const std::string& line);
  void done(Vertex vertex);
  void cached(Vertex vertex);
  void cancelled(Vertex vertex);
  /// The error, and what the command said last.
  void error(Vertex vertex, const std::string& message);
  /// The end of a successful build.
  void result(const std::string& image_id);
  /// What the build checks found, a line each; plain and json.
  void warnings(const std::vector<std::string>& lines);
  /// Text of its own: the report of a check.
  void text(const std::string& text) { write(text); }

 private:
  using Clock = std::chrono::steady_clock;
  struct State {
    std::string name;
    Clock::time_point begun;
    std::string partial;            ///< an unfinished line
    std::deque<std::string> tail;   ///< last lines, repeated under an error
    bool ended = false;
    Clock::time_point last_shown;
  };
  [[nodiscard]] double seconds(const State& state) const;
  void switch_to(Vertex vertex, State& state);
  void print_line(Vertex vertex, State& state, const std::string& line);
  void end(Vertex vertex, const std::string& word, const char* event);
  void json(Vertex vertex, const char* event, const std::string& text, double seconds, const std::string& name = {});
  void write(const std::string& text);

  base::Fd out_;
  ProgressMode mode_;
  std::mutex mutex_;
  std::map<Vertex, State> states_;
  Vertex last_ = 0;
  Vertex current_ = 0;             ///< whose lines are being printed
  bool printed_ = false;
  std::string platform_;
  Clock::time_point begun_ = Clock::now();
};

/// "94B", "1.98MB" as BuildKit writes sizes.
std::string size_text(std::int64_t bytes);
/// A string as JSON, quotes included.
std::string json_text(std::string_view text);

}  // namespace engine::build
