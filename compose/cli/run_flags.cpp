#include "compose/cli/run_flags.h"

#include <charconv>
#include <cstdlib>

#include "base/sys.h"

namespace compose::cli {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const auto end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

struct Range {
  int first = 0, last = 0;
};

Result<Range> parse_range(const std::string& text, const std::string& whole) {
  const auto number = [&](std::string_view part) -> int {
    int value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    return error == std::errc() && end == part.data() + part.size() && value > 0 && value <= 65535 ? value : -1;
  };
  const auto dash = text.find('-');
  Range range{number(text.substr(0, dash)), 0};
  range.last = dash == std::string::npos ? range.first : number(text.substr(dash + 1));
  if (range.first < 0 || range.last < range.first) return make_error(ErrorKind::invalid, "invalid port specification: \"" + whole + "\"");
  return range;
}

}  // namespace

std::string with_value(const std::string& entry, const model::StringMap& environment) {
  if (entry.find('=') != std::string::npos) return entry;
  const auto found = environment.find(entry);
  return found == environment.end() ? entry : entry + "=" + found->second;
}

Result<std::vector<std::string>> read_env_file(const std::string& path) {
  ASSIGN_OR_RETURN(const auto text, base::sys::read_file(path, 1 << 20));
  std::vector<std::string> entries;
  for (auto line : split(text, '\n')) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    line.erase(0, line.find_first_not_of(" \t"));
    if (line.starts_with("export ")) line.erase(0, 7);
    if (line.empty() || line[0] == '#') continue;
    const auto equals = line.find('=');
    if (equals != std::string::npos && line.size() >= equals + 3 && (line[equals + 1] == '"' || line[equals + 1] == '\'') && line.back() == line[equals + 1]) {
      line = line.substr(0, equals + 1) + line.substr(equals + 2, line.size() - equals - 3);
    }
    entries.push_back(line);
  }
  return entries;
}

Result<std::vector<engine::PortBinding>> parse_publish(const std::string& text) {
  const auto slash = text.find('/');
  const std::string protocol = slash == std::string::npos ? "tcp" : text.substr(slash + 1);
  if (protocol != "tcp" && protocol != "udp") return make_error(ErrorKind::invalid, "invalid port specification: \"" + text + "\": protocol '" + protocol + "'");
  std::string rest = text.substr(0, slash), host_ip;
  if (rest.starts_with('[')) {
    const auto close = rest.find("]:");
    if (close == std::string::npos) return make_error(ErrorKind::invalid, "invalid port specification: \"" + text + "\"");
    host_ip = rest.substr(1, close - 1);
    rest = rest.substr(close + 2);
  }
  auto parts = split(rest, ':');
  if (parts.size() == 3 && host_ip.empty()) {
    host_ip = parts[0];
    parts.erase(parts.begin());
  }
  if (parts.empty() || parts.size() > 2) return make_error(ErrorKind::invalid, "invalid port specification: \"" + text + "\"");
  ASSIGN_OR_RETURN(const Range inner, parse_range(parts.back(), text));
  Range outer;
  if (parts.size() == 2 && !parts[0].empty()) {
    ASSIGN_OR_RETURN(outer, parse_range(parts[0], text));
  }
  const bool same_length = outer.last - outer.first == inner.last - inner.first;
  if (outer.first != 0 && !same_length && inner.first != inner.last) {
    return make_error(ErrorKind::invalid, "invalid port specification: \"" + text + "\": ranges of different length");
  }
  std::vector<engine::PortBinding> bindings;
  for (int port = inner.first; port <= inner.last; ++port) {
    engine::PortBinding binding;
    binding.host_ip = host_ip;
    binding.container_port = static_cast<std::uint16_t>(port);
    binding.protocol = protocol;
    if (outer.first != 0) binding.host_port = static_cast<std::uint16_t>(outer.first + (same_length ? port - inner.first : 0));
    if (outer.first != 0 && !same_length) binding.host_port_last = static_cast<std::uint16_t>(outer.last);
    bindings.push_back(std::move(binding));
  }
  return bindings;
}

Result<engine::MountSpec> parse_volume(const std::string& text, const model::Project& project) {
  const auto parts = split(text, ':');
  engine::MountSpec mount;
  if (parts.size() > 3 || text.empty()) return make_error(ErrorKind::invalid, "invalid volume specification: \"" + text + "\"");
  mount.target = parts.size() == 1 ? parts[0] : parts[1];
  if (!mount.target.starts_with('/')) return make_error(ErrorKind::invalid, "invalid volume specification: \"" + text + "\": the target must be absolute");
  if (parts.size() > 1) {
    const std::string& source = parts[0];
    if (source.starts_with('/') || source.starts_with('.') || source.starts_with('~')) {
      mount.type = engine::MountType::bind;
      std::filesystem::path path(source);
      const char* home = std::getenv("HOME");
      if (source.starts_with("~") && home != nullptr) path = std::string(home) + source.substr(1);
      mount.source = (path.is_absolute() ? path : std::filesystem::path(project.working_dir) / path).lexically_normal().string();
      if (mount.source.size() > 1 && mount.source.ends_with('/')) mount.source.pop_back();
    } else {
      const auto named = project.volumes.find(source);
      if (named == project.volumes.end()) {
        return make_error(ErrorKind::invalid, "undefined volume \"" + source + "\": it is not in the top-level volumes");
      }
      mount.source = named->second.name;
    }
  }
  if (parts.size() < 3) return mount;
  for (const auto& option : split(parts[2], ',')) {
    if (option == "ro") mount.read_only = true;
    else if (option == "nocopy") mount.nocopy = true;
    else if (option == "rprivate" || option == "private" || option == "rshared" || option == "shared" || option == "rslave" || option == "slave") mount.propagation = option;
    else if (option != "rw" && option != "z" && option != "Z") return make_error(ErrorKind::invalid, "invalid volume option \"" + option + "\" in \"" + text + "\"");
  }
  return mount;
}

}  // namespace compose::cli
