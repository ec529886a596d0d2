#include "runtime/linux/mount_plan.h"

#include <sys/mount.h>

#include <charconv>
#include <filesystem>
#include <set>
#include <utility>

#include "runtime/linux/kernel.h"
#include "runtime/linux/text.h"

namespace runtime {
namespace {

enum class Effect : std::uint8_t {
  set,          ///< attribute of the mount
  clear,
  atime,        ///< one of the access time policies, which exclude each other
  tree_set,     ///< the same for the whole tree
  tree_clear,
  tree_atime,
  super,        ///< flag of the file system itself
  propagation,
  bind,
  rbind,
  remount,
  copy_up,
  idmap,
  ridmap,
  copy_symlink,
  source_nofollow,
  destination_nofollow,
  nothing,      ///< the default, or without meaning since long
};

struct Option {
  std::string_view word;
  Effect effect;
  std::uint64_t value = 0;
};

// Source: runtime-spec config.md "Linux mount options", mount(8).
constexpr Option options[] = {
    {"acl", Effect::nothing}, {"async", Effect::nothing}, {"auto", Effect::nothing},
    {"bind", Effect::bind}, {"rbind", Effect::rbind}, {"defaults", Effect::nothing},
    {"ro", Effect::set, MOUNT_ATTR_RDONLY}, {"rw", Effect::clear, MOUNT_ATTR_RDONLY},
    {"nosuid", Effect::set, MOUNT_ATTR_NOSUID}, {"suid", Effect::clear, MOUNT_ATTR_NOSUID},
    {"nodev", Effect::set, MOUNT_ATTR_NODEV}, {"dev", Effect::clear, MOUNT_ATTR_NODEV},
    {"noexec", Effect::set, MOUNT_ATTR_NOEXEC}, {"exec", Effect::clear, MOUNT_ATTR_NOEXEC},
    {"nodiratime", Effect::set, MOUNT_ATTR_NODIRATIME}, {"diratime", Effect::clear, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", Effect::set, MOUNT_ATTR_NOSYMFOLLOW}, {"symfollow", Effect::clear, MOUNT_ATTR_NOSYMFOLLOW},
    {"noatime", Effect::atime, MOUNT_ATTR_NOATIME}, {"strictatime", Effect::atime, MOUNT_ATTR_STRICTATIME},
    {"relatime", Effect::atime, MOUNT_ATTR_RELATIME}, {"atime", Effect::atime, MOUNT_ATTR_RELATIME},
    {"norelatime", Effect::atime, MOUNT_ATTR_STRICTATIME}, {"nostrictatime", Effect::atime, MOUNT_ATTR_RELATIME},
    {"rro", Effect::tree_set, MOUNT_ATTR_RDONLY}, {"rrw", Effect::tree_clear, MOUNT_ATTR_RDONLY},
    {"rnosuid", Effect::tree_set, MOUNT_ATTR_NOSUID}, {"rsuid", Effect::tree_clear, MOUNT_ATTR_NOSUID},
    {"rnodev", Effect::tree_set, MOUNT_ATTR_NODEV}, {"rdev", Effect::tree_clear, MOUNT_ATTR_NODEV},
    {"rnoexec", Effect::tree_set, MOUNT_ATTR_NOEXEC}, {"rexec", Effect::tree_clear, MOUNT_ATTR_NOEXEC},
    {"rnodiratime", Effect::tree_set, MOUNT_ATTR_NODIRATIME}, {"rdiratime", Effect::tree_clear, MOUNT_ATTR_NODIRATIME},
    {"rnosymfollow", Effect::tree_set, MOUNT_ATTR_NOSYMFOLLOW}, {"rsymfollow", Effect::tree_clear, MOUNT_ATTR_NOSYMFOLLOW},
    {"rnoatime", Effect::tree_atime, MOUNT_ATTR_NOATIME}, {"rstrictatime", Effect::tree_atime, MOUNT_ATTR_STRICTATIME},
    {"rrelatime", Effect::tree_atime, MOUNT_ATTR_RELATIME}, {"ratime", Effect::tree_atime, MOUNT_ATTR_RELATIME},
    {"rnorelatime", Effect::tree_atime, MOUNT_ATTR_STRICTATIME}, {"rnostrictatime", Effect::tree_atime, MOUNT_ATTR_RELATIME},
    {"sync", Effect::super}, {"dirsync", Effect::super}, {"lazytime", Effect::super}, {"mand", Effect::super},
    {"nomand", Effect::nothing}, {"nolazytime", Effect::nothing}, {"iversion", Effect::super},
    {"noiversion", Effect::nothing}, {"silent", Effect::nothing}, {"loud", Effect::nothing},
    {"private", Effect::propagation, MS_PRIVATE}, {"rprivate", Effect::propagation, MS_PRIVATE | MS_REC},
    {"shared", Effect::propagation, MS_SHARED}, {"rshared", Effect::propagation, MS_SHARED | MS_REC},
    {"slave", Effect::propagation, MS_SLAVE}, {"rslave", Effect::propagation, MS_SLAVE | MS_REC},
    {"unbindable", Effect::propagation, MS_UNBINDABLE}, {"runbindable", Effect::propagation, MS_UNBINDABLE | MS_REC},
    {"remount", Effect::remount}, {"tmpcopyup", Effect::copy_up}, {"idmap", Effect::idmap}, {"ridmap", Effect::ridmap},
    {"copy-symlink", Effect::copy_symlink}, {"src-nofollow", Effect::source_nofollow},
    {"dest-nofollow", Effect::destination_nofollow},
};

const Option* find_option(std::string_view word) {
  const auto* at = std::ranges::find(options, word, &Option::word);
  return at == std::end(options) ? nullptr : at;
}

void set_bits(AttributeChange& change, std::uint64_t bits) {
  change.set |= bits;
  change.clear &= ~bits;
}

void clear_bits(AttributeChange& change, std::uint64_t bits) {
  change.set &= ~bits;
  change.clear |= bits;
}

void set_atime(AttributeChange& change, std::uint64_t policy) {
  change.set = (change.set & ~static_cast<std::uint64_t>(MOUNT_ATTR__ATIME)) | policy;
  change.clear |= MOUNT_ATTR__ATIME;  // mount_setattr(2): the policy is a field, cleared as a whole
}

void apply_option(PlannedMount& mount, const Option& option) {
  switch (option.effect) {
    case Effect::set: return set_bits(mount.attributes, option.value);
    case Effect::clear: return clear_bits(mount.attributes, option.value);
    case Effect::atime: return set_atime(mount.attributes, option.value);
    case Effect::tree_set: return set_bits(mount.tree_attributes, option.value);
    case Effect::tree_clear: return clear_bits(mount.tree_attributes, option.value);
    case Effect::tree_atime: return set_atime(mount.tree_attributes, option.value);
    case Effect::super: mount.data.emplace_back(option.word, std::nullopt); return;
    case Effect::propagation:
      mount.propagation = option.value & ~static_cast<std::uint64_t>(MS_REC);
      mount.propagation_recursive = (option.value & MS_REC) != 0;
      return;
    case Effect::rbind: mount.recursive = true; [[fallthrough]];
    case Effect::bind: mount.kind = MountKind::bind; return;
    case Effect::remount: mount.kind = MountKind::remount; return;
    case Effect::copy_up: mount.copy_up = true; return;
    case Effect::idmap: mount.id_mapping = IdMapping::mount; return;
    case Effect::ridmap: mount.id_mapping = IdMapping::recursive; return;
    case Effect::copy_symlink: mount.copy_symlink = true; return;
    case Effect::source_nofollow: mount.source_nofollow = true; return;
    case Effect::destination_nofollow: mount.destination_nofollow = true; return;
    case Effect::nothing: return;
  }
}

void add_data(PlannedMount& mount, const std::string& word) {
  const auto equals = word.find('=');
  if (equals == std::string::npos)
    mount.data.emplace_back(word, std::nullopt);
  else
    mount.data.emplace_back(word.substr(0, equals), word.substr(equals + 1));
}

base::Error wrong(const PlannedMount& mount, const std::string& what) {
  return base::make_error(base::ErrorKind::invalid, "mounts[" + std::to_string(mount.index) + "] (" +
                                                        mount.destination + "): " + what);
}

/// As mount(2) with MS_REMOUNT | MS_BIND, which is what runtimes do after a bind and users rely on: any option makes those that are given
/// all there is, none keeps what the source has; access times are only touched when one of theirs is set, and are relatime then unless
/// another is named.
void plan_bind_attributes(PlannedMount& mount, const std::vector<std::string>& words) {
  constexpr std::uint64_t all = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW;
  bool asked = false;
  std::set<std::string_view> times;
  for (const std::string& word : words) {
    const Option* option = find_option(word);
    if (!option || (option->effect != Effect::set && option->effect != Effect::clear && option->effect != Effect::atime)) continue;
    asked = true;
    for (const char* name : {"noatime", "relatime", "strictatime", "nodiratime"}) {
      if (word == name) times.insert(name);
      if ("no" + word == name || word == "no" + std::string(name)) times.erase(name);
    }
  }
  const AttributeChange given = std::exchange(mount.attributes, {});
  if (!asked) return;
  mount.unset = given.clear & all;
  mount.attributes.set = given.set & all;
  mount.attributes.clear = all & ~mount.attributes.set;
  if (times.empty()) return;
  mount.attributes.clear |= MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME;
  mount.attributes.set |= times.contains("strictatime") ? MOUNT_ATTR_STRICTATIME
                          : times.contains("noatime")   ? MOUNT_ATTR_NOATIME
                                                        : MOUNT_ATTR_RELATIME;
  if (times.contains("nodiratime")) mount.attributes.set |= MOUNT_ATTR_NODIRATIME;
}

/// Rules that hold between the options of one mount.
base::Result<> check(PlannedMount& mount, const spec::Mount& from) {
  if (mount.kind == MountKind::bind) {
    if (mount.source.empty()) return wrong(mount, "a bind mount needs a source");
    if (!mount.data.empty())
      return wrong(mount, "option '" + mount.data.front().first + "' means nothing for a bind mount");
    plan_bind_attributes(mount, from.options);
  }
  if (!from.uid_mappings.empty() || !from.gid_mappings.empty()) {
    if (from.uid_mappings.empty() || from.gid_mappings.empty())
      return wrong(mount, "uidMappings and gidMappings must be given together");
    if (mount.id_mapping == IdMapping::none) mount.id_mapping = IdMapping::mount;
    mount.uid_mappings = from.uid_mappings;
    mount.gid_mappings = from.gid_mappings;
  }
  if (mount.id_mapping != IdMapping::none && mount.kind != MountKind::bind)
    return wrong(mount, "only a bind mount can have mapped ids");
  if (mount.copy_up && mount.type != "tmpfs") return wrong(mount, "tmpcopyup is for type tmpfs only");
  if (mount.copy_symlink && mount.kind != MountKind::bind) return wrong(mount, "copy-symlink is for bind mounts only");
  if (mount.kind == MountKind::filesystem && mount.type.empty()) return wrong(mount, "a mount needs a type");
  return {};
}

/// "uids=0-1000-1#1-2000-10;gids=…", crun's way to give a mount its own mappings.
bool parse_inline_maps(std::string_view text, PlannedMount& mount) {
  bool valid = true;
  for_each_word(text, ';', [&](std::string_view side) {
    auto* maps = side.starts_with("uids=") ? &mount.uid_mappings : side.starts_with("gids=") ? &mount.gid_mappings : nullptr;
    if (!maps) {
      valid = false;
      return;
    }
    for_each_word(side.substr(5), '#', [&](std::string_view range) {
      std::uint32_t numbers[3]{};
      std::size_t count = 0;
      for_each_word(range, '-', [&](std::string_view part) {
        const char* const end = part.data() + part.size();
        if (count == 3 || std::from_chars(part.data(), end, numbers[count]).ptr != end) valid = false;
        if (count < 3) ++count;
      });
      if (count != 3) valid = false;
      maps->push_back({.container_id = numbers[0], .host_id = numbers[1], .size = numbers[2]});
    });
  });
  return valid && !mount.uid_mappings.empty() && !mount.gid_mappings.empty();
}

base::Result<PlannedMount> plan_mount(const spec::Mount& from, std::size_t index) {
  PlannedMount mount;
  mount.index = index;
  mount.type = from.type;
  mount.source = from.source;
  mount.destination = from.destination.starts_with('/') ? from.destination : "/" + from.destination;
  if (from.type == "bind") mount.kind = MountKind::bind;
  for (const std::string& word : from.options) {
    if (word.empty()) continue;
    if (const Option* option = find_option(word)) {
      apply_option(mount, *option);
    } else if (word.starts_with("idmap=") || word.starts_with("ridmap=")) {
      mount.id_mapping = word.starts_with("r") ? IdMapping::recursive : IdMapping::mount;
      if (!parse_inline_maps(std::string_view(word).substr(word.find('=') + 1), mount))
        return wrong(mount, "option '" + word + "': expected uids=FROM-TO-SIZE[#…];gids=…");
    } else {
      add_data(mount, word);
    }
  }
  if (mount.kind == MountKind::filesystem && (from.type == "cgroup" || from.type == "cgroup2"))
    mount.kind = MountKind::cgroup;
  TRY(check(mount, from));
  return mount;
}

}  // namespace

base::Result<std::vector<PlannedMount>> plan_mounts(const spec::Config& config) {
  std::vector<PlannedMount> plan;
  plan.reserve(config.mounts.size());
  for (std::size_t index = 0; index < config.mounts.size(); ++index) {
    ASSIGN_OR_RETURN(auto mount, plan_mount(config.mounts[index], index));
    plan.push_back(std::move(mount));
  }
  return plan;
}

std::string path_inside(const std::string& path, const std::string& rootfs) {
  if (rootfs.size() < 2 || path.compare(0, 2, rootfs, 0, 2) != 0) return {};  // most of them, at no cost
  const auto root = std::filesystem::path(rootfs + "/").lexically_normal().string();
  // With the host's own root every path would be below it.
  if (root == "/" || path.find("/../") != std::string::npos || path.ends_with("/..")) return {};
  const auto normal = std::filesystem::path(path).lexically_normal().string();
  return normal.size() > root.size() && normal.starts_with(root) ? normal.substr(root.size() - 1) : std::string();
}

std::optional<unsigned long> propagation_flags(std::string_view word) {
  const Option* option = find_option(word);
  if (!option || option->effect != Effect::propagation) return std::nullopt;
  return option->value;
}

std::vector<std::string> known_mount_options() {
  std::vector<std::string> words;
  for (const Option& option : options) words.emplace_back(option.word);
  std::ranges::sort(words);
  return words;
}

}  // namespace runtime
