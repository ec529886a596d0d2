#include "engine/build/meta.h"

#include <arpa/inet.h>

#include "engine/build/ignore.h"
#include "engine/containers/containers.h"

namespace engine::build {
namespace {

constexpr std::string_view default_path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

std::optional<std::string> in(const std::map<std::string, std::string>* map, const std::string& key) {
  if (map == nullptr) return std::nullopt;
  const auto found = map->find(key);
  if (found == map->end()) return std::nullopt;
  return found->second;
}

/// Go's %q of a small integer is a character.
std::string quoted_rune(int value) {
  if (value == '\n') return "'\\n'";
  if (value == '\t') return "'\\t'";
  if (value == '\r') return "'\\r'";
  if (value == '\a') return "'\\a'";
  if (value == '\b') return "'\\b'";
  if (value == '\f') return "'\\f'";
  if (value == '\v') return "'\\v'";
  if (value == '\'' || value == '\\') return std::string("'\\") + static_cast<char>(value) + "'";
  if (value >= ' ' && value < 127) return std::string("'") + static_cast<char>(value) + "'";
  if (value >= 0xA1 && value < 0x800) return {'\'', static_cast<char>(0xC0 | (value >> 6)), static_cast<char>(0x80 | (value & 63)), '\''};
  char text[16];
  std::snprintf(text, sizeof text, value < 256 ? "'\\x%02x'" : "'\\u%04x'", static_cast<unsigned>(value));
  return text;
}

std::string plain_list(const std::vector<std::string>& words) {
  std::string text = "[";
  for (std::size_t i = 0; i < words.size(); ++i) text += (i == 0 ? "" : " ") + words[i];
  return text + "]";
}

/// "80" or "80-82".
std::optional<std::pair<int, int>> port_range(const std::string& text) {
  const auto port = [](const std::string& number) -> int {
    if (number.empty() || number.size() > 9 || number.find_first_not_of("0123456789") != std::string::npos) return -1;
    const int value = std::stoi(number);
    return value <= 65535 ? value : -1;
  };
  const std::size_t dash = text.find('-');
  const int first = port(text.substr(0, dash)), last = dash == std::string::npos ? first : port(text.substr(dash + 1));
  return first < 0 || last < first ? std::nullopt : std::optional(std::pair(first, last));
}

void set_pair(std::vector<KeyValue>& pairs, const std::string& key, const std::string& value) {
  for (auto& pair : pairs) {
    if (pair.key != key) continue;
    pair.value = value;
    return;
  }
  pairs.push_back({key, value});
}

/// The steps of one instruction. A member for every kind keeps std::visit readable.
struct Apply {
  StageMeta& meta;
  const Command& command;
  const MetaInputs& inputs;

  Result<std::string> expand(const std::string& text) const { return expand_word(text, meta.lookup(), {.escape = meta.escape}); }

  Result<> operator()(const instr::Env& env) const {
    std::string text = "ENV";
    std::vector<KeyValue> values;  // one line sees the values from before it
    for (const auto& pair : env.pairs) {
      KeyValue value;
      ASSIGN_OR_RETURN(value.key, expand(pair.key));
      ASSIGN_OR_RETURN(value.value, expand(pair.value));
      values.push_back(std::move(value));
    }
    for (const auto& [key, value] : values) {
      text += " " + key + "=" + value;
      const std::string entry = key + "=" + value;
      const auto same = std::find_if(meta.config.env.begin(), meta.config.env.end(),
                                     [&](const std::string& old) { return old.starts_with(key + "="); });
      if (same != meta.config.env.end()) *same = entry;
      else meta.config.env.push_back(entry);
      set_pair(meta.env, key, value);
    }
    add_history(meta, text, true);
    return {};
  }

  Result<> operator()(const instr::Label& label) const {
    std::string text = "LABEL";
    for (const auto& pair : label.pairs) {
      ASSIGN_OR_RETURN(const std::string key, expand(pair.key));
      ASSIGN_OR_RETURN(const std::string value, expand(pair.value));
      meta.config.labels[key] = value;
      text += " " + key + "=" + value;
    }
    add_history(meta, text, true);
    return {};
  }

  Result<> operator()(const instr::Arg& arg) const {
    std::string text = "ARG";
    for (const auto& item : arg.items) {
      std::optional<std::string> value = in(inputs.args, item.key);
      if (!value && item.value) {
        ASSIGN_OR_RETURN(value, expand(*item.value));
      }
      if (!value) value = in(inputs.platform_args, item.key);
      if (!value && inputs.plan != nullptr)
        for (const auto& global : inputs.plan->globals)
          if (global.key == item.key) value = global.value;
      text += " " + item.key + (value ? "=" + *value : "");
      if (value) set_pair(meta.env, item.key, *value);
      meta.args.push_back({item.key, value});
    }
    add_history(meta, text, true);
    return {};
  }

  Result<> operator()(const instr::User& user) const {
    ASSIGN_OR_RETURN(meta.config.user, expand(user.user));
    add_history(meta, "USER " + meta.config.user, true);
    return {};
  }

  Result<> operator()(const instr::Workdir& workdir) const {
    ASSIGN_OR_RETURN(meta.config.working_dir, workdir_of(meta, workdir.path));
    return {};
  }

  /// Adds "80", "80/udp", "80-82/tcp"; what is before the last ':', an address and ports of a host, is only looked at.
  Result<> add_port(const std::string& whole) const {
    const std::size_t colon = whole.rfind(':');
    const std::string text = whole.substr(colon + 1), host = colon == std::string::npos ? "" : whole.substr(0, colon);
    const std::size_t slash = text.find('/');
    const std::string range = text.substr(0, slash), name = slash == std::string::npos ? "" : lower(text.substr(slash + 1));
    if (range.empty()) return invalid("invalid port: \"" + whole + "\": no port specified");
    if (!name.empty() && name != "tcp" && name != "udp" && name != "sctp") return invalid("invalid port: \"" + whole + "\": invalid proto: " + text.substr(slash + 1));
    const auto ports = port_range(range);
    TRY(check_host(host, range, ports));
    for (int number = ports->first; number <= ports->second; ++number) {
      const std::string entry = std::to_string(number) + "/" + (name.empty() ? "tcp" : name);
      auto& exposed = meta.config.exposed_ports;
      const auto at = std::lower_bound(exposed.begin(), exposed.end(), entry);
      if (at == exposed.end() || *at != entry) exposed.insert(at, entry);
    }
    return {};
  }

  /// "address:ports", either of which may be missing.
  static Result<> check_host(const std::string& host, const std::string& range, const std::optional<std::pair<int, int>>& ports) {
    const std::size_t colon = host.rfind(':');
    std::string address = colon == std::string::npos ? "" : host.substr(0, colon);
    const std::string host_range = host.substr(colon == std::string::npos ? 0 : colon + 1);
    if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
    unsigned char bytes[16];
    if (!address.empty() && ::inet_pton(AF_INET, address.c_str(), bytes) != 1 && ::inet_pton(AF_INET6, address.c_str(), bytes) != 1)
      return invalid("invalid IP address: " + address);
    if (!ports) return invalid("invalid containerPort: " + range);
    const auto outside = port_range(host_range);
    if (host_range.empty()) return {};
    if (!outside) return invalid("invalid hostPort: " + host_range);
    if (ports->second != ports->first && outside->second - outside->first != ports->second - ports->first)
      return invalid("invalid ranges specified for container and host Ports: " + range + " and " + host_range);
    return {};
  }

  Result<> operator()(const instr::Expose& expose) const {
    const auto before = meta.config.exposed_ports;
    meta.config.exposed_ports.clear();
    for (const auto& word : expose.ports) {
      ASSIGN_OR_RETURN(const auto ports, expand_words(word, meta.lookup(), {.escape = meta.escape}));
      for (const auto& port : ports)
        if (!port.empty()) TRY(add_port(port));
    }
    const auto named = meta.config.exposed_ports;
    for (const auto& port : before) TRY(add_port(port));
    add_history(meta, "EXPOSE " + plain_list(named), true);
    return {};
  }

  Result<> operator()(const instr::Volume& volume) const {
    std::vector<std::string> paths;
    for (const auto& word : volume.paths) {
      ASSIGN_OR_RETURN(const std::string path, expand(word));
      if (path.empty()) return invalid("VOLUME specified can not be an empty string");
      paths.push_back(path);
      auto& volumes = meta.config.volumes;
      const auto at = std::lower_bound(volumes.begin(), volumes.end(), path);
      if (at == volumes.end() || *at != path) volumes.insert(at, path);
    }
    add_history(meta, "VOLUME " + plain_list(paths), true);
    return {};
  }

  Result<> operator()(const instr::Entrypoint& entrypoint) const {
    const auto words = with_shell(meta, entrypoint.command);
    meta.config.entrypoint.reset();  // "[]" takes an inherited one away
    if (!words.empty()) meta.config.entrypoint = words;
    if (!meta.cmd_set) meta.config.cmd.reset();
    add_history(meta, "ENTRYPOINT " + quoted_list(words), true);
    return {};
  }

  Result<> operator()(const instr::Cmd& cmd) const {
    const auto words = with_shell(meta, cmd.command);
    meta.config.cmd.reset();
    if (!words.empty()) meta.config.cmd = words;
    meta.cmd_set = true;
    meta.config.args_escaped = true;
    add_history(meta, "CMD " + quoted_list(words), true);
    return {};
  }

  Result<> operator()(const instr::Healthcheck& check) const {
    meta.config.healthcheck = check.spec;
    const auto& spec = check.spec;
    const auto time = [](const std::optional<Nanoseconds>& value) { return go_quoted(duration_text(value.value_or(Nanoseconds(0)))); };
    add_history(meta,
                "HEALTHCHECK &{" + quoted_list(spec.test) + " " + time(spec.interval) + " " + time(spec.timeout) + " " +
                    time(spec.start_period) + " " + time(spec.start_interval) + " " + quoted_rune(spec.retries.value_or(0)) + "}",
                true);
    return {};
  }

  Result<> operator()(const instr::Maintainer& maintainer) const {
    meta.config.author = maintainer.name;
    add_history(meta, "MAINTAINER " + maintainer.name, true);
    return {};
  }

  Result<> operator()(const instr::StopSignal& stop) const {
    ASSIGN_OR_RETURN(const std::string signal, expand(stop.signal));
    // As Docker: a number is taken for a signal, whether or not there is one of it.
    const bool number = signal != "0" && signal.size() < 10 && signal.find_first_not_of("0123456789", signal.starts_with('-') ? 1 : 0) == std::string::npos;
    if (!number && !containers::parse_signal(signal)) return invalid("invalid signal: " + signal);
    meta.config.stop_signal = signal;
    add_history(meta, "STOPSIGNAL " + signal, true);
    return {};
  }

  Result<> operator()(const instr::Shell& shell) const {
    meta.config.shell = shell.words;
    add_history(meta, "SHELL " + plain_list(shell.words), true);
    return {};
  }

  Result<> operator()(const instr::OnBuild& trigger) const {
    meta.config.on_build.push_back(trigger.trigger);
    // No history entry: BuildKit has none either.
    return {};
  }

  template <class Other>
  Result<> operator()(const Other&) const {
    return base::make_error(base::ErrorKind::internal, "not an instruction of the image config");
  }
};

}  // namespace

Lookup StageMeta::lookup() const {
  return [this](const std::string& key) -> std::optional<std::string> {
    for (const auto& one : env)
      if (one.key == key) return one.value;
    return std::nullopt;
  };
}

void StageMeta::begin_stage() {
  const bool has_path = std::any_of(config.env.begin(), config.env.end(), [](const std::string& entry) { return entry.starts_with("PATH="); });
  if (!has_path) config.env.emplace_back(default_path);
  for (const auto& entry : config.env) {
    const std::size_t equals = entry.find('=');
    set_pair(env, entry.substr(0, equals), equals == std::string::npos ? "" : entry.substr(equals + 1));
  }
}

std::string StageMeta::args_prefix() const {
  std::vector<KeyValue> shown;  // of several with one name the place of the first, the value of now
  const Lookup values = lookup();
  for (const auto& arg : args) set_pair(shown, arg.key, values(arg.key).value_or(""));
  std::string text = shown.empty() ? "" : "|" + std::to_string(shown.size()) + " ";
  for (const auto& [key, value] : shown) text += key + "=" + value + " ";
  return text;
}

StageMeta scratch_meta(const std::string& platform) {
  StageMeta meta;
  const auto args = platform_arguments(platform, platform);
  meta.config.os = args.at("TARGETOS");
  meta.config.architecture = args.at("TARGETARCH");
  meta.config.variant = args.at("TARGETVARIANT");
  meta.config.env = {std::string(default_path)};
  meta.config.working_dir = "/";
  meta.begin_stage();
  return meta;
}

Result<> apply_meta(StageMeta& meta, const Command& command, const MetaInputs& inputs) {
  return std::visit(Apply{meta, command, inputs}, command.meaning);
}

Result<std::string> workdir_of(const StageMeta& meta, const std::string& path) {
  ASSIGN_OR_RETURN(const std::string word, expand_word(path, meta.lookup(), {.escape = meta.escape}));
  if (word.empty()) return meta.config.working_dir.empty() ? std::string("/") : meta.config.working_dir;
  if (word.starts_with('/')) return word;  // kept as written
  return clean_path("/" + meta.config.working_dir + "/" + word);
}

std::string absolute_path(const StageMeta& meta, const std::string& path) {
  std::string full = clean_path(path.starts_with('/') ? path : "/" + meta.config.working_dir + "/" + path);
  const bool folder = path.empty() || path.ends_with('/') || path == "." || path.ends_with("/.");
  if (folder && !full.ends_with('/')) full += '/';
  return full;
}

void add_history(StageMeta& meta, std::string created_by, bool empty_layer) {
  images::History entry;
  entry.created_by = std::move(created_by);
  entry.comment = "buildkit.dockerfile.v0";
  entry.empty_layer = empty_layer;
  meta.config.history.push_back(std::move(entry));
}

std::vector<std::string> with_shell(const StageMeta& meta, const CommandLine& command) {
  if (!command.shell) return command.words;
  std::vector<std::string> words = meta.config.shell.empty() ? std::vector<std::string>{"/bin/sh", "-c"} : meta.config.shell;
  words.push_back(command.words.empty() ? "" : command.words.front());  // nothing at all is an empty script
  return words;
}

void finish_times(images::ImageConfig& config) {
  // Entries without a time get that of the first new layer, later ones that of the layer before them.
  std::string created;
  bool missing = false;
  for (const auto& entry : config.history) {
    if (entry.created.empty()) {
      missing = true;
      continue;
    }
    created = entry.created;
    if (missing) break;
  }
  missing = false;
  for (auto& entry : config.history) {
    if (!entry.created.empty()) {
      if (missing) created = entry.created;
      continue;
    }
    missing = true;
    entry.created = created;
  }
  config.created.clear();
  WallNs latest = 0;
  for (const auto& entry : config.history) {
    const WallNs time = images::parse_time(entry.created);
    if (entry.created.empty() || time < latest) continue;
    latest = time;
    config.created = entry.created;
  }
}

std::string quoted_list(const std::vector<std::string>& words) {
  std::string text = "[";
  for (std::size_t i = 0; i < words.size(); ++i) text += (i == 0 ? "" : " ") + go_quoted(words[i]);
  return text + "]";
}

std::string duration_text(Nanoseconds value) {
  const std::int64_t count = value.count();
  if (count == 0) return "0s";
  const auto decimal = [](std::int64_t whole, std::int64_t fraction, int digits) {
    std::string text = std::to_string(whole);
    if (fraction == 0) return text;
    std::string part = std::to_string(fraction);
    part.insert(0, static_cast<std::size_t>(digits) - part.size(), '0');
    while (part.back() == '0') part.pop_back();
    return text + "." + part;
  };
  if (count < 1000) return std::to_string(count) + "ns";
  if (count < 1'000'000) return decimal(count / 1000, count % 1000, 3) + "µs";
  if (count < 1'000'000'000) return decimal(count / 1'000'000, count % 1'000'000, 6) + "ms";
  const std::int64_t seconds = count / 1'000'000'000;
  std::string text;
  if (seconds >= 3600) text += std::to_string(seconds / 3600) + "h";
  if (seconds >= 60) text += std::to_string(seconds / 60 % 60) + "m";
  return text + decimal(seconds % 60, count % 1'000'000'000, 9) + "s";
}

}  // namespace engine::build
