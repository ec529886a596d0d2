#include "runtime/oci/logging.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sys.h"
#include "runtime/oci/state.h"
#include "runtime/spec/json_writer.h"

namespace runtime::oci {

using base::Result;
namespace sys = base::sys;

namespace {
struct {
  base::UniqueFd file;
  std::string format;
  bool debug = false;
} the_log;  // one per process, set before anything can fail
}  // namespace

std::string log_line(const std::string& format, const std::string& level, const std::string& message, const std::string& time) {
  spec::JsonWriter json;
  if (format == "json") {
    json.object("", [&] { json.text("level", level).text("msg", message).text("time", time); });
    return json.take() + "\n";
  }
  json.text("", message);
  return "time=\"" + time + "\" level=" + level + " msg=" + json.take() + "\n";
}

Result<> configure_log(const LogOptions& options) {
  if (!options.format.empty() && options.format != "text" && options.format != "json")
    return base::make_error(base::ErrorKind::invalid, "--log-format: '" + options.format + "' is not text or json");
  using base::log::Level;
  const Level from = options.level == "debug" ? Level::debug : options.level == "info" ? Level::info
                     : options.level == "error" ? Level::error : Level::warning;
  base::log::configure(base::Fd(2), from);
  the_log.format = options.format;
  the_log.debug = from == Level::debug;
  if (options.file.empty() || options.file == "/dev/stderr") return {};
  ASSIGN_OR_RETURN(the_log.file, sys::open(options.file, O_WRONLY | O_CREAT | O_APPEND, 0644));
  return {};
}

// Plain write(2), outside the fault sweep: these lines are the sweep's own witness.

namespace {

void report(const char* level, const char* mark, const std::string& text) {
  const auto write_line = [](int fd, const std::string& line) {
    [[maybe_unused]] const ssize_t count = ::write(fd, line.data(), line.size());
  };
  write_line(2, "compose-runtime: " + (mark + text) + "\n");
  if (the_log.file.valid()) write_line(the_log.file.number(), log_line(the_log.format, level, text, now_text()));
}

}  // namespace

void report_error(const base::Error& error) { report("error", "", error.text()); }
void report_warning(const base::Error& error) { report("warning", "warning: ", error.text()); }

void report_debug(const std::string& text) {
  if (!the_log.debug) return;
  const std::string line = log_line(the_log.format, "debug", text, now_text());
  [[maybe_unused]] const ssize_t count = ::write(the_log.file.valid() ? the_log.file.number() : 2, line.data(), line.size());
}

void ensure_standard_streams() {
  while (true) {
    const int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    if (fd > 2) {
      ::close(fd);
      return;
    }
    (void)::fcntl(fd, F_SETFD, 0);
  }
}

}  // namespace runtime::oci
