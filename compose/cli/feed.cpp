#include "compose/cli/feed.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "base/sys.h"
#include "engine/client/client.h"

namespace compose::cli {

using base::Result;

Result<std::unique_ptr<EventFeed>> EventFeed::start(const std::string& project, engine::WallNs since) {
  std::unique_ptr<EventFeed> feed(new EventFeed);
  ASSIGN_OR_RETURN(const long ready, base::sys::wrap("eventfd", ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
  feed->ready_ = base::UniqueFd(static_cast<int>(ready));
  ASSIGN_OR_RETURN(const long stop, base::sys::wrap("eventfd", ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
  feed->stop_ = base::UniqueFd(static_cast<int>(stop));
  feed->thread_ = std::thread([self = feed.get(), project, since] {
    engine::client::EventsOptions options;
    options.since = since;
    options.follow = true;
    options.interrupt = self->stop_.borrow();
    // Events tell when containers end; should they fail, the logs still flow and Ctrl-C still works.
    (void)engine::client::events(project, options, [self](const engine::Event& event) {
      self->push(event);
      return true;
    });
  });
  return feed;
}

EventFeed::~EventFeed() {
  const std::uint64_t one = 1;
  (void)!::write(stop_.number(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
}

void EventFeed::push(const engine::Event& event) {
  const std::scoped_lock lock(mutex_);
  events_.push_back(event);
  const std::uint64_t one = 1;
  (void)!::write(ready_.number(), &one, sizeof one);
}

std::optional<engine::Event> EventFeed::take() {
  const std::scoped_lock lock(mutex_);
  if (events_.empty()) {
    std::uint64_t count = 0;
    (void)!::read(ready_.number(), &count, sizeof count);
    return std::nullopt;
  }
  engine::Event event = std::move(events_.front());
  events_.pop_front();
  return event;
}

}  // namespace compose::cli
