#include "base/log.h"

#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace base::log {
namespace {
int sink_number = STDERR_FILENO;
Level lowest = Level::warning;
constexpr std::string_view kNames[] = {"debug", "info", "warning", "error"};
}  // namespace

void configure(Fd sink, Level from) {
  sink_number = sink.number();
  lowest = from;
}

void line(Level level, std::string_view component, std::string_view text) {
  if (level < lowest) return;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  char stamp[40];
  const std::size_t length = std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(stamp + length, sizeof stamp - length, ".%03ldZ ", now.tv_nsec / 1000000);
  std::string out = stamp;
  out.append(kNames[static_cast<std::size_t>(level)]).append(" ");
  out.append(component).append(": ").append(text).append("\n");
  (void)!::write(sink_number, out.data(), out.size());
}

}  // namespace base::log
