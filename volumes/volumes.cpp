// Named volumes and tmpfs.
#include "volumes/volumes.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "base/sys.h"
#include "volumes/mount_api.h"

namespace volumes {
namespace {

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

std::string get(const std::map<std::string, std::string>& options, const std::string& key) {
  const auto found = options.find(key);
  return found == options.end() ? "" : found->second;
}

/// driver_opts taken apart.
struct LocalOptions {
  std::string type, device;
  bool bind = false, recursive = false;
  std::uint64_t attributes = 0;
  std::vector<std::string> data;  ///< for the file system
};

base::Result<LocalOptions> parse_local(const std::map<std::string, std::string>& driver_opts) {
  LocalOptions local;
  for (const auto& [key, value] : driver_opts) {
    if (key == "size")
      return base::make_error(base::ErrorKind::unsupported, "volume driver option size needs project quotas, which are not supported");
    if (key != "type" && key != "o" && key != "device") return invalid("unknown volume driver option '" + key + "'");
  }
  local.type = get(driver_opts, "type");
  local.device = get(driver_opts, "device");
  for (const auto& word : option_words(get(driver_opts, "o"))) {
    if (word == "bind" || word == "rbind") {
      local.bind = true;
      local.recursive = local.recursive || word == "rbind";
    } else if (!apply_flag(word, local.attributes) && word != "async") {
      local.data.push_back(word);
    }
  }
  if (local.bind) {
    if (!local.device.starts_with('/')) return invalid("volume driver option device must be an absolute path with o: bind");
    if (!local.data.empty()) return invalid("volume driver option o: '" + local.data.front() + "' does not go with bind");
    return local;
  }
  if (local.type.empty() || local.type == "none") return invalid("volume driver option type is missing");
  if (local.device.empty()) return invalid("volume driver option device is missing");
  return local;
}

/// nfs and cifs of the kernel want an address in addr=, not a name.
base::Result<std::string> resolved(const std::string& host) {
  in6_addr any{};
  if (::inet_pton(AF_INET, host.c_str(), &any) == 1 || ::inet_pton(AF_INET6, host.c_str(), &any) == 1) return host;
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); code != 0)
    return base::make_error(base::ErrorKind::unavailable, "cannot resolve volume server '" + host + "': " + ::gai_strerror(code));
  char text[NI_MAXHOST] = "";
  ::getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  ::freeaddrinfo(found);
  return std::string(text);
}

base::Result<> set_word(NewFilesystem& fs, const std::string& word) {
  const auto equals = word.find('=');
  if (equals == std::string::npos) return fs.set_flag(word);
  return fs.set(word.substr(0, equals), word.substr(equals + 1));
}

base::Result<base::UniqueFd> mount_device(const LocalOptions& local) {
  ASSIGN_OR_RETURN(auto fs, NewFilesystem::open(local.type));
  TRY(fs.set("source", local.device));
  for (auto word : local.data) {
    if (word.starts_with("addr=")) {
      ASSIGN_OR_RETURN(const auto address, resolved(word.substr(5)));
      word = "addr=" + address;
    }
    TRY(set_word(fs, word));
  }
  if (local.attributes & MOUNT_ATTR_RDONLY) TRY(fs.set_flag("ro"));
  return fs.mount(local.attributes);
}

/// The whole volume, writable as far as driver_opts allow.
base::Result<base::UniqueFd> open_whole(const Volume& volume) {
  if (volume.driver_opts.empty()) return bind(volume.data, {});
  ASSIGN_OR_RETURN(const auto local, parse_local(volume.driver_opts));
  if (!local.bind) return mount_device(local).with("mounting the volume's device " + local.device);
  ASSIGN_OR_RETURN(auto tree, bind(local.device, {.recursive = local.recursive}).with("volume driver option device"));
  if (local.attributes != 0) TRY(set_attributes(tree.borrow(), {.set = local.attributes}, false));
  return tree;
}

}  // namespace

base::Result<> check(const std::map<std::string, std::string>& driver_opts) {
  if (driver_opts.empty()) return {};
  TRY(parse_local(driver_opts));
  return {};
}

base::Result<> create(const Volume& volume) {
  TRY(check(volume.driver_opts));
  return base::sys::make_directories(volume.data);
}

base::Result<> remove(const Volume& volume) {
  const bool nested = volume.data.filename() == "_data";
  return base::sys::remove_tree(nested ? volume.data.parent_path() : volume.data);
}

base::Result<base::UniqueFd> use(const Volume& volume, const UseOptions& options) {
  ASSIGN_OR_RETURN(auto whole, open_whole(volume));
  const BindOptions bind_options{.read_only = options.read_only, .propagation = options.propagation};
  if (!options.subpath.empty()) {
    // A clone of a detached mount needs Linux 6.15, so a plain volume is cloned from its folder.
    auto base_dir = volume.driver_opts.empty() ? base::sys::open(volume.data, O_PATH | O_DIRECTORY)
                                               : base::sys::dup(whole.borrow());
    if (!base_dir) return std::move(base_dir).error();
    return bind_beneath(base_dir->borrow(), options.subpath, bind_options).with("subpath '" + options.subpath + "'");
  }
  if (volume.driver_opts.empty() && !options.propagation.empty()) return bind(volume.data, bind_options);
  TRY(restrict(whole.borrow(), options.read_only));
  return whole;
}

base::Result<> restrict(base::Fd mount, ReadOnly how) {
  if (how == ReadOnly::no) return {};
  return set_attributes(mount, {.set = MOUNT_ATTR_RDONLY}, how != ReadOnly::shallow);
}

base::Result<std::vector<std::string>> tmpfs_words(const TmpfsOptions& options) {
  static const std::set<std::string> data_keys{"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "huge", "mpol"};
  std::uint64_t attributes = MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  std::map<std::string, std::string> data;
  if (options.size_bytes > 0) data["size"] = std::to_string(options.size_bytes);
  if (options.mode != 01777) {
    char octal[16];
    data["mode"] = std::string(octal, std::to_chars(octal, octal + sizeof octal, options.mode, 8).ptr);
  }
  if (options.read_only) attributes |= MOUNT_ATTR_RDONLY;
  for (const auto& word : option_words(options.options)) {
    if (apply_flag(word, attributes)) continue;
    const auto equals = word.find('=');
    const auto key = word.substr(0, equals);
    if (equals == std::string::npos || !data_keys.contains(key)) return invalid("invalid tmpfs option '" + word + "'");
    data[key] = word.substr(equals + 1);
  }
  std::vector<std::string> words;
  for (const auto* flag : {"ro", "noexec", "nosuid", "nodev", "noatime", "strictatime", "nodiratime"}) {
    std::uint64_t bit = 0;
    (void)apply_flag(flag, bit);
    if ((attributes & bit) == bit) words.emplace_back(flag);
  }
  for (const auto& [key, value] : data) words.push_back(key + "=" + value);
  return words;
}

base::Result<base::UniqueFd> tmpfs(const TmpfsOptions& options) {
  ASSIGN_OR_RETURN(const auto words, tmpfs_words(options));
  ASSIGN_OR_RETURN(auto fs, NewFilesystem::open("tmpfs"));
  std::uint64_t attributes = 0;
  TRY(fs.set("source", "tmpfs"));
  for (const auto& word : words) {
    if (!apply_flag(word, attributes)) TRY(set_word(fs, word));
  }
  return fs.mount(attributes);
}

}  // namespace volumes
