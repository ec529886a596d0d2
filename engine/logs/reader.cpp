#include "engine/logs/reader.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/sys.h"
#include "engine/logs/source.h"

namespace engine::logs {

struct LogReader::Impl {
  ReadOptions options;
  base::UniqueFd notify;
  std::vector<std::unique_ptr<Source>> sources;
  Source* current = nullptr;  ///< whose line was handed out last: moves on at the next call
  std::uint64_t reads = 0;

  bool drain_events();
  void load(Source& source);
  Source* earliest();
  void drop_ended();
};

/// Takes note of what changed; false when nothing did.
bool LogReader::Impl::drain_events() {
  if (!notify.valid()) return false;
  bool any = false;
  alignas(inotify_event) char buffer[16 * 1024];
  while (true) {
    const ssize_t count = ::read(notify.number(), buffer, sizeof buffer);
    if (count <= 0) return any;
    for (ssize_t at = 0; at < count;) {
      inotify_event event;
      std::memcpy(&event, buffer + at, sizeof event);
      at += static_cast<ssize_t>(sizeof event + event.len);
      const bool overflow = (event.mask & IN_Q_OVERFLOW) != 0;
      for (auto& source : sources) {
        if (overflow || source->watch == event.wd) any = source->maybe_more = true;
      }
    }
  }
}

void LogReader::Impl::load(Source& source) {
  const auto before = source.reads;
  source.advance();
  reads += source.reads - before;
}

Source* LogReader::Impl::earliest() {
  Source* best = nullptr;
  for (auto& source : sources) {
    if (!source->has_line && source->maybe_more) load(*source);
    if (source->has_line && (!best || source->line().time_ns < best->line().time_ns)) best = source.get();
  }
  return best;
}

void LogReader::Impl::drop_ended() {
  std::erase_if(sources, [&](const auto& source) {
    const bool at_end = !source->has_line && !source->maybe_more;
    const bool ended = at_end && (!options.follow || source->retired || source->finished);
    if (ended && source->watch >= 0) {
      const auto shared = [&](const auto& other) { return other != source && other->watch == source->watch; };
      if (std::none_of(sources.begin(), sources.end(), shared)) ::inotify_rm_watch(notify.number(), source->watch);
    }
    return ended;
  });
}

LogReader::LogReader(ReadOptions options) : impl_(std::make_unique<Impl>()) { impl_->options = options; }
LogReader::~LogReader() = default;
LogReader::LogReader(LogReader&&) noexcept = default;
LogReader& LogReader::operator=(LogReader&&) noexcept = default;

base::Result<> LogReader::add(int source, const std::filesystem::path& log) {
  auto added = std::make_unique<Source>(source, log, impl_->options);
  if (impl_->options.follow) {
    if (!impl_->notify.valid()) {
      ASSIGN_OR_RETURN(const long fd, base::sys::wrap("inotify", ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)));
      impl_->notify = base::UniqueFd(static_cast<int>(fd));
    }
    // The folder, not the file: one watch sees growth, rotation and creation.
    const auto folder = log.parent_path();
    ASSIGN_OR_RETURN(const long watch,
                     base::sys::wrap("watch " + folder.string(),
                                     ::inotify_add_watch(impl_->notify.number(), folder.c_str(),
                                                         IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR)));
    added->watch = static_cast<int>(watch);
  }
  TRY(added->open());
  impl_->sources.push_back(std::move(added));
  return {};
}

void LogReader::retire(int source) {
  for (auto& each : impl_->sources) {
    if (each->number == source) each->retired = each->maybe_more = true;
  }
}

Next LogReader::next(Line& line) {
  auto& impl = *impl_;
  if (impl.current) {
    impl.current->has_line = false;
    impl.current = nullptr;
  }
  while (true) {
    const auto reads_before = impl.reads;
    Source* best = impl.earliest();
    // Every read of a busy log is an occasion to notice the others, else they would starve.
    const bool news = (impl.reads != reads_before || !best) && impl.drain_events();
    if (best) {
      line = best->line();
      impl.current = best;
      best->maybe_more = true;
      return Next::line;
    }
    if (news) continue;
    impl.drop_ended();
    if (impl.sources.empty()) return Next::end;
    return Next::wait;
  }
}

base::Fd LogReader::wait_fd() const { return impl_->notify.borrow(); }

}  // namespace engine::logs
