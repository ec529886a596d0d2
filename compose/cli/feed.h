#pragma once
// Engine events on a thread of their own, taken one by one where the caller polls.
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/api/plan.h"

namespace compose::cli {

class EventFeed {
 public:
  /// Events from `since` on. The thread ends with the feed.
  static base::Result<std::unique_ptr<EventFeed>> start(const std::string& project, engine::WallNs since);
  ~EventFeed();
  EventFeed(const EventFeed&) = delete;
  EventFeed& operator=(const EventFeed&) = delete;

  /// Readable when take() has something.
  [[nodiscard]] base::Fd fd() const { return ready_.borrow(); }
  std::optional<engine::Event> take();

 private:
  EventFeed() = default;
  void push(const engine::Event& event);
  base::UniqueFd ready_, stop_;
  std::mutex mutex_;
  std::deque<engine::Event> events_;
  std::thread thread_;
};

}  // namespace compose::cli
