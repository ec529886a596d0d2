#include "volumes/mount_api.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <map>

#include "base/sys.h"

namespace volumes {

base::Result<base::UniqueFd> clone_tree(base::Fd dir, const std::filesystem::path& path, bool recursive) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  if (recursive) flags |= AT_RECURSIVE;
  if (path.empty()) flags |= AT_EMPTY_PATH;
  const int at = dir.valid() ? dir.number() : AT_FDCWD;
  ASSIGN_OR_RETURN(const long fd, base::sys::wrap("open_tree " + path.string(), ::open_tree(at, path.c_str(), flags)));
  return base::UniqueFd(static_cast<int>(fd));
}

base::Result<> set_attributes(base::Fd mount, const Attributes& attributes, bool recursive) {
  mount_attr attr{};
  attr.attr_set = attributes.set;
  attr.attr_clr = attributes.clear;
  attr.propagation = attributes.propagation;
  const unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u);
  TRY(base::sys::wrap("mount_setattr", ::mount_setattr(mount.number(), "", flags, &attr, sizeof attr)));
  return {};
}

base::Result<NewFilesystem> NewFilesystem::open(const std::string& type) {
  auto fd = base::sys::wrap("fsopen " + type, ::fsopen(type.c_str(), FSOPEN_CLOEXEC));
  if (!fd && fd.error().number == ENODEV)
    return base::make_error(base::ErrorKind::unsupported, "this kernel has no file system '" + type + "'");
  if (!fd) return std::move(fd).error();
  return NewFilesystem(base::UniqueFd(static_cast<int>(*fd)), type);
}

/// The kernel's messages lie in the context descriptor: "e overlay: …". Source: fsopen(2).
base::Error NewFilesystem::failure(int number, const std::string& what) const {
  auto error = base::errno_error(number, type_ + ": " + what);
  char buffer[512];
  ssize_t count;
  while ((count = ::read(context_.number(), buffer, sizeof buffer)) > 2) {
    std::string text(buffer + 2, static_cast<std::size_t>(count) - 2);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    if (buffer[0] == 'e' || buffer[0] == 'w') error.message += " (" + text + ")";
  }
  return error;
}

base::Result<> NewFilesystem::set(const std::string& key, const std::string& value) {
  const auto result = base::sys::wrap("", ::fsconfig(context_.number(), FSCONFIG_SET_STRING, key.c_str(), value.c_str(), 0));
  if (!result) return failure(result.error().number, "option " + key + "=" + value);
  return {};
}

base::Result<> NewFilesystem::set_flag(const std::string& key) {
  const auto result = base::sys::wrap("", ::fsconfig(context_.number(), FSCONFIG_SET_FLAG, key.c_str(), nullptr, 0));
  if (!result) return failure(result.error().number, "option " + key);
  return {};
}

base::Result<> NewFilesystem::set_fd(const std::string& key, base::Fd fd) {
  const auto result = base::sys::wrap("", ::fsconfig(context_.number(), FSCONFIG_SET_FD, key.c_str(), nullptr, fd.number()));
  if (!result) return failure(result.error().number, "option " + key);
  return {};
}

base::Result<base::UniqueFd> NewFilesystem::mount(std::uint64_t attributes) {
  const auto made = base::sys::wrap("", ::fsconfig(context_.number(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0));
  if (!made) return failure(made.error().number, "mount");
  const auto fd = base::sys::wrap("", ::fsmount(context_.number(), FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes)));
  if (!fd) return failure(fd.error().number, "fsmount");
  return base::UniqueFd(static_cast<int>(*fd));
}

std::vector<std::string> option_words(const std::string& text) {
  std::vector<std::string> words;
  std::size_t start = 0;
  while (start <= text.size()) {
    const auto end = std::min(text.find(',', start), text.size());
    if (end > start) words.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return words;
}

bool apply_flag(const std::string& word, std::uint64_t& attributes) {
  struct Bits {
    std::uint64_t set, clear;
  };
  static const std::map<std::string, Bits> flags{
      {"ro", {MOUNT_ATTR_RDONLY, 0}},          {"rw", {0, MOUNT_ATTR_RDONLY}},
      {"nosuid", {MOUNT_ATTR_NOSUID, 0}},      {"suid", {0, MOUNT_ATTR_NOSUID}},
      {"nodev", {MOUNT_ATTR_NODEV, 0}},        {"dev", {0, MOUNT_ATTR_NODEV}},
      {"noexec", {MOUNT_ATTR_NOEXEC, 0}},      {"exec", {0, MOUNT_ATTR_NOEXEC}},
      {"noatime", {MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME}},
      {"strictatime", {MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME}},
      {"relatime", {0, MOUNT_ATTR__ATIME}},    {"atime", {0, MOUNT_ATTR__ATIME}},
      {"nodiratime", {MOUNT_ATTR_NODIRATIME, 0}}, {"diratime", {0, MOUNT_ATTR_NODIRATIME}},
      {"defaults", {0, 0}},
  };
  const auto found = flags.find(word);
  if (found == flags.end()) return false;
  attributes = (attributes & ~found->second.clear) | found->second.set;
  return true;
}

}  // namespace volumes
