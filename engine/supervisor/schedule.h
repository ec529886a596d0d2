#pragma once
// Which steps of a plan may run now. Pure: no clock, no thread, no container.
#include <cstddef>
#include <vector>

#include "engine/api/plan.h"

namespace engine::supervisor {

class Schedule {
 public:
  /// Steps whose `after` points forwards or outside the plan make it invalid: check() says so.
  explicit Schedule(const Plan& plan);
  [[nodiscard]] bool valid() const { return valid_; }

  /// Steps released since the last call, in plan order. Each is handed out once.
  std::vector<std::size_t> take_ready();
  /// The outcome of a step handed out. A failure keeps everything that comes after it, directly or not, from running;
  /// the failure of an optional step counts as success.
  void finished(std::size_t step, bool success);
  /// No further step is handed out.
  void cancel();

  [[nodiscard]] bool done() const { return running_ == 0 && ready_.empty(); }
  [[nodiscard]] std::size_t succeeded() const { return succeeded_; }
  /// Never handed out; final once done().
  [[nodiscard]] std::size_t skipped() const { return steps_.size() - handed_out_; }

 private:
  struct Node {
    std::size_t waits_for = 0;
    bool optional = false;
    std::vector<std::size_t> releases;
  };
  std::vector<Node> steps_;
  std::vector<std::size_t> ready_;
  std::size_t running_ = 0, handed_out_ = 0, succeeded_ = 0;
  bool valid_ = true, cancelled_ = false;
};

}  // namespace engine::supervisor
