#pragma once
// What happened, as lines of JSON in run/projects/P/events: written by the supervisor, read by `events` with inotify. A file rather than
// a stream of the API, so that a watcher neither needs a supervisor nor notices its restarts.
#include <string>

#include "base/unique_fd.h"
#include "engine/api/plan.h"
#include "engine/store/store.h"

namespace engine::supervisor {

class EventLog {
 public:
  static constexpr std::int64_t file_bytes_max = 1 << 20;  ///< then it is renamed to events.1, replacing the one before

  explicit EventLog(std::string project) : project_(std::move(project)) {}
  /// One write(2) to a file opened O_APPEND: readers see whole lines. Failures are logged, not returned: an event never fails an action.
  void write(const Event& event);
  /// An event of a container, with Docker's attributes: its labels, name and image.
  void container(const store::ContainerRecord& record, const ContainerSpec& spec, std::string action,
                 std::map<std::string, std::string> more = {});
  void object(std::string type, std::string action, const std::string& name);

 private:
  std::string project_;
  base::UniqueFd file_;
  std::int64_t size_ = 0;
};

}  // namespace engine::supervisor
