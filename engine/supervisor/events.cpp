#include "engine/supervisor/events.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/api/types_json.h"

namespace engine::supervisor {

void EventLog::write(const Event& event) {
  const auto path = paths::project_run(project_) / "events";
  if (file_.valid() && size_ > file_bytes_max) {
    (void)!base::sys::rename(path, path.string() + ".1").has_value();
    file_.reset();
  }
  if (!file_.valid()) {
    auto opened = base::sys::open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (!opened) return base::log::warning("events", opened.error().text());
    file_ = *std::move(opened);
    struct stat info {};
    size_ = ::fstat(file_.number(), &info) == 0 ? info.st_size : 0;
  }
  const std::string line = to_json(event) + "\n";
  if (auto written = base::sys::write_all(file_.borrow(), line); !written) base::log::warning("events", written.error().text());
  size_ += static_cast<std::int64_t>(line.size());
}

void EventLog::container(const store::ContainerRecord& record, const ContainerSpec& spec, std::string action,
                         std::map<std::string, std::string> more) {
  Event event{.time_ns = store::now_ns(), .action = std::move(action), .id = record.id};
  event.attributes = spec.labels;
  event.attributes["name"] = record.name;
  event.attributes["image"] = spec.image;
  event.attributes.merge(more);
  write(event);
}

void EventLog::object(std::string type, std::string action, const std::string& name) {
  write({.time_ns = store::now_ns(), .type = std::move(type), .action = std::move(action), .id = name, .attributes = {{"name", name}}});
}

}  // namespace engine::supervisor
