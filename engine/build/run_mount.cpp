// The value of RUN --mount.
#include "engine/build/instruction.h"
#include "engine/build/words.h"

namespace engine::build {
namespace {

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

/// Fields of one CSV record: a field may be quoted, "" inside is a quote.
std::vector<std::string> csv_fields(const std::string& text) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' && quoted && i + 1 < text.size() && text[i + 1] == '"') {
      fields.back() += '"';
      ++i;
    } else if (c == '"' && (quoted || fields.back().empty())) {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

Result<bool> switched(const std::string& key, const std::string& value) {
  if (const auto on = parse_bool(lower(value))) return *on;
  return invalid("invalid value for " + key + ": " + value);
}

Result<std::int64_t> parse_bytes(const std::string& text) {
  std::size_t end = 0;
  while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || (text[end] == '.' && end > 0))) ++end;
  const std::string number = text.substr(0, end);
  std::string unit = lower(trim_left(std::string_view(text).substr(end)));
  if (!unit.empty() && unit.back() == 'b') unit.pop_back();
  if (unit.size() == 2 && unit[1] == 'i') unit.pop_back();
  static constexpr std::string_view units = "kmgt";
  const std::size_t found = unit.empty() ? 0 : units.find(unit.front());
  const std::size_t power = unit.empty() ? 0 : found + 1;
  if (end == 0 || end > 12 || number.back() == '.' || std::count(number.begin(), number.end(), '.') > 1 || unit.size() > 1 || found == std::string_view::npos) return invalid("invalid value for size: " + text);
  if (number.find('.') == std::string::npos) return static_cast<std::int64_t>(std::stoll(number)) << (10 * power);
  return static_cast<std::int64_t>(std::stod(number) * static_cast<double>(std::int64_t{1} << (10 * power)));
}

const char* name_of(RunMountType type) {
  switch (type) {
    case RunMountType::bind: return "bind";
    case RunMountType::cache: return "cache";
    case RunMountType::tmpfs: return "tmpfs";
    case RunMountType::secret: return "secret";
    case RunMountType::ssh: return "ssh";
  }
  return "";
}

/// Which keys go with which type, in BuildKit's words.
Result<> check_allowed(const RunMount& mount, const std::string& key) {
  using enum RunMountType;
  const auto type = mount.type;
  const std::string name = name_of(type);
  if ((key == "mode" || key == "uid" || key == "gid") && (type == bind || type == tmpfs))
    return invalid(key + " not allowed for \"" + name + "\" type mounts");
  if ((key == "size" && type != tmpfs) || (key == "required" && type != secret && type != ssh))
    return invalid("unexpected key '" + key + "' for mount type '" + name + "'");
  if (key == "sharing" && type == secret) return invalid("secret mount should not define sharing");
  if (key == "sharing" && type != cache) return invalid("invalid cache sharing set for " + name + " mount");
  if (key == "from" && type == secret) return invalid("secret mount should not have a from");
  if ((key == "source" || key == "src") && type == tmpfs) return invalid("source not allowed for \"tmpfs\" type mounts");
  if ((key == "source" || key == "src") && type == ssh) return invalid("ssh does not support source");
  return {};
}

Result<> set_field(RunMount& mount, const std::string& key, const std::string& value, bool has_value) {
  TRY(check_allowed(mount, key));
  if (key == "ro" || key == "readonly" || key == "rw" || key == "readwrite") {
    bool on = true;
    if (has_value) {
      ASSIGN_OR_RETURN(on, switched(key, value));
    }
    mount.read_only = (key[1] == 'o' || key == "readonly") ? on : !on;
    return {};
  }
  if (key == "required") {
    mount.required = true;
    if (has_value) {
      ASSIGN_OR_RETURN(mount.required, switched(key, value));
    }
    return {};
  }
  if (!has_value) return invalid("invalid field '" + key + "' must be a key=value pair");
  if (key == "target" || key == "dst" || key == "destination") mount.target = value;
  if (key == "from") mount.from = value;
  if (key == "source" || key == "src") (mount.type == RunMountType::secret ? mount.id : mount.source) = value;
  if (key == "id") mount.id = value;
  if (key == "env") mount.env = value;
  if (key == "uid") mount.uid = value;
  if (key == "gid") mount.gid = value;
  if (key == "size") {
    ASSIGN_OR_RETURN(mount.size_bytes, parse_bytes(value));
  }
  if (key == "mode") {
    std::size_t used = 0;
    const bool octal = !value.empty() && value.size() < 6 && value.find_first_not_of("01234567") == std::string::npos;
    if (!octal) return invalid("invalid value " + value + " for mode");
    mount.mode = static_cast<std::uint32_t>(std::stoul(value, &used, 8));
  }
  if (key == "uid" || key == "gid") {
    if (value.empty() || value.size() > 10 || value.find_first_not_of("0123456789") != std::string::npos)
      return invalid("invalid value " + value + " for " + key);
  }
  if (key == "sharing") {
    const std::string mode = lower(value);
    if (mode == "shared") mount.sharing = CacheSharing::shared;
    else if (mode == "private") mount.sharing = CacheSharing::private_;
    else if (mode == "locked") mount.sharing = CacheSharing::locked;
    else return invalid("unsupported sharing value \"" + mode + "\"");
  }
  return {};
}

}  // namespace

Result<RunMount> parse_run_mount(const std::string& text) {
  RunMount mount;
  const auto fields = csv_fields(text);
  // The type decides which keys are known, wherever it stands.
  for (const auto& field : fields) {
    if (lower(field.substr(0, 5)) != "type=") continue;
    const std::string type = lower(field.substr(5));
    if (type == "bind") mount.type = RunMountType::bind;
    else if (type == "cache") mount.type = RunMountType::cache;
    else if (type == "tmpfs") mount.type = RunMountType::tmpfs;
    else if (type == "secret") mount.type = RunMountType::secret;
    else if (type == "ssh") mount.type = RunMountType::ssh;
    else return invalid("unsupported mount type \"" + type + "\"");
  }
  static const std::set<std::string> known = {"type", "from", "source", "src", "target", "dst", "destination", "ro", "readonly", "rw",
                                              "readwrite", "id", "sharing", "required", "size", "mode", "uid", "gid", "env"};
  for (const auto& field : fields) {
    const std::size_t equals = field.find('=');
    const std::string key = lower(field.substr(0, equals));
    const bool flag = key == "ro" || key == "readonly" || key == "rw" || key == "readwrite" || key == "required" || key == "env";
    if (equals == std::string::npos && !flag) return invalid("invalid field '" + field + "' must be a key=value pair");
    if (!known.contains(key)) return invalid("unexpected key '" + key + "' in '" + field + "'");
    if (key == "type") continue;
    TRY(set_field(mount, key, equals == std::string::npos ? "" : field.substr(equals + 1), equals != std::string::npos));
  }
  if (mount.type == RunMountType::secret && mount.id.empty()) {
    if (mount.target.empty()) return invalid("invalid secret mount. one of source, target required");
    mount.id = mount.target.substr(mount.target.rfind('/') + 1);
  }
  return mount;
}

}  // namespace engine::build
