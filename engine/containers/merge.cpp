// What spec and image say together. Docker's rules: moby daemon/commit.go merge(), daemon/create.go, oci.
#include <signal.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "engine/containers/containers.h"

namespace engine::containers {
namespace {

constexpr std::string_view default_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

std::string key_of(const std::string& entry) { return entry.substr(0, entry.find('=')); }

/// Puts "KEY=VALUE" in place of an entry with that key, or at the end; "KEY" takes the entry away.
void set_variable(std::vector<std::string>& env, const std::string& entry) {
  const auto key = key_of(entry);
  const auto there = std::find_if(env.begin(), env.end(), [&](const auto& each) { return key_of(each) == key; });
  if (entry.find('=') == std::string::npos) {
    if (there != env.end()) env.erase(there);
  } else if (there != env.end()) {
    *there = entry;
  } else {
    env.push_back(entry);
  }
}

/// "/a//b/./c/" → "/a/b/c"
std::string clean(const std::string& path) {
  auto text = std::filesystem::path(path).lexically_normal().string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

void put_mount(std::vector<MountSpec>& mounts, MountSpec mount) {
  const auto same = [&](const MountSpec& each) { return each.target == mount.target; };
  if (const auto there = std::find_if(mounts.begin(), mounts.end(), same); there != mounts.end()) *there = std::move(mount);
  else mounts.push_back(std::move(mount));
}

/// "container NAME[:ro|:rw]"
Result<> add_volumes_from(const std::string& text, const std::map<std::string, ContainerInfo>& containers,
                          std::vector<MountSpec>& mounts) {
  constexpr std::string_view prefix = "container ";
  std::string name = text.starts_with(prefix) ? text.substr(prefix.size()) : text;
  bool read_only = false;
  if (const auto colon = name.rfind(':'); colon != std::string::npos) {
    const auto mode = name.substr(colon + 1);
    if (mode != "ro" && mode != "rw") return invalid("volumes_from '" + text + "': mode '" + mode + "' is neither ro nor rw");
    read_only = mode == "ro";
    name.resize(colon);
  }
  const auto found = containers.find(name);
  if (found == containers.end())
    return base::make_error(base::ErrorKind::not_found, "volumes_from: no container named '" + name + "'");
  for (auto mount : found->second.spec.mounts) {
    if (mount.type == MountType::tmpfs) continue;
    mount.read_only = mount.read_only || read_only;
    if (const auto volume = found->second.volumes.find(clean(mount.target));
        mount.type == MountType::volume && volume != found->second.volumes.end())
      mount.source = volume->second;
    put_mount(mounts, mount);
  }
  for (const auto& [target, volume] : found->second.volumes) {
    const auto same = [&](const MountSpec& each) { return clean(each.target) == target; };
    if (std::none_of(mounts.begin(), mounts.end(), same))
      mounts.push_back({.type = MountType::volume, .source = volume, .target = target, .read_only = read_only});
  }
  return {};
}

}  // namespace

Result<std::vector<MountSpec>> all_mounts(const ContainerSpec& spec, const images::ImageConfig& image,
                                          const std::map<std::string, ContainerInfo>& volumes_from) {
  std::vector<MountSpec> mounts;
  for (const auto& path : image.volumes)
    put_mount(mounts, {.type = MountType::volume, .target = clean("/" + path)});
  for (const auto& text : spec.volumes_from) TRY(add_volumes_from(text, volumes_from, mounts));
  for (auto mount : spec.mounts) {
    if (!mount.target.starts_with('/')) return invalid("mount target '" + mount.target + "' is not an absolute path");
    mount.target = clean(mount.target);
    if (mount.target == "/") return invalid("mount target '/' would hide the container's root");
    put_mount(mounts, std::move(mount));
  }
  // Shallow targets first, so that none hides another. Docker sorts the same way.
  std::stable_sort(mounts.begin(), mounts.end(), [](const MountSpec& a, const MountSpec& b) {
    return std::count(a.target.begin(), a.target.end(), '/') < std::count(b.target.begin(), b.target.end(), '/');
  });
  return mounts;
}

Result<std::vector<std::string>> command_line(const ContainerSpec& spec, const images::ImageConfig& image) {
  std::vector<std::string> words;
  if (spec.entrypoint) {
    words = *spec.entrypoint;
  } else if (image.entrypoint) {
    words = *image.entrypoint;
  }
  if (spec.command) {
    words.insert(words.end(), spec.command->begin(), spec.command->end());
  } else if (!spec.entrypoint && image.cmd) {
    words.insert(words.end(), image.cmd->begin(), image.cmd->end());
  }
  if (words.empty()) return invalid("no command specified, and image " + spec.image + " has none");
  if (words.front().empty()) return invalid("the command's first word is empty");
  return words;
}

std::vector<std::string> environment(const ContainerSpec& spec, const images::ImageConfig& image, const std::string& host) {
  std::vector<std::string> env{"PATH=" + std::string(default_path), "HOSTNAME=" + host};
  if (spec.tty) env.push_back("TERM=xterm");
  std::set<std::string> own;
  for (const auto& entry : spec.env) {
    own.insert(key_of(entry));
    set_variable(env, entry);
  }
  for (const auto& entry : image.env) {
    if (entry.find('=') != std::string::npos && !own.contains(key_of(entry))) set_variable(env, entry);
  }
  return env;
}

std::string hostname(const ContainerSpec& spec, const std::string& id) {
  return spec.hostname.empty() ? id.substr(0, 12) : spec.hostname;
}

Result<int> parse_signal(const std::string& text) {
  int number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size()) {
    if (number > 0 && number < NSIG) return number;
    return invalid("signal " + text + " is out of range");
  }
  std::string name = text;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
  if (name.starts_with("SIG")) name.erase(0, 3);
  if (name.starts_with("RTMIN") || name.starts_with("RTMAX")) {
    const int base = name[2] == 'M' && name[3] == 'I' ? 34 : 64;  // as Docker counts: glibc's SIGRTMIN, not the kernel's
    int offset = 0;
    const auto rest = name.substr(5);
    const bool plus = rest.starts_with('+');
    if (!rest.empty()) {
      const auto result = std::from_chars(rest.data() + (plus ? 1 : 0), rest.data() + rest.size(), offset);
      if (result.ec != std::errc() || result.ptr != rest.data() + rest.size()) return invalid("unknown signal " + text);
    }
    if (base + offset >= 34 && base + offset <= 64) return base + offset;
    return invalid("unknown signal " + text);
  }
  if (name == "IOT") return SIGABRT;
  if (name == "CLD") return SIGCHLD;
  if (name == "POLL") return SIGIO;
  for (int i = 1; i < 32; ++i) {
    const char* known = ::sigabbrev_np(i);
    if (known && name == known) return i;
  }
  return invalid("unknown signal " + text);
}

Result<int> stop_signal(const ContainerSpec& spec, const images::ImageConfig& image) {
  const auto& text = spec.stop_signal.empty() ? image.stop_signal : spec.stop_signal;
  if (text.empty()) return SIGTERM;
  return parse_signal(text).with("stop_signal");
}

std::optional<healthcheck::Spec> health_spec(const ContainerSpec& spec, const images::ImageConfig& image) {
  const HealthSpec none;
  const HealthSpec& own = spec.healthcheck ? *spec.healthcheck : none;
  const HealthSpec& base = image.healthcheck ? *image.healthcheck : none;
  const auto& test = own.test.empty() ? base.test : own.test;
  if (test.empty() || test.front() == "NONE") return std::nullopt;
  healthcheck::Spec merged;
  if (test.front() == "CMD-SHELL") {
    if (test.size() < 2) return std::nullopt;
    merged.command = image.shell.empty() ? std::vector<std::string>{"/bin/sh", "-c"} : image.shell;
    merged.command.push_back(test[1]);
  } else {
    merged.command.assign(test.front() == "CMD" ? test.begin() + 1 : test.begin(), test.end());
    if (merged.command.empty()) return std::nullopt;
  }
  // Zero means "not set", as in Docker's API.
  const auto take = [](auto& field, const auto& ours, const auto& theirs) {
    using Value = std::remove_reference_t<decltype(field)>;
    if (ours && *ours > Value{}) field = *ours;
    else if (theirs && *theirs > Value{}) field = *theirs;
  };
  take(merged.interval, own.interval, base.interval);
  take(merged.timeout, own.timeout, base.timeout);
  take(merged.start_period, own.start_period, base.start_period);
  take(merged.start_interval, own.start_interval, base.start_interval);
  take(merged.retries, own.retries, base.retries);
  return merged;
}

std::string project_cgroup(const std::string& project) { return "/compose/" + project; }

std::string cgroup_path(const ContainerSpec& spec, const std::string& id) {
  if (spec.cgroup_parent.empty()) return project_cgroup(spec.project) + "/" + id;
  return clean("/" + spec.cgroup_parent) + "/" + id;
}

}  // namespace engine::containers
