#pragma once
// The short forms of ports, mounts and devices, as pure functions over text.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace compose::load {

/// "[host:][port[-port]:]port[-port][/protocol]", one a published pair.
struct ShortPort {
  std::string host_ip;
  std::uint16_t target = 0;
  std::string published;
  std::string protocol = "tcp";
};
struct ShortPorts {
  std::vector<ShortPort> ports;
  std::string error;
};
ShortPorts parse_ports(std::string_view text);

/// "[source:]target[:options]" with Windows paths.
struct ShortMount {
  std::string type = "volume";             ///< volume | bind | npipe
  std::string source, target;
  bool read_only = false;
  bool bind = false;                       ///< has bind options (create_host_path is implied true)
  std::string propagation, selinux, consistency;
  bool nocopy = false;
  std::string error;
};
ShortMount parse_mount(std::string_view text);

/// Lexical cleaning of a slash path: no "//", ".", "x/..", trailing slash; "" stays.
std::string clean_path(std::string_view path);

/// "source[:target[:permissions]]".
struct ShortDevice {
  std::string source, target, permissions, error;
};
ShortDevice parse_device(std::string_view text);

/// Words of a command line as a shell splits them (quotes, backslashes, no expansion); nullopt when a quote is open.
std::optional<std::vector<std::string>> split_words(std::string_view text);

}  // namespace compose::load
