#include "compose/load/shorts.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace compose::load {
namespace {

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc() || end != text.data() + text.size() || value > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(value);
}

struct Range {
  std::uint16_t first = 0, last = 0;
};

std::optional<Range> parse_range(std::string_view text) {
  const auto dash = text.find('-');
  if (dash == std::string_view::npos) {
    const auto port = parse_port(text);
    if (!port) return std::nullopt;
    return Range{*port, *port};
  }
  const auto first = parse_port(text.substr(0, dash)), last = parse_port(text.substr(dash + 1));
  if (!first || !last || *last < *first) return std::nullopt;
  return Range{*first, *last};
}

bool is_address(const std::string& text) {
  unsigned char buffer[16];
  return ::inet_pton(AF_INET, text.c_str(), buffer) == 1 || ::inet_pton(AF_INET6, text.c_str(), buffer) == 1;
}

std::string port_error(std::string_view what, std::string_view text) {
  const bool number = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (number) return std::string(what) + " " + std::string(text) + " is out of range 0-65535";
  return "'" + std::string(text) + "' is not a " + std::string(what) + " or a range of them";
}

/// "[::1]" → "::1"; "" stays.
std::optional<std::string> bare_address(std::string_view text) {
  if (text.empty()) return "";
  if (text.front() == '[' && text.back() == ']') text = text.substr(1, text.size() - 2);
  else if (text.find(':') != std::string_view::npos) return std::nullopt;
  std::string address(text);
  return is_address(address) ? std::optional(address) : std::nullopt;
}

/// address, host and container part: split at the last two colons.
struct PortParts {
  std::string_view address, host, container;
};

PortParts split_port(std::string_view text) {
  const auto last = text.rfind(':');
  if (last == std::string_view::npos) return {{}, {}, text};
  const auto front = text.substr(0, last);
  const auto middle = front.rfind(':');
  if (middle == std::string_view::npos) return {{}, front, text.substr(last + 1)};
  return {front.substr(0, middle), front.substr(middle + 1), text.substr(last + 1)};
}

}  // namespace

ShortPorts parse_ports(std::string_view text) {
  const auto failure = [](std::string message) {
    ShortPorts failed;
    failed.error = std::move(message);
    return failed;
  };
  const PortParts parts = split_port(text);
  std::string protocol = "tcp";
  std::string_view container = parts.container;
  if (const auto slash = container.find('/'); slash != std::string_view::npos) {
    const auto word = container.substr(slash + 1);
    if (const auto name = word.substr(0, word.find('/')); !name.empty()) protocol = name;
    container = container.substr(0, slash);
    std::transform(protocol.begin(), protocol.end(), protocol.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  }
  const auto address = bare_address(parts.address);
  if (!address) return failure("'" + std::string(parts.address) + "' is not an IP address");
  if (container.empty()) return failure("'" + std::string(text) + "' names no container port");
  const auto target = parse_range(container);
  if (!target) return failure(port_error("container port", container));
  if (target->first == 0) return failure("container port 0 is no port");
  Range host{};
  if (!parts.host.empty()) {
    const auto range = parse_range(parts.host);
    if (!range) return failure(port_error("host port", parts.host));
    host = *range;
    if (target->first != target->last && host.last - host.first != target->last - target->first)
      return failure("port ranges " + std::string(parts.host) + " and " + std::string(container) + " differ in length");
  }
  if (protocol != "tcp" && protocol != "udp" && protocol != "sctp")
    return failure("'" + protocol + "' is not a protocol: tcp, udp or sctp");
  ShortPorts result;
  for (std::uint32_t i = 0; i <= static_cast<std::uint32_t>(target->last - target->first); ++i) {
    ShortPort port{*address, static_cast<std::uint16_t>(target->first + i), "", protocol};
    if (!parts.host.empty()) {
      port.published = std::to_string(host.first + i);
      if (target->first == target->last && host.first != host.last) port.published += "-" + std::to_string(host.last);
    }
    result.ports.push_back(std::move(port));
  }
  // Docker's library hands ranges out ordered by the text of the port: 100 comes before 99.
  std::stable_sort(result.ports.begin(), result.ports.end(),
                   [](const ShortPort& a, const ShortPort& b) { return std::to_string(a.target) < std::to_string(b.target); });
  return result;
}

namespace {

/// Bytes of the letter `text` begins with, 0 when it begins with something else. Beyond ASCII the scripts in wide use.
std::size_t letter_size(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return (text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z') ? 1 : 0;
  const std::size_t size = byte(0) >= 0xE0 ? 3 : 2;
  if (byte(0) < 0xC2 || byte(0) >= 0xF0 || text.size() < size) return 0;
  std::uint32_t code = byte(0) & (size == 3 ? 0x0FU : 0x1FU);
  for (std::size_t i = 1; i < size; ++i) code = (code << 6U) | (byte(i) & 0x3FU);
  static constexpr std::pair<std::uint32_t, std::uint32_t> letters[] = {
      {0xAA, 0xAA},     {0xB5, 0xB5},     {0xBA, 0xBA},     {0xC0, 0xD6},     {0xD8, 0xF6},     {0xF8, 0x2C1},
      {0x386, 0x386},   {0x388, 0x3F5},   {0x3F7, 0x481},   {0x48A, 0x52F},   {0x531, 0x556},   {0x561, 0x587},
      {0x5D0, 0x5EA},   {0x620, 0x64A},   {0x671, 0x6D3},   {0x904, 0x939},   {0xE01, 0xE30},   {0x10A0, 0x10C5},
      {0x1E00, 0x1FBC}, {0x3041, 0x3096}, {0x30A1, 0x30FA}, {0x3105, 0x312F}, {0x3400, 0x4DBF}, {0x4E00, 0x9FFF},
      {0xAC00, 0xD7A3}, {0xFF21, 0xFF3A}, {0xFF41, 0xFF5A}};
  const bool letter = std::any_of(std::begin(letters), std::end(letters),
                                  [&](const auto& range) { return code >= range.first && code <= range.second; });
  return letter ? size : 0;
}

/// As Docker Compose tells a bind from a named volume.
bool is_path(std::string_view source) {
  if (source.empty()) return false;
  if (source[0] == '.' || source[0] == '/' || source[0] == '~') return true;
  if (source.starts_with("\\\\")) return true;
  const std::size_t drive = letter_size(source);
  return drive > 0 && source.size() > drive && source[drive] == ':';
}

void apply_option(ShortMount& mount, std::string_view option) {
  static constexpr std::string_view propagations[] = {"private", "rprivate", "shared", "rshared", "slave", "rslave"};
  if (option == "ro") mount.read_only = true;
  else if (option == "rw") mount.read_only = false;
  else if (option == "nocopy") mount.nocopy = true;
  else if (option == "z" || option == "Z") mount.bind = true, mount.selinux = option;
  else if (std::find(std::begin(propagations), std::end(propagations), option) != std::end(propagations))
    mount.bind = true, mount.propagation = option;
}

}  // namespace

std::string clean_path(std::string_view path) {
  if (path.empty()) return "";
  const bool absolute = path.front() == '/';
  std::vector<std::string_view> parts;
  for (std::size_t i = 0; i <= path.size();) {
    const auto end = std::min(path.find('/', i), path.size());
    const auto part = path.substr(i, end - i);
    if (part == ".." && !parts.empty() && parts.back() != "..") parts.pop_back();
    else if (part == "..") {
      if (!absolute) parts.push_back(part);
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
    i = end + 1;
  }
  std::string out = absolute ? "/" : "";
  for (std::size_t i = 0; i < parts.size(); ++i) out.append(i == 0 ? "" : "/").append(parts[i]);
  return out.empty() ? "." : out;
}

namespace {

/// The parts between colons. "C:" at the beginning of a part is a Windows drive, not a separator; neither is a colon
/// inside of a variable that is still in its place.
std::vector<std::string_view> mount_fields(std::string_view text) {
  std::vector<std::string_view> fields;
  std::size_t begin = 0, braces = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '$' && text.substr(i + 1).starts_with('{')) ++braces;
    else if (text[i] == '}' && braces > 0) --braces;
    if (text[i] != ':' || braces > 0) continue;
    const std::size_t drive = letter_size(text.substr(begin));
    if (drive > 0 && i == begin + drive) continue;
    fields.push_back(text.substr(begin, i - begin));
    begin = i + 1;
  }
  fields.push_back(text.substr(begin));
  return fields;
}

}  // namespace

ShortMount parse_mount(std::string_view text) {
  ShortMount mount;
  if (text.empty()) {
    mount.error = "a volume cannot be empty";
    return mount;
  }
  if (text.size() <= 2) {
    mount.target = clean_path(text);
    return mount;
  }
  const auto fields = mount_fields(text);
  const auto empty = std::any_of(fields.begin(), fields.end(), [](std::string_view f) { return f.empty(); });
  if (empty) mount.error = "'" + std::string(text) + "' has an empty part between colons";
  else if (fields.size() > 3) mount.error = "'" + std::string(text) + "' has too many colons";
  if (!mount.error.empty()) return mount;
  if (fields.size() == 1) {
    mount.target = clean_path(fields[0]);
  } else {
    mount.source = fields[0];
    mount.target = clean_path(fields[1]);
  }
  if (fields.size() == 3) {
    for (std::size_t i = 0; i <= fields[2].size();) {
      const auto end = std::min(fields[2].find(',', i), fields[2].size());
      apply_option(mount, fields[2].substr(i, end - i));
      i = end + 1;
    }
  }
  if (is_path(mount.source)) mount.type = "bind";
  return mount;
}

ShortDevice parse_device(std::string_view text) {
  ShortDevice device;
  std::vector<std::string_view> fields;
  for (std::size_t i = 0; i <= text.size();) {
    const auto end = std::min(text.find(':', i), text.size());
    fields.push_back(text.substr(i, end - i));
    i = end + 1;
  }
  if (fields.size() > 3) {
    device.error = "'" + std::string(text) + "' has too many colons; use source, target and permissions";
    return device;
  }
  device.source = fields[0];
  device.target = fields.size() > 1 && !fields[1].empty() ? fields[1] : fields[0];
  device.permissions = fields.size() > 2 ? fields[2] : "rwm";
  return device;
}

namespace {

/// State of split_words: which quotes are open.
struct Quoting {
  bool escaped = false, single = false, twice = false, back = false, dollar = false;
  [[nodiscard]] bool open() const { return single || twice || back || dollar; }
};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

}  // namespace

std::optional<std::vector<std::string>> split_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  Quoting q;
  for (const char c : text) {
    if (q.escaped) {
      word += c;
      in_word = true;
      q.escaped = false;
      continue;
    }
    if (c == '\\') {
      if (q.single) word += c;
      else q.escaped = true;
      continue;
    }
    if (is_blank(c)) {
      if (q.open()) {
        word += c;
      } else if (in_word) {
        words.push_back(std::move(word));
        word.clear();
        in_word = false;
      }
      continue;
    }
    if (c == '\'' && !q.twice && !q.dollar && !q.back) {
      q.single = !q.single;
      in_word = true;
      continue;
    }
    if (c == '"' && !q.single && !q.dollar && !q.back) {
      q.twice = !q.twice;
      in_word = true;
      continue;
    }
    if (c == '`' && !q.single && !q.twice && !q.dollar) q.back = !q.back;
    if (c == ')' && !q.single && !q.twice && !q.back) q.dollar = !q.dollar;
    if (c == '(' && !q.single && !q.twice && !q.back) {
      // Only "$(" may open a parenthesis; what is inside stays text.
      if (q.dollar || !word.ends_with('$')) return std::nullopt;
      q.dollar = true;
    }
    // An operator of the shell ends the command, as in Docker Compose's word splitter.
    if (!q.open() && (c == ';' || c == '&' || c == '|' || c == '<' || c == '>')) {
      if (c == '>' && !word.empty() && word[0] >= '0' && word[0] <= '9') in_word = false;
      break;
    }
    word += c;
    in_word = true;
  }
  if (q.escaped || q.open()) return std::nullopt;
  if (in_word) words.push_back(std::move(word));
  return words;
}

}  // namespace compose::load
