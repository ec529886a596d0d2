#pragma once
#include <string>

#include "base/result.h"

namespace runtime::oci {

struct LogOptions {
  std::string file, format, level;
};

/// Opens --log. Error names the file or the format.
base::Result<> configure_log(const LogOptions& options);

/// One line on stderr, and one in --log in runc's format, which containerd and Podman's conmon read back.
void report_error(const base::Error& error);

/// The same for what went wrong without consequence, at level warning.
void report_warning(const base::Error& error);

/// With --debug: what is being done, as a line of --log, or on stderr in the log's format when there is none.
void report_debug(const std::string& text);

/// Opens /dev/null for whichever of 0, 1, 2 our caller left closed.
void ensure_standard_streams();

/// One line of a log file. Pure.
std::string log_line(const std::string& format, const std::string& level, const std::string& message, const std::string& time);

}  // namespace runtime::oci
