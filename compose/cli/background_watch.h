#pragma once
// `compose watch` beside an attached `up`: a process of its own, so that a rebuild does not hold up the logs.
#include <memory>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace compose::cli {

class BackgroundWatch {
 public:
  /// Environment variable with the number of the descriptor that `watch` tells on what it is doing: 'b' busy, 'i' idle.
  static constexpr const char* status_variable = "COMPOSE_WATCH_STATUS_FD";

  static base::Result<std::unique_ptr<BackgroundWatch>> start(const std::string& project, const std::vector<std::string>& services);
  /// Ends it, and waits for that.
  ~BackgroundWatch();
  BackgroundWatch(const BackgroundWatch&) = delete;
  BackgroundWatch& operator=(const BackgroundWatch&) = delete;

  /// Readable when lines() has something to say, or when it ended.
  [[nodiscard]] base::Fd output() const { return output_.borrow(); }
  /// The whole lines it printed since. Call when output() is readable: else it blocks.
  std::vector<std::string> lines();
  [[nodiscard]] bool ended() const { return !output_.valid(); }
  /// It is handling a change: containers may go and come. Never blocks.
  bool busy();

 private:
  BackgroundWatch(base::ChildProcess child, base::UniqueFd output, base::UniqueFd status)
      : child_(std::move(child)), output_(std::move(output)), status_(std::move(status)) {}
  base::ChildProcess child_;
  base::UniqueFd output_, status_;
  std::string begun_;  ///< a line without its end
  bool busy_ = false;
};

}  // namespace compose::cli
