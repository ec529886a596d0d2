#pragma once
// The image config (OCI image-spec config.md, with Docker's additions), as plain values.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/api/types.h"

namespace engine::images {

using base::Result;

struct History {
  std::string created, created_by, author, comment;
  bool empty_layer = false;
};

struct ImageConfig {
  std::string os = "linux", architecture = "amd64", variant, os_version;
  std::string created;                       ///< RFC 3339 as in the file; "" = absent
  std::string author;
  std::string user, working_dir, stop_signal;
  std::optional<int> stop_timeout_s;
  std::optional<std::vector<std::string>> entrypoint, cmd;
  std::vector<std::string> env;              ///< "KEY=VALUE"
  std::vector<std::string> exposed_ports;    ///< "80/tcp", sorted
  std::vector<std::string> volumes;          ///< absolute paths, sorted
  Labels labels;
  std::vector<std::string> shell, on_build;
  bool args_escaped = false;                 ///< Docker's "ArgsEscaped": BuildKit sets it with every CMD
  std::optional<HealthSpec> healthcheck;
  std::vector<History> history;
  std::vector<std::string> diff_ids;         ///< bottom → top

  /// "linux/amd64", "linux/arm64/v8"
  [[nodiscard]] std::string platform() const;
};

/// Parses config bytes from outside. Errors: invalid (not JSON, wrong types, a diff id that is no digest).
Result<ImageConfig> parse_config(std::string_view json);
/// Canonical text: fixed key order, so equal configs have equal ids.
std::string to_json(const ImageConfig& config);
/// RFC 3339 → nanoseconds since the epoch; 0 when it is none.
WallNs parse_time(std::string_view text);
/// Nanoseconds since the epoch → "2026-11-22T14:20:39.402123456Z"
std::string format_time(WallNs time);
/// The same for whole seconds, which reach further than 64 bits of nanoseconds.
std::string format_time_s(std::int64_t seconds);

}  // namespace engine::images
